"""What a provider tells of its work completes the task that waits for it (mission row G10)."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from delivery_world import DeliveryWorld, at, line
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from connector.bootstrap import App
from connector.config import load_settings
from connector.errors import InvalidInput
from connector.kernel.clock import MovableClock
from connector.store.engine import Store
from connector.web.webhooks.provisioning import blueprint, read_notice
from connector.web.webhooks.signature import HEADER

SECRET = "known-to-the-cloud"
JUNE_16 = date(2026, 6, 16)
FIVE_PAST_TWO = datetime(2026, 6, 16, 12, 5, tzinfo=UTC)  # 14:05 in Berlin
TOLD = "2026-06-16T14:05:00+02:00"


@dataclass
class Cloud:
    """A provider that has the secret, and the application that it tells."""

    app: App
    clock: MovableClock
    world: DeliveryWorld
    flask: Flask

    def tell(self, *, secret: str = SECRET, late: timedelta = timedelta(0), **notice: str) -> Any:
        outcome = {} if "failed" in notice else {"provisioned_at": TOLD}
        body = json.dumps({"task": self.task} | outcome | notice).encode()
        stamp = int((self.app.wall_clock.now() - late).timestamp())
        mac = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        return self.flask.test_client().post(
            "/webhooks/provisioning", data=body, headers={HEADER: f"t={stamp},v1={mac}"}
        )

    @property
    def task(self) -> str:
        number = "SELECT number FROM task WHERE name = 'Provision the tenant'"
        return str(self.world.one(number).number)

    def charges(self) -> list[tuple[date, datetime]]:
        rows = self.world.rows("SELECT starts_on, created_at FROM charge")
        return [(row.starts_on, row.created_at) for row in rows]


@pytest.fixture
def cloud(store: Store, tmp_path: Path) -> Iterator[Cloud]:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"store: {{data_dir: {tmp_path}}}\nwebhooks: {{provisioning_secret: {SECRET}}}",
        encoding="utf-8",
    )
    world = DeliveryWorld(store)
    world.open_shop()
    world.win(world.deal([line("cloud", "NEW")]))
    world.run_code(at(JUNE_16))
    clock = MovableClock(FIVE_PAST_TWO + timedelta(seconds=20))
    app = App(settings=load_settings(config), store=store, clock=clock)
    flask = Flask("test")
    flask.register_blueprint(blueprint(app))
    yield Cloud(app, clock, world, flask)
    app.close()


def test_told_at_five_past_two_the_charge_is_there_within_the_minute(cloud: Cloud) -> None:
    answer = cloud.tell(reference="tenant-77")

    cloud.app.start_background(scheduler=False)  # what the notice asked for, nothing else
    for _ in range(400):
        if cloud.charges():
            break
        sleep(0.05)
    cloud.app.stop_background()

    assert answer.json == {
        "task": cloud.task,
        "state": "Completed",
        "effective_on": "2026-06-16",
        "is_new": True,
    }
    assert cloud.charges() == [(JUNE_16, FIVE_PAST_TWO + timedelta(seconds=20))]
    assert cloud.world.one("SELECT state FROM service").state == "In Service"
    note = "SELECT completion_note FROM task WHERE name = 'Provision the tenant'"
    assert cloud.world.one(note).completion_note == "Provisioned: tenant-77"


def test_the_day_is_the_customers_not_that_of_greenwich(cloud: Cloud) -> None:
    answer = cloud.tell(provisioned_at="2026-06-15T22:30:00+00:00")

    assert answer.json["effective_on"] == "2026-06-16"  # half past midnight in Berlin


def test_a_replay_is_answered_the_same_and_starts_nothing_twice(cloud: Cloud) -> None:
    first = cloud.tell()
    cloud.app.run_tasks()

    again = cloud.tell(provisioned_at="2026-06-10T09:00:00+02:00")
    cloud.app.run_tasks()

    assert (again.status_code, again.json) == (200, first.json | {"is_new": False})
    assert [starts_on for starts_on, _ in cloud.charges()] == [JUNE_16]


class TestAFailure:
    def test_leaves_the_service_pending_and_shows_its_reason(self, cloud: Cloud) -> None:
        answer = cloud.tell(failed="No capacity in region")
        again = cloud.tell(failed="Still none")
        cloud.app.run_tasks()

        assert (answer.json["state"], answer.json["is_new"]) == ("Error", True)
        assert (again.status_code, again.json["is_new"]) == (200, False)
        assert cloud.world.one("SELECT state FROM service").state == "New"
        assert cloud.charges() == []
        blocker = cloud.world.one("SELECT blocker FROM v_order_state").blocker
        assert blocker == f"{cloud.task} Provision the tenant: The provider: No capacity in region"

    def test_that_is_mended_is_told_as_done(self, cloud: Cloud) -> None:
        cloud.tell(failed="No capacity in region")

        answer = cloud.tell()
        cloud.app.run_tasks()

        assert (answer.json["state"], answer.json["is_new"]) == ("Completed", True)
        assert [starts_on for starts_on, _ in cloud.charges()] == [JUNE_16]
        assert cloud.world.one("SELECT blocker FROM v_order_state").blocker is None

    def test_stays_when_what_is_told_then_is_refused(self, cloud: Cloud) -> None:
        cloud.tell(failed="No capacity in region")
        before = cloud.world.one("SELECT blocker FROM v_order_state").blocker

        answer = cloud.tell(provisioned_at="2025-01-16T15:00:00+02:00")

        assert answer.status_code == 409
        assert cloud.world.one("SELECT blocker FROM v_order_state").blocker == before

    def test_of_what_was_done_before_is_refused(self, cloud: Cloud) -> None:
        cloud.tell()
        cloud.app.run_tasks()

        answer = cloud.tell(failed="Gone")

        assert answer.status_code == 409
        assert "was completed before" in answer.json["error"]
        assert cloud.world.one("SELECT state FROM service").state == "In Service"

    def test_of_a_task_that_runs_by_itself_or_waits_is_refused(self, cloud: Cloud) -> None:
        by_itself = "SELECT number FROM task WHERE name = 'Start service and billing'"

        answer = cloud.tell(task=cloud.world.one(by_itself).number, failed="No")

        assert (answer.status_code, "runs by itself" in answer.json["error"]) == (409, True)


@pytest.mark.parametrize(
    ("told", "status", "said"),
    [
        ({"secret": "another"}, 401, "does not fit"),
        ({"late": timedelta(hours=1)}, 401, "too long ago"),
        ({"task": "TSK-999999"}, 409, "no task TSK-999999"),
        ({"provisioned_at": "2026-06-16T15:00:00+02:00"}, 400, "is told to be done at"),
        ({"provisioned_at": "2025-01-16T15:00:00+02:00"}, 409, "cannot take effect"),
        ({"price": "0"}, 400, "unknown field 'price'"),
    ],
)
def test_what_is_wrong_is_refused_and_changes_nothing(
    cloud: Cloud, told: dict[str, Any], status: int, said: str
) -> None:
    before = cloud.world.states()

    answer = cloud.tell(**told)

    assert answer.status_code == status
    assert said in answer.json["error"]
    assert cloud.world.states() == before


def test_a_task_that_waits_for_another_or_runs_by_itself_is_not_completed(cloud: Cloud) -> None:
    by_itself = "SELECT number FROM task WHERE name = 'Start service and billing'"

    answer = cloud.tell(task=cloud.world.one(by_itself).number)

    assert answer.status_code == 409
    assert cloud.charges() == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"task": "TSK-1"}', "no 'provisioned_at'"),
        (b'{"task": "TSK-1", "failed": " "}', "'failed' of a notice says why"),
        (b'{"task": "TSK-1", "failed": "x", "reference": "y"}', "unknown field 'reference'"),
        (b'{"failed": "x"}', "no 'task'"),
        (b'{"task": 1, "provisioned_at": "x"}', "'task' of a notice is one line"),
        (b'{"task": "\\ud800", "provisioned_at": "x"}', "'task' of a notice is one line"),
        (b'{"task": "TSK-1", "provisioned_at": "yesterday"}', "reads like"),
        (b'{"task": "TSK-1", "provisioned_at": "2026-06-16T14:05:00"}', "reads like"),
        (b'{"task": "TSK-1", "provisioned_at": "0001-01-01T00:00:00+14:00"}', "reads like"),
    ],
)
def test_a_notice_that_says_nothing_useful_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_notice(body)


@given(
    fields=st.dictionaries(
        st.sampled_from(["task", "provisioned_at", "reference", "failed", "other"]),
        st.none() | st.text(max_size=40) | st.integers() | st.just(TOLD),
    )
)
def test_whatever_a_notice_says_it_is_read_or_refused(fields: dict[str, Any]) -> None:
    try:
        notice = read_notice(json.dumps(fields).encode())
    except InvalidInput:
        return
    if notice.provisioned_at is None:
        assert notice.failure
    else:
        assert notice.provisioned_at.utcoffset() is not None
