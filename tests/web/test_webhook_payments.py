import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from billing_world import BillingWorld
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from connector.config import Settings, load_settings
from connector.errors import InvalidInput
from connector.kernel.clock import MovableClock
from connector.store.engine import Store
from connector.web.webhooks.payments import blueprint, read_notice
from connector.web.webhooks.signature import HEADER, BadSignature, check_signature

SECRET = "a-shared-secret"
WALL = datetime(2026, 11, 1, 12, tzinfo=UTC)
BUSINESS = datetime(2026, 7, 10, 9, tzinfo=UTC)
NOTICE = {
    "reference": "CARD-1",
    "date": "2026-07-08",
    "amount": "119.00",
    "currency": "EUR",
    "invoice_number": "RT-000001",
    "method": "Card",
}


@dataclass
class Nudges:
    """Remembers what was asked for."""

    asked: list[str] = field(default_factory=list)

    def nudge(self, name: str) -> None:
        self.asked.append(name)


@dataclass
class PaymentStage:
    """Just what the room asks of the application."""

    settings: Settings
    store: Store
    clock: MovableClock
    wall_clock: MovableClock
    queue: Nudges = field(default_factory=Nudges)


@pytest.fixture
def world(store: Store) -> BillingWorld:
    made = BillingWorld(store)
    made.tax("19")
    payer = made.payer()
    made.sell(payer, made.product("router"), "100.00", date(2026, 6, 3), quantity="1")
    made.bill(date(2026, 7, 1))
    return made


@pytest.fixture
def stage(world: BillingWorld, tmp_path: Path) -> PaymentStage:
    config = tmp_path / "config.yaml"
    config.write_text(f"webhooks: {{payment_secret: {SECRET}}}", encoding="utf-8")
    settings = load_settings(config)
    return PaymentStage(settings, world.store, MovableClock(BUSINESS), MovableClock(WALL))


@pytest.fixture
def client(stage: PaymentStage) -> FlaskClient:
    flask = Flask("test")
    flask.register_blueprint(blueprint(stage))
    return flask.test_client()


def signature(body: bytes, *, secret: str = SECRET, at: datetime = WALL) -> str:
    stamp = int(at.timestamp())
    mac = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={mac}"


def send(client: FlaskClient, body: bytes, header: str | None = None) -> Any:
    headers = {HEADER: signature(body) if header is None else header}
    return client.post("/webhooks/payments", data=body, headers=headers)


def test_a_signed_notice_pays_the_invoice(
    client: FlaskClient, world: BillingWorld, stage: PaymentStage
) -> None:
    answer = send(client, json.dumps(NOTICE).encode())

    assert answer.status_code == 200
    assert answer.json["is_new"] is True
    assert world.documents()[0]["status"] == "Paid"
    assert world.one("SELECT source, created_at FROM payment") == ("webhook", BUSINESS)
    assert stage.queue.asked == ["push_changes"]


def test_a_replay_is_answered_the_same_and_pays_once(
    client: FlaskClient, world: BillingWorld
) -> None:
    body = json.dumps(NOTICE).encode()
    first = send(client, body)

    again = send(client, body)

    assert again.status_code == 200
    assert again.json == first.json | {"is_new": False}
    assert world.one("SELECT count(*), sum(amount) FROM payment") == (1, 119)


def test_a_notice_for_an_unknown_invoice_is_held(client: FlaskClient, world: BillingWorld) -> None:
    answer = send(client, json.dumps(NOTICE | {"invoice_number": "X-1"}).encode())

    assert (answer.status_code, answer.json["held"]) == (200, "Unknown invoice X-1.")


def test_another_amount_under_the_same_reference_is_a_conflict(client: FlaskClient) -> None:
    send(client, json.dumps(NOTICE).encode())

    assert send(client, json.dumps(NOTICE | {"amount": "1.00"}).encode()).status_code == 409


BODY = json.dumps(NOTICE).encode()


def check(header: str, *, body: bytes = BODY, secret: str = SECRET) -> None:
    check_signature(
        header=header, body=body, secret=secret, now_s=int(WALL.timestamp()), age_max_s=300
    )


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=1",
        "v1=00",
        "nonsense",
        signature(BODY, secret="another"),
        signature(BODY + b" "),
        signature(BODY, at=WALL - timedelta(seconds=301)),
        signature(BODY, at=WALL + timedelta(seconds=301)),
        signature(BODY, at=BUSINESS),
        signature(BODY).replace("t=", "t=1"),
        f"t=1,{signature(BODY)}",
        "t=99999999999999999999,v1=00",
        signature(BODY).replace("v1=", "v1=é"),
    ],
)
def test_what_was_not_signed_just_now_is_refused(header: str) -> None:
    with pytest.raises(BadSignature):
        check(header)


@pytest.mark.parametrize("age_s", [-300, 0, 300])
def test_a_signature_holds_for_five_minutes(age_s: int) -> None:
    check(signature(BODY, at=WALL - timedelta(seconds=age_s)))


def test_the_old_and_the_new_secret_may_sign_together() -> None:
    stamp, _, mac = signature(BODY).partition(",")

    check(f"{stamp},v1={'0' * 64},{mac}")


def test_without_a_secret_every_notice_is_refused() -> None:
    with pytest.raises(BadSignature, match="No secret"):
        check(signature(BODY, secret=""), secret="")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"[" * 100_000, "not JSON"),
        (b"{}", "no 'amount'"),
        (json.dumps(NOTICE | {"iban": "DE"}).encode(), "unknown field 'iban'"),
        (json.dumps(NOTICE | {"amount": 119.0}).encode(), "'amount' of a notice is a text"),
        (json.dumps(NOTICE | {"amount": "lots"}).encode(), "reads like 150.00"),
        (json.dumps(NOTICE | {"amount": "NaN"}).encode(), "NaN is not an amount"),
        (json.dumps(NOTICE | {"amount": None}).encode(), "reads like 150.00"),
        (json.dumps(NOTICE | {"amount": "-1.00"}).encode(), "-1.00 is not an amount"),
        (json.dumps(NOTICE | {"currency": "EURO"}).encode(), "not a currency"),
        (json.dumps(NOTICE | {"reference": None}).encode(), "needs a reference"),
    ],
)
def test_a_notice_that_says_nothing_useful_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_notice(body)


def test_what_is_refused_leaves_nothing_behind(client: FlaskClient, world: BillingWorld) -> None:
    answers = [
        send(client, BODY, "t=1,v1=00").status_code,
        send(client, b"{}").status_code,
        send(client, b" " * 1_100_000).status_code,
    ]

    assert answers == [401, 400, 413]
    assert world.one("SELECT count(*) FROM payment")[0] == 0


@given(
    fields=st.dictionaries(
        st.sampled_from([*NOTICE, "other"]),
        st.none() | st.text(max_size=40) | st.integers() | st.lists(st.none(), max_size=2),
    )
)
def test_whatever_a_notice_says_it_is_read_or_refused(fields: dict[str, Any]) -> None:
    try:
        notice = read_notice(json.dumps(fields).encode())
    except InvalidInput:
        return
    assert notice.amount > 0
