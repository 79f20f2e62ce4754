"""The API calls of a day: reserved by lane, slowed before they end, none wasted once they did."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.session import LimitInfo
from connector.bootstrap import App
from connector.config import Settings, SyncSettings
from connector.errors import TransientFailure
from connector.sync.budget.forecast import Sample, exhausted_at
from connector.sync.budget.governor import CallsHeld, Governor
from connector.sync.budget.lanes import DEFAULT_SHARES, Budget, Lane, shares_of
from connector.sync.budget.usage import spend
from connector.sync.status import sync_status

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def budget(*, left: int, **more: object) -> Budget:
    return Budget(used=1_000 - left, allowed=1_000, **more)  # type: ignore[arg-type]


class TestLanes:
    def test_an_org_that_has_not_answered_yet_limits_nothing(self):
        assert Budget().leave(Lane.SWEEP, now=NOON).calls_max is None

    def test_a_lane_may_not_take_what_is_reserved_for_others(self):
        # Reserved: interactive 100, push 350, sweep 100, reconcile 50, others 200 (used up).
        seen = budget(left=700, spent={Lane.PUSH: 100})

        assert seen.spendable(Lane.RECONCILE) == 700 - 100 - 250 - 100
        assert seen.spendable(Lane.PUSH) == 700 - 100 - 100 - 50

    def test_what_the_org_counted_and_we_did_not_is_the_others(self):
        assert budget(left=700, spent={Lane.PUSH: 100}).spent_by(Lane.OTHERS) == 200

    def test_a_lane_with_nothing_left_says_so(self):
        seen = budget(left=150, spent={Lane.RECONCILE: 50})

        leave = seen.leave(Lane.RECONCILE, now=NOON)

        assert not leave.is_given
        assert "150 API calls are left, reserved for others" in leave.why_not

    def test_what_is_left_after_others_took_more_than_theirs_is_shared_out(self):
        # Reserved and not spent: 100, 350, 100, 50; 600 of the 300 that are left.
        seen = budget(left=300)

        shares = [seen.spendable(lane) for lane in (Lane.INTERACTIVE, Lane.PUSH, Lane.RECONCILE)]

        assert shares == [50, 175, 25]

    def test_its_own_reservation_is_a_lanes_to_the_last_call(self):
        spent = {Lane.PUSH: 400, Lane.RECONCILE: 60, Lane.INTERACTIVE: 100, Lane.SWEEP: 40}

        assert budget(left=60, spent=spent).spendable(Lane.SWEEP) == 60

    @pytest.mark.parametrize(
        ("left", "slowness"), [(1_000, 1), (300, 1), (150, 2), (30, 10), (0, 20)]
    )
    def test_slows_down_below_thirty_percent_and_not_before(self, left, slowness):
        assert budget(left=left).slowness == slowness

    def test_a_slowed_sweep_waits_a_multiple_of_its_minute(self):
        everything = {Lane.OTHERS: 0, Lane.PUSH: 0, Lane.INTERACTIVE: 0, Lane.RECONCILE: 0}
        seen = budget(left=150, shares=everything, last_call_at={Lane.SWEEP: NOON})

        early = seen.leave(Lane.SWEEP, now=NOON + timedelta(seconds=119))
        later = seen.leave(Lane.SWEEP, now=NOON + timedelta(seconds=120))

        assert "goes on at 12:02:00" in early.why_not
        assert later.is_given

    def test_the_settings_and_the_code_reserve_the_same(self):
        assert shares_of(SyncSettings().budget) == DEFAULT_SHARES

    @pytest.mark.parametrize("wrong", [{"pushes": 5}, {"push": 90}, {"push": -1}])
    def test_shares_that_cannot_be_are_refused(self, wrong):
        with pytest.raises(ValidationError):
            SyncSettings(budget=wrong)

    def test_a_lane_that_is_not_named_keeps_its_share(self):
        assert SyncSettings(budget={"push": 40}).budget["sweep"] == DEFAULT_SHARES[Lane.SWEEP]


class TestForecast:
    def test_follows_a_straight_line_through_the_last_hours(self):
        samples = [
            Sample(NOON - timedelta(hours=9), 0, 1_000),  # too long ago to count
            Sample(NOON - timedelta(hours=2), 400, 1_000),
            Sample(NOON, 600, 1_000),
        ]

        assert exhausted_at(samples) == NOON + timedelta(hours=4)

    def test_says_nothing_when_the_count_does_not_grow(self):
        samples = [Sample(NOON - timedelta(hours=2), 600, 1_000), Sample(NOON, 500, 1_000)]

        assert exhausted_at(samples) is None

    def test_says_nothing_after_a_few_minutes_only(self):
        samples = [Sample(NOON - timedelta(minutes=5), 0, 1_000), Sample(NOON, 500, 1_000)]

        assert exhausted_at(samples) is None

    def test_says_now_when_nothing_is_left(self):
        assert exhausted_at([Sample(NOON, 1_000, 1_000)]) == NOON


@pytest.fixture
def app(store, org) -> Iterator[App]:
    settings = Settings(
        salesforce={  # type: ignore[arg-type]
            "login_url": org.base_url,
            "client_id": org.client_id,
            "client_secret": org.client_secret,
        }
    )
    app = App(settings=settings, store=store)
    yield app
    app.org.close()


@pytest.fixture
def limits(org) -> Iterator[object]:
    """Set what the org allows and has used; afterwards it is generous again."""

    def put(**figures: int) -> None:
        org.admin("limits", body=figures)

    yield put
    put(max=1_000_000, used=0, long_calls=25)


@pytest.fixture
def governor(store, client) -> Governor:
    client.identity()  # logging in counts for nothing, but may be refused as well
    return Governor(store, lambda: client)


def _later(store, **shift: int) -> None:
    """Let time pass: what is held comes nearer, what was called moves away."""
    with store.transaction() as tx:
        tx.execute(
            text("UPDATE api_usage SET held_until = held_until - :shift"),
            {"shift": timedelta(**shift)},
        )


def _ask(governor: Governor, client: OrgClient, lane: Lane = Lane.SWEEP) -> None:
    with governor.spending(lane):
        client.query_all("SELECT Id FROM Account LIMIT 1")


def _status(store):
    with store.read() as tx:
        return sync_status(tx=tx).budget


class TestTheGovernor:
    def test_books_every_call_on_its_lane(self, governor, client, store):
        _ask(governor, client, Lane.SWEEP)
        _ask(governor, client, Lane.PUSH)
        _ask(governor, client, Lane.PUSH)

        seen = _status(store)
        assert (seen.lanes["sweep"].spent, seen.lanes["push"].spent) == (1, 2)
        assert seen.allowed is not None

    def test_a_call_that_failed_is_booked_too(self, governor, client, store, org):
        org.admin("faults", body={"faults": [{"kind": "http", "status": 503, "count": 1}]})

        with pytest.raises(TransientFailure):
            _ask(governor, client)

        assert _status(store).lanes["sweep"].spent == 1

    def test_reads_what_is_left_from_every_answer(self, governor, client, store, limits):
        limits(max=1_000, used=899)

        _ask(governor, client)

        assert (_status(store).used, _status(store).percent_left) == (900, 10)
        assert _status(store).slowness == 3

    def test_keeps_a_sample_every_five_minutes_for_a_day(self, governor, client, store):
        with store.transaction() as tx:
            tx.execute(
                text(
                    "INSERT INTO api_sample (at, used, allowed)"
                    " SELECT now() - n * interval '5 minutes', 1, 100"
                    " FROM generate_series(1, 400) n"
                )
            )

        _ask(governor, client)

        with store.read() as tx:
            assert tx.execute(text("SELECT count(*) FROM api_sample")).scalar_one() <= 289

    def test_when_the_day_is_used_up_nothing_is_sent_any_more(
        self, governor, client, store, limits
    ):
        limits(max=100, used=100)
        with pytest.raises(TransientFailure):
            _ask(governor, client)
        calls = client.calls

        for lane in (Lane.INTERACTIVE, Lane.PUSH, Lane.SWEEP, Lane.RECONCILE):
            assert not governor.leave(lane).is_given
        with pytest.raises(CallsHeld), governor.allowed(Lane.RECONCILE):
            pytest.fail("nobody may call")

        assert client.calls == calls
        assert "used up" in _status(store).held

    def test_after_five_minutes_one_process_probes(self, governor, client, store, limits):
        limits(max=100, used=100)
        with pytest.raises(TransientFailure):
            _ask(governor, client)
        calls = client.calls
        _later(store, minutes=5)

        leaves = [governor.leave(Lane.PUSH), governor.leave(Lane.PUSH)]

        assert not any(leave.is_given for leave in leaves)
        assert client.calls == calls + 1

    def test_goes_on_when_the_probe_is_answered(self, governor, client, store, limits):
        limits(max=100, used=100)
        with pytest.raises(TransientFailure):
            _ask(governor, client)
        limits(max=1_000, used=100)
        _later(store, minutes=5)

        leave = governor.leave(Lane.PUSH)

        assert leave.is_given
        assert _status(store).held == ""

    def test_too_many_calls_at_once_hold_for_seconds_and_need_no_probe(
        self, governor, client, store, limits
    ):
        limits(long_calls=0)
        with pytest.raises(TransientFailure):
            _ask(governor, client)
        calls = client.calls

        held = governor.leave(Lane.PUSH)
        _later(store, seconds=2)
        later = governor.leave(Lane.PUSH)

        assert "at once" in held.why_not
        assert later.is_given
        assert client.calls == calls

    def test_too_many_at_once_again_and_again_hold_longer(self, governor, client, store, limits):
        limits(long_calls=0)
        pauses_s = []
        for _ in range(7):
            with pytest.raises(TransientFailure):
                _ask(governor, client)
            with store.read() as tx:
                pauses_s.append(
                    tx.execute(
                        text("SELECT ceil(extract(epoch FROM held_until - now())) FROM api_usage")
                    ).scalar_one()
                )

        assert pauses_s == [2, 4, 8, 16, 32, 60, 60]

    def test_a_call_that_is_answered_ends_the_growing(self, governor, client, store, limits):
        limits(long_calls=0)
        with pytest.raises(TransientFailure):
            _ask(governor, client)
        limits(long_calls=25)

        _ask(governor, client)

        with store.read() as tx:
            assert tx.execute(text("SELECT holds FROM api_usage")).scalar_one() == 0


class TestTheUseCases:
    def test_push_waits_in_its_queue_while_the_day_is_used_up(
        self, app, world, store, limits, push
    ):
        limits(max=100, used=100)
        first = app.push_changes()
        calls = app.org.calls

        second = app.push_changes()

        assert first.interrupted
        assert second.interrupted
        assert "used up" in second.interrupted
        assert app.org.calls == calls

    def test_sweep_and_comparison_wait_too(self, app, limits):
        limits(max=100, used=100)
        app.push_changes()
        with pytest.raises(TransientFailure):
            app.sweep()
        calls = app.org.calls

        assert "used up" in app.sweep().held
        with pytest.raises(CallsHeld):
            app.reconcile()
        assert app.org.calls == calls

    def test_a_few_changed_records_have_a_lane_of_their_own(self, app, world, store, change):
        app.push_changes()
        backlog = _status(store).lanes
        change("UPDATE payment SET reference = 'T-78'")

        app.push_changes()

        assert (backlog["push"].spent, backlog["interactive"].spent) == (6, 0)
        assert _status(store).lanes["interactive"].spent > 0

    def test_a_few_changed_records_go_with_the_backlog_when_their_lane_is_used_up(
        self, app, world, store, change
    ):
        app.push_changes()
        with store.transaction() as tx:
            spend(tx=tx, lane=Lane.INTERACTIVE, calls=100, limit=LimitInfo(600, 1_000))
        before = _status(store).lanes
        change("UPDATE payment SET reference = 'T-78'")

        report = app.push_changes()

        after = _status(store).lanes
        assert (report.written, report.interrupted) == (1, None)
        assert after["push"].spent == before["push"].spent + report.api_calls
        assert after["interactive"].spent == 100

    def test_a_push_by_hand_asks_no_second_time_when_the_day_is_used_up(
        self, client, world, limits, push
    ):
        client.identity()
        limits(max=100, used=100)

        report = push(patience_s=5)

        assert (report.limit, report.api_calls) == ("daily", 1)

    def test_a_push_by_hand_waits_longer_each_time_there_are_too_many_calls_at_once(
        self, client, world, limits, push, monkeypatch
    ):
        client.identity()
        limits(long_calls=0)
        pauses_s = []
        monkeypatch.setattr("connector.sync.push.run.time.sleep", pauses_s.append)

        report = push(patience_s=30)

        assert report.limit == "concurrency"
        assert [pause for pause in pauses_s if pause >= 2] == [2, 4, 8, 16]
