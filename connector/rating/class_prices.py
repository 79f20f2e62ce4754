"""Prices the whole of a class in a month by a price model (rows G9 and F15).

The records were rated one by one before; a class with a price of its own counts what they add up to
beyond what is included, and the model prices that total.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from sqlalchemy import Connection, text

from connector.catalog.pricing.document import Pricing, read_pricing
from connector.catalog.pricing.exact import digits, exact_text
from connector.charging.charges import PricedUnits
from connector.kernel.period import Period
from connector.rating.domain import exact_decimal
from connector.rating.result_queries import SummaryRow

ClassPrices = Mapping[tuple[int, str], Pricing]  # by service and class

# As allowances are, the price in force on the last day is the whole month's.
_IN_FORCE = text(
    "SELECT s.id AS service_id, c.usage_class, c.pricing "
    "  FROM class_price c JOIN rate_plan r ON r.id = c.rate_plan_id "
    "  JOIN product p ON p.rate_plan_key = r.key JOIN service s ON s.product_id = p.id "
    " WHERE c.valid_from < :end AND (c.valid_to IS NULL OR c.valid_to >= :end) "
    " ORDER BY s.id, c.usage_class"
)


def class_prices(tx: Connection, period: Period) -> ClassPrices:
    """Return the prices of classes that are in force for the services of a month."""
    rows = tx.execute(_IN_FORCE, {"end": period.end})
    return {(row.service_id, row.usage_class): read_pricing(row.pricing) for row in rows}


def priced_units(
    prices: ClassPrices, *, service_id: int, usage_class: str, units: Decimal, included: Decimal
) -> PricedUnits | None:
    """Return what a model prices of a class of a service, or None when none does."""
    pricing = prices.get((service_id, usage_class))
    return None if pricing is None else PricedUnits(pricing, units - included)


def with_class_prices(rows: Sequence[SummaryRow], prices: ClassPrices) -> list[SummaryRow]:
    """Return summaries with the amounts that models make of their totals, and how."""
    return [_priced(row, prices) for row in rows]


def _priced(row: SummaryRow, prices: ClassPrices) -> SummaryRow:
    priced = priced_units(
        prices,
        service_id=row.service_id,
        usage_class=row.usage_class,
        units=row.units,
        included=row.included_units,
    )
    if priced is None:
        return row
    steps, whole = priced.pricing.unrounded(priced.quantity)
    return replace(
        row,
        rated_amount=exact_decimal(whole),
        derivation=row.derivation
        | {
            "rule": "amount = the price model of the class for all units beyond those included",
            "pricing": priced.pricing.as_json(),
            "priced": digits(priced.quantity.normalize()),
            "steps": [
                {"step": step.kind, "amount": exact_text(step.amount)}
                | {name: str(fact) for name, fact in step.facts.items()}
                for step in steps
            ],
        },
    )
