"""Add-ons of a service: parts that recur beside it and can come and go (domain 3.3).

An add-on has a name of its own in its service; its charges follow each other as the service's do.
"""

from dataclasses import dataclass
from datetime import date, datetime

import structlog
from sqlalchemy import Connection

from connector.charging import queries
from connector.charging.opening import (
    cut,
    offered,
    open_charge,
    pauses_of,
    policy_of,
    stop,
)
from connector.charging.queries import RecurringCharge, ServiceFacts
from connector.charging.segments import (
    BeforeBillingStart,
    BillingAlreadyEnded,
    BillingAlreadyStarted,
    BillingPaused,
    NothingToBill,
)
from connector.charging.shares import WHOLE, RecurringPrice, Share
from connector.charging.succession import plan_first, plan_succession
from connector.errors import InvalidInput

log = structlog.get_logger(__name__)


class UnknownAddOn(NothingToBill):
    """The service has no add-on of this name."""

    code = "charging.unknown_add_on"
    remedy = "Name an add-on that the service has."


@dataclass(frozen=True, slots=True)
class AddOn:
    """An add-on as a command names it."""

    service_id: int
    name: str
    order_line_id: int
    on: date

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidInput("An add-on needs a name.", remedy="Its product's key is a good one.")


def start_add_on(*, tx: Connection, add_on: AddOn, price: RecurringPrice, now: datetime) -> int:
    """Begin to bill an add-on of a service; return the charge's id.

    The same order line again changes nothing. What ended may begin again under the same name.

    Raises:
        BillingAlreadyStarted: The service has an add-on of this name.
        NothingToBill: The service itself is not billed.
        BeforeBillingStart: The day lies before the service's first billed day.
        BillingAlreadyEnded: The service ended before the day.
        BillingPaused: The service is suspended on that day.
    """
    facts, charges = _facts(tx, add_on)
    own = [one for one in charges if one.add_on == add_on.name]
    for charge in own:
        if charge.order_line_id == add_on.order_line_id:
            return charge.id
    _refuse_unserved([one for one in charges if not one.add_on], facts, add_on.on)
    if any(one.ends_on is None or one.ends_on > add_on.on for one in own):
        raise BillingAlreadyStarted(
            f"Service {facts.number} has an add-on '{add_on.name}' from {own[-1].starts_on}.",
            remedy="Change or remove it, or give the new one another name.",
        )
    product = queries.product_facts(tx, product_id=price.product_id)
    opening = plan_first(on=add_on.on, policy=policy_of(tx, facts, product.key))
    granted = [one.as_json() for one in offered(tx, facts, price.product_id, opening)]
    made = open_charge(
        tx,
        facts=facts,
        share=Share(WHOLE, price),
        order_line_id=add_on.order_line_id,
        opening=opening,
        discounts=granted,
        now=now,
        add_on=add_on.name,
    )
    log.info("charge.add_on_started", service_id=facts.service_id, name=add_on.name, charge=made)
    return made


def change_add_on(*, tx: Connection, add_on: AddOn, price: RecurringPrice, now: datetime) -> int:
    """Bill an add-on at another price from a day on, with its discounts; return the charge's id.

    Raises:
        UnknownAddOn: The service has none of this name.
        BeforeBillingStart: The day lies before its first billed day.
        BillingAlreadyEnded: It ended before the day.
        BillingPaused: The service is suspended on that day.
    """
    facts, charges = _facts(tx, add_on)
    own = _own(charges, facts, add_on.name)
    for charge in own:
        if charge.order_line_id == add_on.order_line_id:
            return charge.id
    _refuse_paused(own, facts, add_on.on)
    latest = own[-1]
    product = queries.product_facts(tx, product_id=price.product_id)
    plan = plan_succession(
        tuple(one.standing for one in own),
        on=add_on.on,
        per_period=price.per_period,
        policy=policy_of(tx, facts, product.key),
        payer=facts.cycle,
    )
    cut(tx, (plan.cut,), order_line_id=add_on.order_line_id, now=now)
    made = open_charge(
        tx,
        facts=facts,
        share=Share(WHOLE, price),
        order_line_id=add_on.order_line_id,
        opening=plan.opening,
        discounts=latest.discounts,
        now=now,
        add_on=add_on.name,
    )
    log.info("charge.add_on_changed", service_id=facts.service_id, name=add_on.name, charge=made)
    return made


def end_add_on(*, tx: Connection, add_on: AddOn, now: datetime) -> bool:
    """Bill an add-on up to, not including, a day; return whether that changed anything.

    Raises:
        UnknownAddOn: The service has none of this name.
        BillingAlreadyEnded: It ended on an earlier day.
    """
    facts, charges = _facts(tx, add_on)
    own = _own(charges, facts, add_on.name)
    if any(one.closed_by == add_on.order_line_id for one in own):
        return False
    cuts = stop(tx, own, on=add_on.on, facts=facts, order_line_id=add_on.order_line_id, now=now)
    if paused := [one.charge_id for one in pauses_of(own)]:
        queries.end_pauses(tx, charge_ids=paused, now=now)  # it does not come back by a resume
    log.info("charge.add_on_ended", service_id=facts.service_id, name=add_on.name, charges=cuts)
    return bool(cuts)


def _facts(tx: Connection, add_on: AddOn) -> tuple[ServiceFacts, tuple[RecurringCharge, ...]]:
    facts = queries.lock_service(tx, service_id=add_on.service_id)
    return facts, queries.recurring_of(tx, service_id=add_on.service_id)


def _own(
    charges: tuple[RecurringCharge, ...], facts: ServiceFacts, name: str
) -> tuple[RecurringCharge, ...]:
    own = tuple(one for one in charges if one.add_on == name)
    if not own:
        known = ", ".join(sorted({one.add_on for one in charges if one.add_on})) or "none"
        raise UnknownAddOn(f"Service {facts.number} has no add-on '{name}'; it has: {known}.")
    return own


def _refuse_unserved(base: list[RecurringCharge], facts: ServiceFacts, on: date) -> None:
    if not base:
        raise NothingToBill(f"Billing of service {facts.number} never started.")
    if on < base[0].starts_on:
        raise BeforeBillingStart(
            f"Service {facts.number} is billed from {base[0].starts_on}; no add-on on {on}."
        )
    _refuse_paused(tuple(base), facts, on)
    if all(one.ends_on is not None and one.ends_on <= on for one in base):
        raise BillingAlreadyEnded(f"Service {facts.number} is billed until {base[-1].ends_on}.")


def _refuse_paused(charges: tuple[RecurringCharge, ...], facts: ServiceFacts, on: date) -> None:
    for pause in pauses_of(charges):
        if on >= pause.on:
            raise BillingPaused(f"Service {facts.number} is suspended since {pause.on}.")
