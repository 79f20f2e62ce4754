"""Recurring charges of services: start, change and end, each exactly once per order line."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

import structlog
from sqlalchemy import Connection

from connector.charging import queries
from connector.charging.policy import ProrationPolicies, ProrationPolicy, load_policies
from connector.charging.queries import ServiceFacts
from connector.charging.segments import (
    BillingAlreadyStarted,
    Cut,
)
from connector.charging.succession import Opening, plan_first, plan_stop, plan_succession
from connector.charging.value import Price
from connector.errors import InvalidInput
from connector.kernel.money import minor_digits
from connector.resources import mappings_dir

log = structlog.get_logger(__name__)

POLICY_FILE = "policies/proration.yaml"


@dataclass(frozen=True, slots=True)
class RecurringPrice:
    """What a service costs from a day on."""

    product_id: int
    quantity: Decimal
    unit_price: Decimal
    unit_cost: Decimal
    discount_percent: Decimal = Decimal(0)

    def __post_init__(self) -> None:
        if self.quantity < 0 or self.unit_price < 0:
            raise InvalidInput(
                f"{self.quantity} at {self.unit_price} is not a recurring price.",
                remedy="Quantity and price are zero or more; a discount is a percentage.",
            )
        if not 0 <= self.discount_percent <= 100:
            raise InvalidInput(f"{self.discount_percent} % is not a discount.")

    @property
    def per_period(self) -> Fraction:
        """What a whole billing period costs, exact."""
        return Price(self.quantity, self.unit_price, self.discount_percent).per_period


def start_recurring(
    *,
    tx: Connection,
    service_id: int,
    order_line_id: int,
    on: date,
    now: datetime,
    discount_percent: Decimal = Decimal(0),
) -> int:
    """Begin to bill a service at its own price; return the charge's id.

    The same order line again changes nothing.

    Raises:
        BillingAlreadyStarted: Another order line started it.
        UnknownService: There is no such service.
    """
    facts = queries.lock_service(tx, service_id=service_id)
    charges = queries.recurring_of(tx, service_id=service_id)
    for charge in charges:
        if charge.order_line_id == order_line_id:
            return charge.id
    if charges:
        raise BillingAlreadyStarted(
            f"Service {facts.number} is billed from {charges[0].starts_on} already."
        )
    price = RecurringPrice(
        facts.product_id, facts.quantity, facts.mr_price, facts.mr_cost, discount_percent
    )
    opening = plan_first(on=on, policy=_policy_of(facts, facts.product_key))
    charge_id = _open(
        tx, facts=facts, price=price, order_line_id=order_line_id, opening=opening, now=now
    )
    log.info(
        "charge.started", service_id=service_id, charge_id=charge_id, on=str(opening.starts_on)
    )
    return charge_id


def change_recurring(
    *,
    tx: Connection,
    service_id: int,
    order_line_id: int,
    on: date,
    price: RecurringPrice,
    now: datetime,
) -> int:
    """Bill a service at another price from a day on; return the new charge's id.

    Days billed ahead at the old price come back with the next bill. The day may lie back. The
    same order line again changes nothing; two changes of one day: the last one wins.

    Raises:
        NothingToBill: Billing never started.
        BeforeBillingStart: The day lies before the first billed day.
        BillingAlreadyEnded: The day lies after the end.
    """
    facts = queries.lock_service(tx, service_id=service_id)
    charges = queries.recurring_of(tx, service_id=service_id)
    for charge in charges:
        if charge.order_line_id == order_line_id:
            return charge.id
    product = queries.product_facts(tx, product_id=price.product_id)
    plan = plan_succession(
        tuple(charge.standing for charge in charges),
        on=on,
        per_period=price.per_period,
        policy=_policy_of(facts, product.key),
        payer=facts.cycle,
    )
    _cut(tx, (plan.cut,), order_line_id=order_line_id, now=now)
    charge_id = _open(
        tx, facts=facts, price=price, order_line_id=order_line_id, opening=plan.opening, now=now
    )
    log.info(
        "charge.changed",
        service_id=service_id,
        charge_id=charge_id,
        on=str(plan.opening.starts_on),
    )
    return charge_id


def end_recurring(
    *, tx: Connection, service_id: int, order_line_id: int, on: date, now: datetime
) -> bool:
    """Bill a service up to, not including, a day; return whether that changed anything.

    The day may lie back over billed months: the next bill run credits them. The same order line or
    the same day again changes nothing.

    Raises:
        NothingToBill: Billing never started.
        BillingAlreadyEnded: Billing ended on an earlier day.
    """
    facts = queries.lock_service(tx, service_id=service_id)
    charges = queries.recurring_of(tx, service_id=service_id)
    if any(charge.closed_by == order_line_id for charge in charges):
        return False
    cuts = plan_stop(tuple(charge.standing for charge in charges), on=on, payer=facts.cycle)
    _cut(tx, cuts, order_line_id=order_line_id, now=now)
    log.info("charge.ended", service_id=service_id, charges=len(cuts), on=str(on))
    return bool(cuts)


def _policy_of(facts: ServiceFacts, product_key: str) -> ProrationPolicy:
    policies: ProrationPolicies = load_policies(mappings_dir() / POLICY_FILE)
    return policies.of(brand=facts.brand_key, product=product_key, account=facts.payer_number)


def _cut(tx: Connection, cuts: Sequence[Cut], *, order_line_id: int, now: datetime) -> None:
    if cuts:
        queries.cut_charges(tx, cuts=cuts, closed_by=order_line_id, now=now)


def _open(
    tx: Connection,
    *,
    facts: ServiceFacts,
    price: RecurringPrice,
    order_line_id: int,
    opening: Opening,
    now: datetime,
) -> int:
    minor_digits(facts.currency)
    product = queries.product_facts(tx, product_id=price.product_id)
    key = f"service:{facts.service_id}:recurring:{opening.starts_on}"
    return queries.insert_charge(
        tx,
        {
            "brand_id": facts.brand_id,
            "key": queries.free_key(tx, key=key),
            "kind": "recurring",
            "billing_account_id": facts.billing_account_id,
            "service_id": facts.service_id,
            "order_line_id": order_line_id,
            "product_id": price.product_id,
            "description": product.display_name,
            "quantity": price.quantity,
            "unit_price": price.unit_price,
            "unit_cost": price.unit_cost,
            "discount_percent": price.discount_percent,
            "currency": facts.currency,
            "starts_on": opening.starts_on,
            "ends_on": opening.ends_on,
            "tax_category": product.tax_category,
            "accounting_code": product.accounting_code,
            "policy": opening.policy.as_json(),
            "source": {"service": facts.service_id, "order_line": order_line_id},
            "created_at": now,
            "changed_at": now,
        },
    )
