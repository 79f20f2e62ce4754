"""One-time and usage charges."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import structlog
from sqlalchemy import Connection

from connector.catalog.pricing.document import Pricing
from connector.charging import queries
from connector.errors import InvalidInput
from connector.kernel.money import minor_digits

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class UsageCharge:
    """The rated usage of a service in one class and period, ready to be invoiced.

    `amount` and `cost` are exact; the bill rounds. When a price model prices the total, `units`
    has both, and the bill asks the model again for its steps.
    """

    summary_id: int
    service_id: int
    usage_class: str
    period_start: date
    period_end: date
    amount: Decimal
    cost: Decimal
    currency: str
    description: str
    units: "PricedUnits | None" = None


@dataclass(frozen=True, slots=True)
class PricedUnits:
    """What a price model prices of a class: the units beyond what is included."""

    pricing: Pricing
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class OneTimeCharge:
    """Something sold once: a device, an installation, an audit."""

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


def charge_one_time(
    *, tx: Connection, sold: OneTimeCharge, brand_id: int, now: datetime, purpose: str = "once"
) -> int:
    """Charge an order line once for a purpose, however often it is asked; return the charge's id.

    Raises:
        InvalidInput: Quantity or price is below zero.
    """
    if sold.quantity < 0 or sold.unit_price < 0:
        raise InvalidInput(f"{sold.quantity} at {sold.unit_price} is not a one-time price.")
    minor_digits(sold.currency)
    product = queries.product_facts(tx, product_id=sold.product_id)
    charge_id = queries.insert_charge(
        tx,
        {
            "brand_id": brand_id,
            "key": f"line:{sold.order_line_id}:{purpose}",
            "kind": "one_time",
            "billing_account_id": sold.billing_account_id,
            "service_id": sold.service_id,
            "order_line_id": sold.order_line_id,
            "product_id": sold.product_id,
            "description": sold.description or product.display_name,
            "quantity": sold.quantity,
            "unit_price": sold.unit_price,
            "unit_cost": sold.unit_cost,
            "currency": sold.currency,
            "starts_on": sold.on,
            "ends_on": sold.on,
            "tax_category": product.tax_category,
            "accounting_code": product.accounting_code,
            "policy": {},
            "source": {"order_line": sold.order_line_id},
            "created_at": now,
            "changed_at": now,
        },
    )
    log.info("charge.one_time", charge_id=charge_id, order_line_id=sold.order_line_id)
    return charge_id


def upsert_usage_charges(*, tx: Connection, summaries: Sequence[UsageCharge], now: datetime) -> int:
    """Make or correct the charge of each usage summary; return how many rows changed.

    A corrected amount of a billed period becomes an adjustment line of the next bill, never a
    silent change: the bill books the difference.
    """
    if not summaries:
        return 0
    changed = tx.execute(
        queries.UPSERT_USAGE,
        {
            "now": now,
            "summary_ids": [one.summary_id for one in summaries],
            "service_ids": [one.service_id for one in summaries],
            "classes": [one.usage_class for one in summaries],
            "starts": [one.period_start for one in summaries],
            "ends": [one.period_end for one in summaries],
            "amounts": [one.amount for one in summaries],
            "quantities": [one.units.quantity if one.units else 1 for one in summaries],
            "pricings": [
                one.units.pricing.document.decode() if one.units else None for one in summaries
            ],
            "costs": [one.cost for one in summaries],
            "currencies": [one.currency for one in summaries],
            "descriptions": [one.description for one in summaries],
        },
    ).rowcount
    log.info("charge.usage", summaries=len(summaries), changed=changed)
    return changed
