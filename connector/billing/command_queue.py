"""A foreign billing system behind the boundary: commands are stored here and delivered later.

The command stands in the transaction that asks for it, so an order cannot be delivered without its
billing. Delivery is outside (`flows/billing_systems.py`): the other database may be away.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import Connection, Row, text

from connector.billing.requests import (
    ChangeOf,
    ChangeRequest,
    ChargeRequest,
    EndRequest,
    StartRequest,
    payer_of,
)
from connector.charging.segments import BillingAlreadyEnded, BillingAlreadyStarted, NothingToBill
from connector.errors import InvalidInput
from connector.parties.billing_accounts import PayerTerms, open_billing_account
from connector.store.engine import to_json

log = structlog.get_logger(__name__)

_SERVICE = text(
    "SELECT s.id, s.number, s.brand_id, s.billing_account_id, s.product_id, s.quantity, "
    "       s.mr_price, s.currency FROM service s WHERE s.id = :id FOR NO KEY UPDATE"
)
_LOCATION = text("SELECT name, street, postal_code, city, country FROM location WHERE id = :id")
_OF_SERVICE = text(
    "SELECT id, key, command, effective_on FROM billing_command "
    " WHERE system = :system AND service_id = :service AND command <> 'charge' "
    "   AND coalesce(payload ->> 'add_on', '') = :add_on ORDER BY id"
)
_INSERT = text(
    """
    INSERT INTO billing_command (brand_id, system, key, command, billing_account_id, service_id,
                                 order_line_id, product_id, effective_on, quantity, unit_price,
                                 payload, created_at)
    SELECT b.brand_id, b.system, :key, :command, b.id, CAST(:service AS bigint),
           CAST(:line AS bigint), CAST(:product AS bigint), :on, CAST(:quantity AS numeric),
           CAST(:unit_price AS numeric),
           jsonb_strip_nulls(jsonb_build_object(
               'account', jsonb_build_object(
                   'reference', 'l2c:billing_account:' || b.id, 'number', b.number,
                   'known_as', b.foreign_key, 'crm_id', a.sfid, 'name', a.name, 'email', b.email,
                   'street', a.street, 'city', a.city, 'postal_code', a.postal_code,
                   'country', a.country, 'currency', b.currency,
                   'tax_exempt', a.is_tax_exempt, 'payment_days', b.payment_terms_days,
                   'timezone', b.timezone, 'anchor_day', b.anchor_day, 'brand', r.key),
               'service', (SELECT s.number FROM service s WHERE s.id = :service),
               'order_line', (SELECT o.number || '/' || l.sequence FROM order_line l
                                JOIN customer_order o ON o.id = l.order_id WHERE l.id = :line),
               'product', (SELECT jsonb_build_object(
                                      'key', p.key, 'name', p.display_name,
                                      'tax_category', p.tax_category,
                                      'accounting_code', p.accounting_code)
                             FROM product p WHERE p.id = :product)
           ) || CAST(:extra AS jsonb)),
           :now
      FROM billing_account b
      JOIN account a ON a.id = b.account_id
      JOIN brand r ON r.id = b.brand_id
     WHERE b.id = :account
    ON CONFLICT (system, key) DO NOTHING
    RETURNING id
    """
)
_FIND = text("SELECT id FROM billing_command WHERE system = :system AND key = :key")
_OWED = text(
    "SELECT id, key, command, billing_account_id, effective_on, quantity, unit_price, payload, "
    "       created_at FROM billing_command "
    " WHERE system = :system AND delivered_at IS NULL ORDER BY id LIMIT :limit"
)
_DELIVERED = text(
    "UPDATE billing_command SET delivered_at = :now  WHERE id = ANY(:ids) AND delivered_at IS NULL"
)
_WAITING = text(
    "SELECT system, count(*) AS commands, min(created_at) AS since FROM billing_command "
    " WHERE delivered_at IS NULL GROUP BY system ORDER BY system"
)


@dataclass(frozen=True, slots=True)
class OwedCommand:
    """A command that a foreign system has not got yet; `sequence` rises in the order of asking."""

    sequence: int
    key: str
    command: str
    account_reference: str
    effective_on: date
    quantity: Decimal | None
    unit_price: Decimal | None
    payload: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """Commands of a system that are not delivered, and since when the oldest waits."""

    system: str
    commands: int
    since: datetime


class QueuedBilling:
    """Stores commands for a foreign billing system; which one is its name."""

    def __init__(self, system: str) -> None:
        self.system = system

    def open_account(
        self, *, tx: Connection, account_id: int, currency: str, terms: PayerTerms, now: datetime
    ) -> int:
        """Return the customer's account there; a new one is known here before it is there."""
        billing_account_id = open_billing_account(
            tx=tx,
            account_id=account_id,
            currency=currency,
            terms=terms,
            now=now,
            system=self.system,
        )
        self._store(
            tx, f"open:{billing_account_id}", "open_account", billing_account_id, now.date(), now
        )
        return billing_account_id

    def start(self, *, tx: Connection, request: StartRequest, now: datetime) -> int:
        """Ask to bill a service or an add-on of it from a day on, or to take a service over.

        Raises:
            BillingAlreadyStarted: Another order line started it.
        """
        service = _service(tx, request.service_id)
        add_on = request.add_on
        name = add_on.name if add_on else ""
        key = _key("start", request.order_line_id, name)
        told = self._told(tx, request.service_id, name)
        is_over = bool(told) and told[-1].command == "end"
        if told and key not in {row.key for row in told} and not is_over:
            raise BillingAlreadyStarted(
                f"Service {service.number} is billed from {told[0].effective_on} already."
            )
        return self._store(
            tx,
            key,
            "start",
            request.payer_id or service.billing_account_id,
            request.on,
            now,
            service_id=service.id,
            order_line_id=request.order_line_id,
            product_id=add_on.product_id if add_on else service.product_id,
            quantity=add_on.quantity if add_on else service.quantity,
            unit_price=add_on.mr_price if add_on else service.mr_price,
            extra={"add_on": name or None},
        )

    def change(self, *, tx: Connection, request: ChangeRequest, now: datetime) -> int:
        """Ask to bill a service or an add-on of it otherwise from a day on.

        What changes is in the payload: the terms, the place, or that it is suspended or resumed.

        Raises:
            NothingToBill: Billing never started.
            BillingAlreadyEnded: Billing ended before that day.
        """
        service = _service(tx, request.service_id)
        key = (
            f"renewal:service:{service.id}:{request.on}"
            if request.order_line_id is None
            else _key("change", request.order_line_id, request.add_on)
        )
        self._refuse_unbilled(tx, service, key, request.on, request.add_on)
        return self._store(
            tx,
            key,
            "change",
            service.billing_account_id,
            request.on,
            now,
            service_id=service.id,
            order_line_id=request.order_line_id,
            product_id=request.product_id,
            quantity=request.quantity,
            unit_price=request.mr_price,
            extra={
                "add_on": request.add_on or None,
                "what": None if request.what is ChangeOf.TERMS else str(request.what),
                "place": _place(tx, request.location_id),
            },
        )

    def end(self, *, tx: Connection, request: EndRequest, now: datetime) -> bool:
        """Ask to bill a service or an add-on up to, not including, a day; return whether it is new.

        Raises:
            NothingToBill: Billing never started.
            BillingAlreadyEnded: Billing ended before that day.
        """
        service = _service(tx, request.service_id)
        key = _key("end", request.order_line_id, request.add_on)
        told = self._refuse_unbilled(tx, service, key, request.on, request.add_on)
        ends = [row for row in told if row.command == "end"]
        if any(row.key == key or row.effective_on == request.on for row in ends):
            return False
        self._store(
            tx,
            key,
            "end",
            service.billing_account_id,
            request.on,
            now,
            service_id=service.id,
            order_line_id=request.order_line_id,
            extra={"add_on": request.add_on or None},
        )
        return True

    def charge_once(self, *, tx: Connection, request: ChargeRequest, now: datetime) -> int:
        """Ask to charge an order line once; what comes back has a quantity below zero.

        Raises:
            ForeignCurrency: The billing account is kept in another currency.
            InvalidInput: Quantity or price is below zero.
        """
        payer_of(tx, request)
        if request.quantity < 0 or request.unit_price < 0:
            raise InvalidInput(
                f"{request.quantity} at {request.unit_price} is not a one-time price."
            )
        return self._store(
            tx,
            _key(
                "return" if request.is_return else "charge", request.order_line_id, request.add_on
            ),
            "charge",
            request.billing_account_id,
            request.on,
            now,
            service_id=request.service_id,
            order_line_id=request.order_line_id,
            product_id=request.product_id,
            quantity=-request.quantity if request.is_return else request.quantity,
            unit_price=None if request.is_return else request.unit_price,
            extra={"description": None if request.is_return else request.description},
        )

    def _told(self, tx: Connection, service_id: int, add_on: str) -> Sequence[Row[Any]]:
        """Return what was asked of a service or add-on since it was last started."""
        values = {"system": self.system, "service": service_id, "add_on": add_on}
        told = tx.execute(_OF_SERVICE, values).all()
        starts = [place for place, row in enumerate(told) if row.command == "start"]
        return told[starts[-1] :] if starts else told

    def _refuse_unbilled(
        self, tx: Connection, service: Row[Any], key: str, on: date, add_on: str
    ) -> Sequence[Row[Any]]:
        told = self._told(tx, service.id, add_on)
        if not told:
            what = f"add-on '{add_on}' of service" if add_on else "service"
            raise NothingToBill(f"Billing of {what} {service.number} never started.")
        ended = [row.effective_on for row in told if row.command == "end" and row.key != key]
        if ended and ended[0] < on:
            raise BillingAlreadyEnded(f"Service {service.number} is billed until {ended[0]} only.")
        return told

    def _store(
        self,
        tx: Connection,
        key: str,
        command: str,
        billing_account_id: int,
        on: date,
        now: datetime,
        *,
        service_id: int | None = None,
        order_line_id: int | None = None,
        product_id: int | None = None,
        quantity: Decimal | None = None,
        unit_price: Decimal | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> int:
        stored = tx.scalar(
            _INSERT,
            {
                "key": key,
                "command": command,
                "account": billing_account_id,
                "service": service_id,
                "line": order_line_id,
                "product": product_id,
                "on": on,
                "quantity": quantity,
                "unit_price": unit_price,
                "extra": to_json(dict(extra or {})).decode(),
                "now": now,
            },
        )
        if stored is None:
            stored = tx.scalar(_FIND, {"system": self.system, "key": key})
        else:
            log.info("billing.command_stored", system=self.system, key=key)
        assert stored is not None
        return int(stored)


def owed_commands(*, tx: Connection, system: str, limit: int) -> list[OwedCommand]:
    """Return the oldest commands that a system has not got yet."""
    return [
        OwedCommand(
            sequence=row.id,
            key=row.key,
            command=row.command,
            account_reference=f"l2c:billing_account:{row.billing_account_id}",
            effective_on=row.effective_on,
            quantity=row.quantity,
            unit_price=row.unit_price,
            payload=row.payload,
            created_at=row.created_at,
        )
        for row in tx.execute(_OWED, {"system": system, "limit": limit})
    ]


def note_delivered(*, tx: Connection, commands: Sequence[OwedCommand], now: datetime) -> None:
    """Remember that commands stand in the foreign outbox."""
    tx.execute(_DELIVERED, {"ids": [one.sequence for one in commands], "now": now})


def waiting_commands(*, tx: Connection) -> list[Waiting]:
    """Return what is not delivered, by system."""
    return [Waiting(**row._mapping) for row in tx.execute(_WAITING)]


def _key(command: str, order_line_id: int, add_on: str = "") -> str:
    return f"{command}:line:{order_line_id}" + (f":{add_on}" if add_on else "")


def _place(tx: Connection, location_id: int | None) -> dict[str, Any] | None:
    if location_id is None:
        return None
    return dict(tx.execute(_LOCATION, {"id": location_id}).one()._mapping)


def _service(tx: Connection, service_id: int) -> Row[Any]:
    return tx.execute(_SERVICE, {"id": service_id}).one()
