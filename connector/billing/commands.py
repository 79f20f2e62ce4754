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
from connector.billing.requests import (
    AddOnTerms,
    ChangeOf,
    ChangeRequest,
    ChargeRequest,
    EndRequest,
    ForeignCurrency,
    StartRequest,
)
from connector.billing.routing import ALL_BUILT_IN, Routing
from connector.errors import StateConflict
from connector.parties.billing_accounts import BUILT_IN, PayerTerms

_SYSTEM_OF_SERVICE = text(
    "SELECT b.system FROM service s JOIN billing_account b ON b.id = s.billing_account_id "
    " WHERE s.id = :id"
)
_STANDING = text(
    "SELECT product_id, quantity, mr_price, mr_cost, pricing FROM service WHERE id = :id"
)
_LOCK_PAYERS = text(
    "SELECT b.id, b.system, b.currency, b.number FROM billing_account b "
    " WHERE b.id = :to OR b.id = (SELECT billing_account_id FROM service WHERE id = :service_id) "
    " ORDER BY b.id FOR NO KEY UPDATE"
)
_SYSTEM_OF_ACCOUNT = text("SELECT system FROM billing_account WHERE id = :id")


class BillingSystem(Protocol):
    """What a billing system is asked to do; each command counts once per order line.

    Start, change and charge return the id of what now stands for it in the hub: a charge of the
    built-in system, a command handed to a foreign one; 0 where nothing had to move. An add-on is
    started, changed and ended as a service is. A service that is moved or suspended changes; one
    that another account takes over ends on the one and starts on the other.
    """

    def open_account(
        self, *, tx: Connection, account_id: int, currency: str, terms: PayerTerms, now: datetime
    ) -> int:
        """Return the customer's billing account in this currency, opening it when there is none."""
        ...

    def start(self, *, tx: Connection, request: StartRequest, now: datetime) -> int:
        """Bill a service at its own quantity and price from a local day on, or an add-on of it."""
        ...

    def change(self, *, tx: Connection, request: ChangeRequest, now: datetime) -> int:
        """Bill a service otherwise from a day on: at another price or place, or at rest."""
        ...

    def end(self, *, tx: Connection, request: EndRequest, now: datetime) -> bool:
        """Bill a service up to, not including, a day; return whether that changed anything."""
        ...

    def charge_once(self, *, tx: Connection, request: ChargeRequest, now: datetime) -> int:
        """Charge an order line once, or give back what was charged once before."""
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
    order_line_id: int | None,
    on: date,
    quantity: Decimal,
    mr_price: Decimal,
    mr_cost: Decimal,
    product_id: int,
    now: datetime,
    pricing: dict[str, Any] | None = None,
) -> int:
    """Bill a service otherwise from a day on; return what stands for it.

    The day may lie back; days billed at the old price are credited by the next bill. Without an
    order line it is the price of a term that was renewed, asked for once by who renews it.
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
    *,
    tx: Connection,
    service_id: int,
    order_line_id: int,
    on: date,
    now: datetime,
    is_fee_waived: bool = False,
) -> bool:
    """Bill a service up to, not including, a day; return whether that changed anything.

    Days billed ahead are given back by a credit note of the next bill run. What leaving a term
    early costs is charged, unless it is waived.
    """
    request = EndRequest(service_id, order_line_id, on, is_fee_waived=is_fee_waived)
    return _biller_of(tx, service_id).end(tx=tx, request=request, now=now)


def start_add_on_billing(
    *,
    tx: Connection,
    service_id: int,
    order_line_id: int,
    on: date,
    add_on: AddOnTerms,
    now: datetime,
) -> int:
    """Bill an add-on of a service from a day on; return what stands for it."""
    request = StartRequest(service_id, order_line_id, on, add_on=add_on)
    return _biller_of(tx, service_id).start(tx=tx, request=request, now=now)


def change_add_on_billing(
    *,
    tx: Connection,
    service_id: int,
    order_line_id: int,
    on: date,
    add_on: AddOnTerms,
    now: datetime,
) -> int:
    """Bill an add-on at another quantity or price from a day on; return what stands for it."""
    request = ChangeRequest(
        service_id=service_id,
        order_line_id=order_line_id,
        on=on,
        product_id=add_on.product_id,
        quantity=add_on.quantity,
        mr_price=add_on.mr_price,
        mr_cost=add_on.mr_cost,
        pricing=add_on.pricing,
        add_on=add_on.name,
    )
    return _biller_of(tx, service_id).change(tx=tx, request=request, now=now)


def end_add_on_billing(
    *, tx: Connection, service_id: int, order_line_id: int, on: date, name: str, now: datetime
) -> bool:
    """Bill an add-on up to, not including, a day; return whether that changed anything."""
    request = EndRequest(service_id, order_line_id, on, add_on=name)
    return _biller_of(tx, service_id).end(tx=tx, request=request, now=now)


def move_service_billing(
    *,
    tx: Connection,
    service_id: int,
    order_line_id: int,
    on: date,
    location_id: int | None,
    now: datetime,
) -> int:
    """Bill a service and its add-ons at another place from a day on; return what stands for it.

    Prices stay, the tax is that of the place.
    """
    request = _as_it_stands(tx, service_id, order_line_id, on, ChangeOf.PLACE, location_id)
    return _biller_of(tx, service_id).change(tx=tx, request=request, now=now)


def suspend_service_billing(
    *, tx: Connection, service_id: int, order_line_id: int, on: date, now: datetime
) -> int:
    """Bill what a service costs while it is suspended, by its policy; return what stands for it."""
    request = _as_it_stands(tx, service_id, order_line_id, on, ChangeOf.SUSPENDED)
    return _biller_of(tx, service_id).change(tx=tx, request=request, now=now)


def resume_service_billing(
    *, tx: Connection, service_id: int, order_line_id: int, on: date, now: datetime
) -> int:
    """Bill a service again as before it was suspended; return what stands for it."""
    request = _as_it_stands(tx, service_id, order_line_id, on, ChangeOf.RESUMED)
    return _biller_of(tx, service_id).change(tx=tx, request=request, now=now)


def transfer_service_billing(
    *,
    tx: Connection,
    service_id: int,
    order_line_id: int,
    on: date,
    billing_account_id: int,
    now: datetime,
) -> int:
    """Bill a service and its add-ons on another account from a day on; return what stands for it.

    It ends on the one and starts on the other, in whichever systems they are, without a gap and
    without a day on both (domain 3.4, golden 13).

    Raises:
        ForeignCurrency: The other account is kept in another currency.
        StateConflict: There is no such account, or it pays already.
    """
    # Both payers in the order of their ids, so that two transfers never wait crosswise.
    payers = {
        row.id: row
        for row in tx.execute(_LOCK_PAYERS, {"to": billing_account_id, "service_id": service_id})
    }
    taking = payers.pop(billing_account_id, None)
    if taking is None:
        raise StateConflict(f"There is no billing account {billing_account_id}.")
    if not payers:
        raise StateConflict(f"Billing account {taking.number} pays for service {service_id}.")
    (giving,) = payers.values()
    if giving.currency != taking.currency:
        raise ForeignCurrency(
            f"Billing account {taking.number} is in {taking.currency}, "
            f"the service is billed in {giving.currency}."
        )
    end = EndRequest(service_id, order_line_id, on, is_handed_over=True)
    system_named(giving.system).end(tx=tx, request=end, now=now)
    start = StartRequest(service_id, order_line_id, on, payer_id=billing_account_id)
    return system_named(taking.system).start(tx=tx, request=start, now=now)


def give_back_once(
    *,
    tx: Connection,
    billing_account_id: int,
    order_line_id: int,
    product_id: int,
    quantity: Decimal,
    currency: str,
    on: date,
    now: datetime,
    service_id: int | None = None,
) -> int:
    """Give back so much of a product that was charged once before; return what stands for it.

    Raises:
        ForeignCurrency: The billing account is kept in another currency.
        NotSold: More comes back than was sold.
    """
    request = ChargeRequest(
        billing_account_id=billing_account_id,
        order_line_id=order_line_id,
        service_id=service_id,
        product_id=product_id,
        description="",
        quantity=quantity,
        unit_price=Decimal(0),
        unit_cost=Decimal(0),
        currency=currency,
        on=on,
        is_return=True,
    )
    return _biller_of_account(tx, billing_account_id).charge_once(tx=tx, request=request, now=now)


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
    add_on: str = "",
) -> int:
    """Charge an order line once, and each add-on of it; return what stands for it.

    Raises:
        ForeignCurrency: The billing account is kept in another currency.
    """
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
        add_on=add_on,
    )
    return _biller_of_account(tx, billing_account_id).charge_once(tx=tx, request=request, now=now)


def _biller_of(tx: Connection, service_id: int) -> BillingSystem:
    # A service nobody knows is refused by the built-in system, by name.
    return system_named(tx.scalar(_SYSTEM_OF_SERVICE, {"id": service_id}) or BUILT_IN)


def _biller_of_account(tx: Connection, billing_account_id: int) -> BillingSystem:
    system = tx.scalar(_SYSTEM_OF_ACCOUNT, {"id": billing_account_id})
    if system is None:
        raise StateConflict(f"There is no billing account {billing_account_id}.")
    return system_named(system)


def _as_it_stands(
    tx: Connection,
    service_id: int,
    order_line_id: int,
    on: date,
    what: ChangeOf,
    location_id: int | None = None,
) -> ChangeRequest:
    """Return a change that leaves product, quantity and price as they are."""
    standing = tx.execute(_STANDING, {"id": service_id}).one_or_none()
    if standing is None:
        raise StateConflict(f"There is no service {service_id}.")
    return ChangeRequest(
        service_id=service_id,
        order_line_id=order_line_id,
        on=on,
        product_id=standing.product_id,
        quantity=standing.quantity,
        mr_price=standing.mr_price,
        mr_cost=standing.mr_cost,
        pricing=standing.pricing,
        what=what,
        location_id=location_id,
    )
