"""The billing boundary (design D14): what ordering may ask of billing, whoever does the billing.

Four commands (open account, start, change, end) and the one-time charge. Each is harmless when it
is repeated for the same order line. Nothing here commits. The billing account says which system
does the billing; `BillingSystem` is what each of them can do.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol

from sqlalchemy import Connection, text

from connector.billing.built_in import BuiltInBilling
from connector.billing.command_queue import QueuedBilling
from connector.billing.requests import ChangeRequest, ChargeRequest, EndRequest, StartRequest
from connector.billing.routing import ALL_BUILT_IN, Routing
from connector.errors import StateConflict
from connector.parties.billing_accounts import BUILT_IN, PayerTerms

_SYSTEM_OF_SERVICE = text(
    "SELECT b.system FROM service s JOIN billing_account b ON b.id = s.billing_account_id "
    " WHERE s.id = :id"
)
_SYSTEM_OF_ACCOUNT = text("SELECT system FROM billing_account WHERE id = :id")


class BillingSystem(Protocol):
    """What a billing system is asked to do; each command counts once per order line.

    Start, change and charge return the id of what now stands for it in the hub: a charge of the
    built-in system, a command handed to a foreign one.
    """

    def open_account(
        self, *, tx: Connection, account_id: int, currency: str, terms: PayerTerms, now: datetime
    ) -> int:
        """Return the customer's billing account in this currency, opening it when there is none."""
        ...

    def start(self, *, tx: Connection, request: StartRequest, now: datetime) -> int:
        """Bill a service at its own quantity and price from a local day on."""
        ...

    def change(self, *, tx: Connection, request: ChangeRequest, now: datetime) -> int:
        """Bill a service at another product, quantity or price from a day on."""
        ...

    def end(self, *, tx: Connection, request: EndRequest, now: datetime) -> bool:
        """Bill a service up to, not including, a day; return whether that changed anything."""
        ...

    def charge_once(self, *, tx: Connection, request: ChargeRequest, now: datetime) -> int:
        """Charge an order line once."""
        ...


def system_named(name: str) -> BillingSystem:
    """Return how a billing system is reached."""
    return BuiltInBilling() if name == BUILT_IN else QueuedBilling(name)


def open_account(
    *,
    tx: Connection,
    account_id: int,
    currency: str,
    terms: PayerTerms,
    routing: Routing = ALL_BUILT_IN,
    now: datetime,
) -> int:
    """Return the customer's billing account in this currency, opening it when there is none.

    The routing says in which system.
    """
    system = system_named(routing.system_of(tx=tx, account_id=account_id))
    return system.open_account(
        tx=tx, account_id=account_id, currency=currency, terms=terms, now=now
    )


def start_service_billing(
    *, tx: Connection, service_id: int, order_line_id: int, on: date, now: datetime
) -> int:
    """Bill a service at its own terms from a local day on; return what stands for it."""
    request = StartRequest(service_id=service_id, order_line_id=order_line_id, on=on)
    return _biller_of(tx, service_id).start(tx=tx, request=request, now=now)


def change_service_billing(
    *,
    tx: Connection,
    service_id: int,
    order_line_id: int,
    on: date,
    quantity: Decimal,
    mr_price: Decimal,
    mr_cost: Decimal,
    product_id: int,
    now: datetime,
    pricing: dict[str, Any] | None = None,
) -> int:
    """Bill a service otherwise from a day on; return what stands for it.

    The day may lie back; days billed at the old price are credited by the next bill.
    """
    request = ChangeRequest(
        service_id=service_id,
        order_line_id=order_line_id,
        on=on,
        product_id=product_id,
        quantity=quantity,
        mr_price=mr_price,
        mr_cost=mr_cost,
        pricing=pricing,
    )
    return _biller_of(tx, service_id).change(tx=tx, request=request, now=now)


def end_service_billing(
    *, tx: Connection, service_id: int, order_line_id: int, on: date, now: datetime
) -> bool:
    """Bill a service up to, not including, a day; return whether that changed anything.

    Days billed ahead are given back by a credit note of the next bill run.
    """
    request = EndRequest(service_id=service_id, order_line_id=order_line_id, on=on)
    return _biller_of(tx, service_id).end(tx=tx, request=request, now=now)


def charge_once(
    *,
    tx: Connection,
    billing_account_id: int,
    order_line_id: int,
    service_id: int | None,
    product_id: int,
    description: str,
    quantity: Decimal,
    unit_price: Decimal,
    unit_cost: Decimal,
    currency: str,
    on: date,
    now: datetime,
) -> int:
    """Charge an order line once; return what stands for it.

    Raises:
        ForeignCurrency: The billing account is kept in another currency.
    """
    system = tx.scalar(_SYSTEM_OF_ACCOUNT, {"id": billing_account_id})
    if system is None:
        raise StateConflict(f"There is no billing account {billing_account_id}.")
    request = ChargeRequest(
        billing_account_id=billing_account_id,
        order_line_id=order_line_id,
        service_id=service_id,
        product_id=product_id,
        description=description,
        quantity=quantity,
        unit_price=unit_price,
        unit_cost=unit_cost,
        currency=currency,
        on=on,
    )
    return system_named(system).charge_once(tx=tx, request=request, now=now)


def _biller_of(tx: Connection, service_id: int) -> BillingSystem:
    # A service nobody knows is refused by the built-in system, by name.
    return system_named(tx.scalar(_SYSTEM_OF_SERVICE, {"id": service_id}) or BUILT_IN)
