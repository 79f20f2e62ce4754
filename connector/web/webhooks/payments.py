"""Payment notices of a gateway: signed, fresh, recorded once.

The header is that of `signature.py`. The body is one JSON object: `reference`, `date`, `amount` (a
string), `currency`, and optionally `invoice_number`, `account_number`, `method`. A replay is
harmless: a reference is recorded once.
"""

import json
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from flask import Blueprint, Response, jsonify

from connector.billing.payments import PaymentNotice, record_payments
from connector.errors import ConnectorError, InvalidInput
from connector.kernel.clock import Clock
from connector.store.engine import Store
from connector.web.webhooks.signed_notice import NoticeApp, refusal, signed_body

SOURCE = "webhook"
PUSH_JOB = "push_changes"
_REQUIRED = frozenset({"reference", "date", "amount", "currency"})
_KNOWN = _REQUIRED | {"invoice_number", "account_number", "method"}


class BadNotice(InvalidInput):
    """The notice is signed but says nothing that could be recorded."""

    code = "webhooks.bad_payment_notice"


class Queue(Protocol):
    """Where the webhook asks for work without waiting for it."""

    def nudge(self, name: str) -> None:
        """Ask for a run of the job; many asks at once may become one."""


class PaymentApp(NoticeApp, Protocol):
    """What the payment webhook needs of the application."""

    @property
    def store(self) -> Store:
        """Return the hub's database."""

    @property
    def queue(self) -> Queue:
        """Return the job queue."""

    @property
    def clock(self) -> Clock:
        """Return the business clock."""


def blueprint(app: PaymentApp) -> Blueprint:
    """Return the room `POST /webhooks/payments`."""
    room = Blueprint("payments", __name__)

    @room.post("/webhooks/payments")
    def take_payment() -> tuple[Response, int]:
        try:
            notice = read_notice(signed_body(app, app.settings.webhooks.payment_secret))
            with app.store.transaction() as tx:
                (recorded,) = record_payments(tx=tx, notices=[notice], now=app.clock.now())
        except ConnectorError as error:
            return refusal("payment_notice", error)
        app.queue.nudge(PUSH_JOB)
        answer = {
            "payment_id": recorded.payment_id,
            "is_new": recorded.is_new,
            "held": recorded.hold_reason,
        }
        return jsonify(answer), 200

    return room


def read_notice(body: bytes) -> PaymentNotice:
    """Read a payment notice.

    Raises:
        InvalidInput: It is no JSON object of the known fields, or a value is wrong.
    """
    try:
        fields: Any = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise BadNotice("The notice is not JSON.") from None
    if not isinstance(fields, dict):
        raise BadNotice("The notice is not a JSON object.")
    if missing := sorted(_REQUIRED - fields.keys()):
        raise BadNotice(f"The notice has no '{missing[0]}'.")
    if unknown := sorted(fields.keys() - _KNOWN):
        raise BadNotice(f"The notice has an unknown field '{unknown[0][:40]}'.")
    for name, value in fields.items():
        if value is not None and not isinstance(value, str):
            raise BadNotice(f"'{name}' of a notice is a text.")
    try:
        amount = Decimal(fields["amount"])
        received_on = date.fromisoformat(fields["date"])
    except (InvalidOperation, ValueError, TypeError):
        raise BadNotice("'amount' reads like 150.00 and 'date' like 2026-07-10.") from None
    return PaymentNotice(
        source=SOURCE,
        reference=fields["reference"] or "",
        received_on=received_on,
        amount=amount,
        currency=fields["currency"] or "",
        method=fields.get("method") or "Card",
        invoice_number=fields.get("invoice_number"),
        account_number=fields.get("account_number"),
    )
