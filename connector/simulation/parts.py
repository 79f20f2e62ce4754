"""Parts of a service in a scenario: how they begin, go on and end, by the rules of charging."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from connector.billing.draft import BillableCharge
from connector.charging.early_termination import Band, EarlyTermination, early_termination_fee
from connector.charging.policy import Suspended
from connector.charging.succession import (
    Opening,
    Standing,
    plan_first,
    plan_going_on,
    plan_stop,
    plan_succession,
)
from connector.charging.value import Discount, Price
from connector.errors import InvalidInput
from connector.kernel.period import Cycle, Period, local_date
from connector.simulation import events
from connector.simulation.events import DiscountTerms
from connector.simulation.words import Moment
from connector.simulation.world import (
    Component,
    Ledger,
    NotNow,
    NotThatKindOfPlan,
    Service,
    World,
)

BASE = "base"


def day_of(world: World, moment: Moment) -> date:
    """Return the local day of a moment."""
    if isinstance(moment, datetime):
        return local_date(moment, world.script.calendar.timezone)
    return moment


@dataclass(frozen=True, slots=True)
class Terms:
    """What is agreed for a part of a service."""

    plan: str
    quantity: Decimal
    price: Decimal | None
    discount: Decimal
    discounts: tuple[DiscountTerms, ...]


def begin(
    world: World,
    service: Service,
    name: str,
    terms: Terms,
    on: date,
    *,
    policy_of: str = "",
) -> None:
    """Open the first charge of a part of a service."""
    ledger = world.ledger(service.account)
    plan = world.plan(terms.plan)
    component = Component(name, terms.plan)
    service.components[name] = component
    by_model = plan.pricing is not None and terms.price is None
    if not plan.recurs and terms.price is None:
        if plan.usage is None:
            raise NotThatKindOfPlan(f"The plan '{terms.plan}' has no recurring price.")
        terms = replace(terms, price=Decimal(0))  # what is only metered costs nothing by itself
    opening = plan_first(on=on, policy=world.policy(policy_of or terms.plan, ledger))
    cycle = opening.policy.cycle(ledger.payer.cycle)
    price = plan.recurring if terms.price is None else terms.price
    charge = replace(
        world.blank_charge(ledger, service, terms.plan),
        quantity=terms.quantity,
        unit_price=price or Decimal(0),
        pricing=plan.pricing if by_model else None,
        discount_percent=terms.discount,
        discounts=tuple(
            _discount(world, one, starts_on=opening.starts_on, cycle=cycle)
            for one in terms.discounts
        ),
    )
    component.charges.append(world.open_charge(ledger, _dated(charge, opening)))


def succeed(
    world: World,
    service: Service,
    component: Component,
    on: date,
    *,
    plan: str | None = None,
    price: Decimal | None = None,
    quantity: Decimal | None = None,
) -> None:
    """Let a part of a service go on from a day, with what is said changed."""
    if component.paused_on is not None and on >= component.paused_on:
        raise NotNow(f"'{service.name}' is suspended since {component.paused_on}; resume it first.")
    standing = world.standing(component)
    ledger = world.ledger(service.account)
    before = world.charge(in_force(standing, on))
    pricing = None
    if price is None and plan:
        price, pricing = world.plan(plan).recurring, world.plan(plan).pricing
    elif price is None:
        price, pricing = before.unit_price, before.pricing
    name = plan or component.plan
    after = replace(
        world.blank_charge(ledger, service, name),
        description=before.description if plan is None else world.plan(name).name or name,
        quantity=before.quantity if quantity is None else quantity,
        unit_price=price or Decimal(0),
        discount_percent=before.discount_percent,
        discounts=before.discounts,
        pricing=pricing,
    )
    succession = plan_succession(
        standing,
        on=on,
        per_period=Price(
            after.quantity, after.unit_price, after.discount_percent, pricing=pricing
        ).per_period,
        policy=after.policy,
        payer=ledger.payer.cycle,
    )
    world.cut((succession.cut,))
    component.charges.append(world.open_charge(ledger, _dated(after, succession.opening)))
    component.plan = name


def go_on(
    world: World,
    service: Service,
    component: Component,
    on: date,
    *,
    payer: Ledger | None = None,
) -> None:
    """Let a part go on as it is where its service is now; `payer` is who paid until that day."""
    if component.paused_on is not None:
        raise NotNow(f"'{service.name}' is suspended since {component.paused_on}; resume it first.")
    ledger = world.ledger(service.account)
    cycle = (payer or ledger).payer.cycle
    for one in plan_going_on(world.standing(component), on=on, payer=cycle):
        before = world.charge(one.cut.charge_id)
        blank = world.blank_charge(ledger, service, component.plan)
        policy = before.policy if payer is None else blank.policy
        after = replace(
            before,
            site=service.site,
            tax_country=service.country,
            starts_on=one.starts_on,
            ends_on=one.ends_on,
            policy=policy.opened(on=one.starts_on, before=before.policy),
        )
        world.cut((one.cut,))
        component.charges.append(world.open_charge(ledger, after))


def in_force(standing: Sequence[Standing], on: date) -> int:
    """Return the charge in force on the day, the nearest one when there is none."""
    for one in standing:
        if one.ends_on is None or on < one.ends_on:
            return one.charge_id
    return standing[-1].charge_id


def _dated(charge: BillableCharge, opening: Opening) -> BillableCharge:
    return replace(
        charge,
        starts_on=opening.starts_on,
        ends_on=opening.ends_on,
        policy=opening.policy,
    )


def end_part(world: World, service: Service, component: Component, on: date) -> None:
    """End a part of a service, under the policy of its latest charge."""
    world.cut(plan_stop(world.standing(component), on=on, payer=payer_cycle(world, service)))


def end_service(world: World, service: Service, on: date) -> None:
    """End a service with all its parts."""
    if service.is_ended:
        raise NotNow(f"'{service.name}' has ended already.")
    living = [
        component
        for component in service.components.values()
        if any(one.ends_on is None or one.ends_on > on for one in world.standing(component))
    ]
    for component in living or service.components.values():
        if component.paused_on is None or _goes_on(world, component):
            end_part(world, service, component, on)
    service.is_ended = True


def _goes_on(world: World, component: Component) -> bool:
    return world.standing(component)[-1].policy.while_suspended is Suspended.CONTINUE


def living(world: World, name: str) -> Service:
    """Return a service that has not ended."""
    service = world.service(name)
    if service.is_ended:
        raise NotNow(f"'{name}' has ended.", remedy="Start it anew under another name.")
    return service


def base_of(world: World, name: str) -> tuple[Service, Component]:
    """Return a service and what it is at its base."""
    service = world.service(name)
    if BASE not in service.components:
        raise NotNow(f"'{name}' is a bundle; change its parts by remove and add.")
    return service, service.components[BASE]


def effective_day(world: World, service: Service, event: events.Change | events.ReRate) -> date:
    """Return the day from which a change holds."""
    on = day_of(world, event.at)
    cycle = payer_cycle(world, service)
    return cycle.boundary_from(on) if event.effective == "next_bill_day" else on


def payer_cycle(world: World, service: Service) -> Cycle:
    """Return the billing periods of who pays for a service."""
    return world.ledger(service.account).payer.cycle


def _discount(world: World, terms: DiscountTerms, *, starts_on: date, cycle: Cycle) -> Discount:
    """Return a discount with its days; so many cycles count from the one that is running."""
    start = day_of(world, terms.from_) if terms.from_ else starts_on
    end = day_of(world, terms.to) if terms.to else None
    if terms.cycles:
        period = cycle.period_of(start)
        for _ in range(terms.cycles - 1):
            period = cycle.following(period)
        end = period.end
    if end is not None and end <= start:
        raise InvalidInput(f"A discount cannot end on {end} before it begins on {start}.")
    return Discount(Period(start, end), terms.percent or Decimal(0), terms.amount or Decimal(0))


def sell(
    world: World,
    ledger: Ledger,
    service: Service | None,
    plan: str,
    *,
    on: date,
    price: Decimal | None = None,
    quantity: Decimal = Decimal(1),
    description: str = "",
) -> None:
    """Charge something once."""
    blank = world.blank_charge(ledger, service, plan)
    once = world.plan(plan).once if price is None else price
    if once is None:
        raise NotThatKindOfPlan(f"The plan '{plan}' has no price for being sold once.")
    world.open_charge(
        ledger,
        replace(
            blank,
            kind="one_time",
            description=description or blank.description,
            quantity=quantity,
            unit_price=once,
            starts_on=on,
            ends_on=on,
            minimum=Decimal(0),
        ),
    )


def early_fee(world: World, service: Service, on: date) -> Fraction:
    """Return what leaving early costs, exact; nothing without a term or a rule for it."""
    told = world.plan(service.plan).early_termination
    base = service.components.get(BASE)
    if told is None or service.term_from is None or base is None:
        return Fraction(0)
    rule = EarlyTermination(
        tuple(Band(band.from_month, band.percent) for band in told.bands), told.flat, told.cap
    )
    charge = world.charge(in_force(world.standing(base), on - timedelta(days=1)))
    return early_termination_fee(
        rule=rule,
        monthly=charge.price.per_period * charge.policy.every.per_year / 12,
        term_from=service.term_from,
        term_months=service.term_months,
        ends_on=on,
    )
