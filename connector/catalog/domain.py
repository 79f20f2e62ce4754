"""The catalogue's values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

CALL_UNIT = "s"  # calls are measured in seconds


@dataclass(frozen=True, slots=True)
class Brand:
    """A reseller (or the operator) under whose name products are sold and invoiced."""

    key: str
    name: str
    legal_name: str
    address: str
    tax_number: str
    email: str
    remit_to: str
    colour: str
    invoice_prefix: str
    footer: str
    invoice_sections: str = "site"


@dataclass(frozen=True, slots=True)
class Product:
    """Something that is sold."""

    id: int
    brand_id: int
    key: str
    name: str
    display_name: str
    kind: str
    vendor: str
    service_class: str | None
    is_location_based: bool
    change_policy: str
    tax_category: str
    accounting_code: str
    rate_plan_key: str | None


@dataclass(frozen=True, slots=True)
class PriceEntry:
    """The price of a product for a request type, term and currency in a span of days.

    With a price model, `pricing` (or `nr_pricing`, of what is charged once) is its document and
    `mr_price` (`nr_price`) what one unit alone costs.
    """

    id: int
    product_id: int
    request_type: str
    term_months: int
    currency: str
    mr_price: Decimal
    nr_price: Decimal
    mr_cost: Decimal
    nr_cost: Decimal
    renewal_type: str
    work_order_template: str | None
    valid_from: date
    valid_to: date | None
    pricing: dict[str, Any] | None = None
    nr_pricing: dict[str, Any] | None = None


def price_for_term(offered: Sequence[PriceEntry], term_months: int) -> PriceEntry | None:
    """Return the price of a term among those of one product and request type.

    A price without a term serves every term, unless terms are priced (row B3).
    """
    for entry in offered:
        if entry.term_months == term_months:
            return entry
    if len(offered) == 1 and offered[0].term_months == 0:
        return offered[0]
    return None


@dataclass(frozen=True, slots=True)
class BlockPrice:
    """An exact price as integers: `sell` and `cost` / 10**scale per `block` seconds or units."""

    sell: int
    cost: int
    connection: int
    scale: int
    block: int


def block_price(
    *, sell: Decimal, cost: Decimal, connection: Decimal = Decimal(0), block: int
) -> BlockPrice:
    """Return decimal prices as integers of one common scale, losing nothing."""
    prices = (sell, cost, connection)
    scale = max(0, *(-int(price.normalize().as_tuple().exponent) for price in prices))
    sell_units, cost_units, connection_units = (int(price.scaleb(scale)) for price in prices)
    return BlockPrice(
        sell=sell_units, cost=cost_units, connection=connection_units, scale=scale, block=block
    )
