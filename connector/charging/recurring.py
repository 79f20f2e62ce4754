"""Recurring charges of services: start, change and end, each exactly once per order line."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import Connection

from connector.catalog.pricing.document import optional_pricing
from connector.charging import queries
from connector.charging.granted import Granted, carried, grant, shared_out
from connector.charging.policy import ProrationPolicies, ProrationPolicy, load_policies
from connector.charging.queries import RecurringCharge, ServiceFacts
from connector.charging.segments import (
    BillingAlreadyStarted,
    Cut,
)
from connector.charging.shares import WHOLE, RecurringPrice, Share, shares_of
from connector.charging.succession import Opening, plan_first, plan_stop, plan_succession
from connector.kernel.money import minor_digits
from connector.resources import mappings_dir

log = structlog.get_logger(__name__)

POLICY_FILE = "policies/proration.yaml"


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
        facts.product_id,
        facts.quantity,
        facts.mr_price,
        facts.mr_cost,
        discount_percent,
        optional_pricing(facts.pricing),
    )
    opening = plan_first(on=on, policy=_policy_of(facts, facts.product_key))
    shares = _shares(tx, facts, price)
    granted = [one.as_json() for one in _offered(tx, facts, price.product_id, opening)]
    weights = [share.price.unit_price for share in shares]
    made = [
        _open(
            tx,
            facts=facts,
            share=share,
            order_line_id=order_line_id,
            opening=opening,
            discounts=discounts,
            now=now,
        )
        for share, discounts in zip(
            shares, shared_out(granted, weights, facts.currency), strict=True
        )
    ]
    log.info("charge.started", service_id=service_id, charges=made, on=str(opening.starts_on))
    return made[0]


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
    policy = _policy_of(facts, product.key)
    chains = _chains(charges)
    shares = _shares(tx, facts, price)
    known = frozenset(chains)
    kept = _kept(tx, facts, charges, price, shares, on=on) if charges else [[] for _ in shares]
    made = []
    for share, discounts in zip(shares, kept, strict=True):
        opening = _take_over(
            tx,
            chains.pop(share.part, ()) if charges else (),
            facts=facts,
            share=share,
            on=on,
            policy=policy,
            is_new=bool(charges) and share.part not in known,
            order_line_id=order_line_id,
            now=now,
        )
        made.append(
            _open(
                tx,
                facts=facts,
                share=share,
                order_line_id=order_line_id,
                opening=opening,
                discounts=discounts,
                now=now,
            )
        )
    for chain in chains.values():  # parts that the service has no more
        _stop(tx, chain, on=on, facts=facts, order_line_id=order_line_id, now=now)
    log.info("charge.changed", service_id=service_id, charges=made, on=str(on))
    return made[0]


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
    chains = _chains(charges).values()
    living = [
        chain
        for chain in chains
        if any(charge.ends_on is None or charge.ends_on > on for charge in chain)
    ]
    cuts = sum(
        _stop(tx, chain, on=on, facts=facts, order_line_id=order_line_id, now=now)
        for chain in living or chains or ((),)
    )
    log.info("charge.ended", service_id=service_id, charges=cuts, on=str(on))
    return bool(cuts)


def _chains(charges: Sequence[RecurringCharge]) -> dict[str, tuple[RecurringCharge, ...]]:
    """Return the charges of each part of a service, one following the other."""
    chains: dict[str, tuple[RecurringCharge, ...]] = {}
    for charge in charges:
        chains[charge.part] = (*chains.get(charge.part, ()), charge)
    return chains


def _shares(tx: Connection, facts: ServiceFacts, price: RecurringPrice) -> tuple[Share, ...]:
    parts = queries.bundle_parts(tx, product_id=price.product_id)
    return shares_of(price, parts, facts.currency)


def _take_over(
    tx: Connection,
    chain: Sequence[RecurringCharge],
    *,
    facts: ServiceFacts,
    share: Share,
    on: date,
    policy: ProrationPolicy,
    is_new: bool,
    order_line_id: int,
    now: datetime,
) -> Opening:
    """Cut what was charged for a part of a service and return the days of what follows it."""
    if is_new:
        return plan_first(on=on, policy=policy)
    plan = plan_succession(
        tuple(charge.standing for charge in chain),
        on=on,
        per_period=share.price.per_period,
        policy=policy,
        payer=facts.cycle,
    )
    _cut(tx, (plan.cut,), order_line_id=order_line_id, now=now)
    return plan.opening


def _kept(
    tx: Connection,
    facts: ServiceFacts,
    before: Sequence[RecurringCharge],
    price: RecurringPrice,
    shares: Sequence[Share],
    *,
    on: date,
) -> list[list[dict[str, Any]]]:
    """Return the discounts of each share of a successor.

    The same products keep what they have; others what is not for other products only.
    """
    latest = {charge.part: charge for charge in before}
    if {one.product_id for one in latest.values()} == {one.price.product_id for one in shares}:
        return [list(latest[share.part].discounts) for share in shares]
    opening = Opening(on, None, before[-1].policy)
    offered = _offered(tx, facts, price.product_id, opening)
    weights = [share.price.unit_price for share in shares]
    discounts = carried(
        tx,
        running=[one.discounts for one in latest.values()],
        product_id=price.product_id,
        offered=offered,
    )
    return shared_out(discounts, weights, facts.currency)


def _offered(
    tx: Connection, facts: ServiceFacts, product_id: int, opening: Opening
) -> tuple[Granted, ...]:
    return grant(
        tx,
        service_id=facts.service_id,
        product_id=product_id,
        starts_on=opening.starts_on,
        cycle=opening.policy.cycle(facts.cycle),
    )


def _stop(
    tx: Connection,
    chain: Sequence[RecurringCharge],
    *,
    on: date,
    facts: ServiceFacts,
    order_line_id: int,
    now: datetime,
) -> int:
    """End a part of a service; return how many charges that cut."""
    cuts = plan_stop(tuple(charge.standing for charge in chain), on=on, payer=facts.cycle)
    _cut(tx, cuts, order_line_id=order_line_id, now=now)
    return len(cuts)


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
    share: Share,
    order_line_id: int,
    opening: Opening,
    discounts: Sequence[dict[str, Any]],
    now: datetime,
) -> int:
    minor_digits(facts.currency)
    price = share.price
    source: dict[str, Any] = {"service": facts.service_id, "order_line": order_line_id}
    if share.part != WHOLE:
        source["part"] = share.part
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
            "pricing": price.pricing.as_json() if price.pricing else None,
            "discounts": list(discounts),
            "currency": facts.currency,
            "starts_on": opening.starts_on,
            "ends_on": opening.ends_on,
            "tax_category": product.tax_category,
            "accounting_code": product.accounting_code,
            "policy": opening.policy.as_json(),
            "source": source,
            "created_at": now,
            "changed_at": now,
        },
    )
