"""Recurring charges of services: start, change and end, each exactly once per order line."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import Connection

from connector.catalog.pricing.document import optional_pricing
from connector.charging import queries
from connector.charging.granted import carried, shared_out
from connector.charging.opening import (
    chains_of,
    cut,
    offered,
    open_charge,
    pauses_of,
    policy_of,
    stop,
)
from connector.charging.policy import ProrationPolicy
from connector.charging.queries import RecurringCharge, ServiceFacts
from connector.charging.segments import BillingAlreadyStarted, BillingPaused
from connector.charging.shares import RecurringPrice, Share, shares_of
from connector.charging.succession import Opening, plan_first, plan_succession

log = structlog.get_logger(__name__)


def start_recurring(
    *,
    tx: Connection,
    service_id: int,
    order_line_id: int,
    on: date,
    now: datetime,
    discount_percent: Decimal = Decimal(0),
    payer_id: int | None = None,
) -> int:
    """Begin to bill a service at its own price; return the charge's id.

    Another payer than the service's may be named: who is going to pay for it.

    The same order line again changes nothing.

    Raises:
        BillingAlreadyStarted: Another order line started it.
        UnknownService: There is no such service.
    """
    facts = queries.lock_service(tx, service_id=service_id, payer_id=payer_id)
    charges = _base(queries.recurring_of(tx, service_id=service_id))
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
    opening = plan_first(on=on, policy=policy_of(tx, facts, facts.product_key))
    shares = _shares(tx, facts, price)
    granted = [one.as_json() for one in offered(tx, facts, price.product_id, opening)]
    weights = [share.price.unit_price for share in shares]
    made = [
        open_charge(
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
    order_line_id: int | None,
    on: date,
    price: RecurringPrice,
    now: datetime,
) -> int:
    """Bill a service at another price from a day on; return the new charge's id.

    Days billed ahead at the old price come back with the next bill. The day may lie back. The
    same order line again changes nothing; two changes of one day: the last one wins. Without an
    order line a renewed term has a price of its own: nothing tells a repetition.

    Raises:
        NothingToBill: Billing never started.
        BeforeBillingStart: The day lies before the first billed day.
        BillingAlreadyEnded: The day lies after the end.
        BillingPaused: The service is suspended on that day.
    """
    facts = queries.lock_service(tx, service_id=service_id)
    charges = _base(queries.recurring_of(tx, service_id=service_id))
    for charge in charges:
        if order_line_id is not None and charge.order_line_id == order_line_id:
            return charge.id
    product = queries.product_facts(tx, product_id=price.product_id)
    policy = policy_of(tx, facts, product.key)
    chains = {part: chain for (_, part), chain in chains_of(charges).items()}
    refuse_paused(charges, facts, on=on)
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
            open_charge(
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
        stop(tx, chain, on=on, facts=facts, order_line_id=order_line_id, now=now)
    log.info("charge.changed", service_id=service_id, charges=made, on=str(on))
    return made[0]


def end_recurring(
    *, tx: Connection, service_id: int, order_line_id: int, on: date, now: datetime
) -> bool:
    """Bill a service and its add-ons up to, not including, a day; return whether that did anything.

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
    chains = chains_of(charges).values()
    living = [
        chain
        for chain in chains
        if any(charge.ends_on is None or charge.ends_on > on for charge in chain)
    ]
    cuts = 0
    for chain in living or chains or ((),):
        if not (pauses_of(chain) and chain not in living):  # what is paused is not billed already
            cuts += stop(tx, chain, on=on, facts=facts, order_line_id=order_line_id, now=now)
    log.info("charge.ended", service_id=service_id, charges=cuts, on=str(on))
    return bool(cuts)


def _base(charges: Sequence[RecurringCharge]) -> tuple[RecurringCharge, ...]:
    """Return the charges of the service itself, without its add-ons."""
    return tuple(charge for charge in charges if not charge.add_on)


def refuse_paused(charges: Sequence[RecurringCharge], facts: ServiceFacts, *, on: date) -> None:
    """Do nothing unless the charges are paused on a day.

    Raises:
        BillingPaused: They are.
    """
    for chain in chains_of(charges).values():
        for pause in pauses_of(chain):
            if on >= pause.on:
                raise BillingPaused(f"Service {facts.number} is suspended since {pause.on}.")


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
    order_line_id: int | None,
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
    cut(tx, (plan.cut,), order_line_id=order_line_id, now=now)
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
    offers = offered(tx, facts, price.product_id, opening)
    weights = [share.price.unit_price for share in shares]
    discounts = carried(
        tx,
        running=[one.discounts for one in latest.values()],
        product_id=price.product_id,
        offered=offers,
    )
    return shared_out(discounts, weights, facts.currency)
