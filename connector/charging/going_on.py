"""What goes on on the same terms: at another place, on another account, after a suspension."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

import structlog
from sqlalchemy import Connection

from connector.charging import queries
from connector.charging.opening import chains_of, cut, free_key, pauses_of, policy_of
from connector.charging.policy import ProrationPolicy, Suspended
from connector.charging.queries import RecurringCharge, ServiceFacts
from connector.charging.segments import BillingPaused, NothingToBill
from connector.charging.succession import GoingOn, Pause, plan_going_on, plan_pause, plan_resume
from connector.store.engine import to_json

log = structlog.get_logger(__name__)


def move_recurring(
    *,
    tx: Connection,
    service_id: int,
    order_line_id: int,
    on: date,
    location_id: int | None,
    now: datetime,
) -> int:
    """Bill a service and its add-ons at another place from a day on; return a charge's id.

    Prices, discounts and periods stay; the tax is that of the place (domain 3.3, MOVE). The same
    order line again changes nothing.

    Raises:
        NothingToBill, BeforeBillingStart, BillingAlreadyEnded, BillingPaused: As for a change.
    """
    facts = replace(queries.lock_service(tx, service_id=service_id), location_id=location_id)
    charges = queries.recurring_of(tx, service_id=service_id)
    for charge in charges:
        if charge.order_line_id == order_line_id:
            return charge.id
    going = _going_on(facts, charges, on=on)
    cut(tx, [one.cut for one in going], order_line_id=order_line_id, now=now)
    known = {charge.id: charge for charge in charges}
    made = []
    for one in going:
        before = known[one.cut.charge_id]
        days = (one.starts_on, one.ends_on)
        made.append(_successor(tx, facts, before, days, before.policy, order_line_id, now))
    log.info("charge.moved", service_id=service_id, charges=made, on=str(on))
    return made[0]


def hand_over_recurring(
    *, tx: Connection, service_id: int, order_line_id: int, on: date, now: datetime
) -> bool:
    """Stop to bill a service on its account because another one pays from the day on.

    Neither a last day nor a fee is added: the days belong to who takes over. Return whether that
    changed anything.

    Raises:
        NothingToBill, BeforeBillingStart, BillingAlreadyEnded, BillingPaused: As for a change.
    """
    facts = queries.lock_service(tx, service_id=service_id)
    charges = queries.recurring_of(tx, service_id=service_id)
    if any(charge.closed_by == order_line_id for charge in charges):
        return False
    going = _going_on(facts, charges, on=on)
    left = {
        one.cut.charge_id: Pause(one.cut.charge_id, on, one.starts_on, one.ends_on) for one in going
    }
    cut(tx, [one.cut for one in going], order_line_id=order_line_id, now=now, pauses=left)
    log.info("charge.handed_over", service_id=service_id, charges=len(going), on=str(on))
    return bool(going)


def take_over_recurring(
    *, tx: Connection, service_id: int, order_line_id: int, payer_id: int, now: datetime
) -> int | None:
    """Bill on another account what an order line handed over; return a charge's id.

    Each charge begins where the one before it ends, so no day is billed twice (golden 13). None
    when nothing was handed over here: another billing system had it.
    """
    facts = queries.lock_service(tx, service_id=service_id, payer_id=payer_id)
    charges = queries.recurring_of(tx, service_id=service_id)
    for charge in charges:
        if charge.order_line_id == order_line_id:
            return charge.id
    handed = [one for one in charges if one.paused and one.closed_by == order_line_id]
    made = []
    for before in handed:
        assert before.paused is not None
        days = (before.paused.starts_on, before.paused.until)
        product = queries.product_facts(tx, product_id=before.product_id)
        policy = policy_of(tx, facts, product.key).opened(on=days[0], before=before.policy)
        made.append(_successor(tx, facts, before, days, policy, order_line_id, now))
    if made:
        queries.end_pauses(tx, charge_ids=[one.id for one in handed], now=now)
    log.info("charge.taken_over", service_id=service_id, charges=made, payer_id=payer_id)
    return made[0] if made else None


def pause_recurring(
    *, tx: Connection, service_id: int, order_line_id: int, on: date, now: datetime
) -> int:
    """Bill nothing of a suspended service from a day on, where the policy pauses it.

    Return the id of a charge that it cut, 0 when there is none: by default a suspended service is
    billed on (domain 3.3).

    Raises:
        NothingToBill: Billing never started.
        BillingPaused: It is suspended already.
        BillingAlreadyEnded: Billing ended on an earlier day.
    """
    facts = queries.lock_service(tx, service_id=service_id)
    charges = queries.recurring_of(tx, service_id=service_id)
    if any(charge.closed_by == order_line_id for charge in charges):
        return 0
    _refuse_paused(facts, charges)
    cuts: list[int] = []
    for chain in _living(facts, charges, on=on):
        standing = tuple(one.standing for one in chain)
        if standing[-1].policy.while_suspended is not Suspended.PAUSE:
            continue
        planned = plan_pause(standing, on=on, payer=facts.cycle)
        cut(
            tx,
            [one for one, _ in planned],
            order_line_id=order_line_id,
            now=now,
            pauses={pause.charge_id: pause for _, pause in planned},
        )
        cuts += [one.charge_id for one, _ in planned]
    log.info("charge.paused", service_id=service_id, charges=cuts, on=str(on))
    return cuts[0] if cuts else 0


def resume_recurring(
    *, tx: Connection, service_id: int, order_line_id: int, on: date, now: datetime
) -> int:
    """Go on with what a suspension paused, from a day on; return a new charge's id, or 0."""
    facts = queries.lock_service(tx, service_id=service_id)
    charges = queries.recurring_of(tx, service_id=service_id)
    if any(charge.order_line_id == order_line_id for charge in charges):
        return 0
    known = {charge.id: charge for charge in charges}
    pauses = pauses_of(charges)
    made = [
        _successor(tx, facts, known[number], (start, end), known[number].policy, order_line_id, now)
        for number, start, end in plan_resume(pauses, on=on)
    ]
    if pauses:
        queries.end_pauses(tx, charge_ids=[one.charge_id for one in pauses], now=now)
    log.info("charge.resumed", service_id=service_id, charges=made, on=str(on))
    return made[0] if made else 0


def _going_on(
    facts: ServiceFacts, charges: Sequence[RecurringCharge], *, on: date
) -> list[GoingOn]:
    _refuse_paused(facts, charges)
    return [
        one
        for chain in _living(facts, charges, on=on)
        for one in plan_going_on(tuple(c.standing for c in chain), on=on, payer=facts.cycle)
    ]


def _refuse_paused(facts: ServiceFacts, charges: Sequence[RecurringCharge]) -> None:
    for pause in pauses_of(charges):
        raise BillingPaused(f"Service {facts.number} is suspended since {pause.on}.")


def _living(
    facts: ServiceFacts, charges: Sequence[RecurringCharge], *, on: date
) -> list[tuple[RecurringCharge, ...]]:
    """Return the chains that go beyond a day; all of them when none does, to be refused."""
    if not charges:
        raise NothingToBill(f"Billing of service {facts.number} never started.")
    chains = list(chains_of(charges).values())
    return [
        chain for chain in chains if any(one.ends_on is None or one.ends_on > on for one in chain)
    ] or chains


def _successor(
    tx: Connection,
    facts: ServiceFacts,
    before: RecurringCharge,
    days: tuple[date, date | None],
    policy: ProrationPolicy,
    order_line_id: int,
    now: datetime,
) -> int:
    key = free_key(tx, service_id=facts.service_id, add_on=before.add_on, starts_on=days[0])
    return queries.insert_successor(
        tx,
        charge_id=before.id,
        values={
            "brand_id": facts.brand_id,
            "key": key,
            "payer_id": facts.billing_account_id,
            "order_line_id": order_line_id,
            "location_id": facts.location_id,
            "starts_on": days[0],
            "ends_on": days[1],
            "policy": to_json(policy.as_json()).decode(),
            "now": now,
        },
    )
