"""What a billing command says, the same for every billing system."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, text

from connector.errors import StateConflict

_OWNER = text("SELECT brand_id, currency, number FROM billing_account WHERE id = :id")


class ForeignCurrency(StateConflict):
    """The billing account has another currency than the charge."""

    code = "billing.foreign_currency"
    remedy = "Open a billing account in the charge's currency."


class ChangeOf(StrEnum):
    """What of a running service changes."""

    TERMS = "terms"  # product, quantity or price
    PLACE = "place"  # where it is supplied, and so its tax
    SUSPENDED = "suspended"  # it rests; what it costs meanwhile says the policy
    RESUMED = "resumed"


@dataclass(frozen=True, slots=True)
class AddOnTerms:
    """A part of a service that is billed beside it, by its name there; prices are per unit."""

    name: str
    product_id: int
    quantity: Decimal
    mr_price: Decimal
    mr_cost: Decimal = Decimal(0)
    pricing: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class StartRequest:
    """Bill a service at its own quantity and price from a local day on, or an add-on of it.

    `payer_id` is set when another account takes the service over from its present one.
    """

    service_id: int
    order_line_id: int
    on: date
    add_on: AddOnTerms | None = None
    payer_id: int | None = None


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """Bill a service at another product, quantity or price from a local day on.

    No order line asks for the price of a term that was renewed.
    """

    service_id: int
    order_line_id: int | None
    on: date
    product_id: int
    quantity: Decimal
    mr_price: Decimal
    mr_cost: Decimal
    pricing: dict[str, Any] | None = None  # prices the quantity; `mr_price` is then an average
    what: ChangeOf = ChangeOf.TERMS  # anything else leaves product, quantity and price as they are
    location_id: int | None = None  # the new place
    add_on: str = ""  # the name of the add-on that changes; empty for the service itself


@dataclass(frozen=True, slots=True)
class EndRequest:
    """Bill a service, or one add-on of it, up to, not including, a local day.

    `is_handed_over`: another account pays from that day on, so nothing is added and nothing due
    for leaving early. `is_fee_waived`: nothing is due for leaving early, as when another service
    comes in its place.
    """

    service_id: int
    order_line_id: int
    on: date
    add_on: str = ""
    is_handed_over: bool = False
    is_fee_waived: bool = False


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """Charge an order line once, or an add-on of it, or give back what was sold once before."""

    billing_account_id: int
    order_line_id: int
    service_id: int | None
    product_id: int
    description: str
    quantity: Decimal
    unit_price: Decimal
    unit_cost: Decimal
    currency: str
    on: date
    is_return: bool = False
    add_on: str = ""


def payer_of(tx: Connection, request: ChargeRequest) -> Row[tuple[int, str, str]]:
    """Return brand, currency and number of the account that is charged.

    Raises:
        ForeignCurrency: It is kept in another currency than the charge.
    """
    owner = tx.execute(_OWNER, {"id": request.billing_account_id}).one_or_none()
    if owner is None:
        raise StateConflict(f"There is no billing account {request.billing_account_id}.")
    if owner.currency != request.currency:
        raise ForeignCurrency(
            f"Billing account {owner.number} is in {owner.currency}, "
            f"the charge in {request.currency}."
        )
    return owner
