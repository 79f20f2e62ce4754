"""What each event does to the world of a scenario, by the rules that the commands follow."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from functools import singledispatch

from connector.billing.draft import BillableCharge
from connector.charging.early_termination import term_end
from connector.charging.policy import Suspended
from connector.charging.segments import BillingAlreadyStarted
from connector.charging.shares import split
from connector.charging.succession import plan_pause, plan_resume
from connector.errors import InvalidInput
from connector.inventory.services import check_renewal
from connector.kernel.money import rounded_to
from connector.simulation import events
from connector.simulation.commitments import check_change, check_end, check_removal
from connector.simulation.events import DiscountTerms, Event
from connector.simulation.parts import (
    BASE,
    Terms,
    base_of,
    begin,
    day_of,
    early_fee,
    effective_day,
    end_part,
    end_service,
    go_on,
    living,
    payer_cycle,
    sell,
    succeed,
)
from connector.simulation.script import Metered
from connector.simulation.world import (
    NotNow,
    NotThatKindOfPlan,
    Payment,
    Service,
    World,
)

EXACT_PLACES = 9


@singledispatch
def act(event: Event, world: World) -> None:
    """Let an event happen.

    Raises:
        ConnectorError: It does not fit what happened before.
    """
    raise AssertionError(f"{world} has no rule for {type(event).__name__}")


@act.register
def _(event: events.Start, world: World) -> None:
    if event.start in world.services:
        raise BillingAlreadyStarted(f"A service '{event.start}' was started before.")
    ledger = world.ledger(event.account)
    service = Service(
        id=len(world.services) + 1,
        name=event.start,
        plan=event.plan,
        account=ledger.name,
        site=event.site,
        country=event.country,
    )
    on = day_of(world, event.at)
    plan = world.plan(event.plan)
    if plan.parts:
        weights = tuple(plan.parts.values())
        whole = event.price if event.price is not None else plan.recurring or Decimal(0)
        shares = split(whole, weights, ledger.payer.currency)
        offs = _shared_out(event.discounts, shares, ledger.payer.currency)
        for part, share, discounts in zip(plan.parts, shares, offs, strict=True):
            terms = Terms(part, event.quantity, share, event.discount, discounts)
            begin(world, service, part, terms, on, policy_of=event.plan)
    else:
        terms = Terms(event.plan, event.quantity, event.price, event.discount, event.discounts)
        begin(world, service, BASE, terms, on)
    if event.term:
        service.term_from, service.term_months = on, event.term.months
    world.services[event.start] = service
    before = on
    for step in event.steps:
        step_on = day_of(world, step.from_)
        if step_on <= before:
            raise InvalidInput(
                f"The step of {step_on} does not come after {before}.",
                remedy="List the steps in the order of their days.",
            )
        before = step_on
        for component in service.components.values():
            succeed(world, service, component, step_on, quantity=step.quantity)
    if event.term and event.term.renewal == "expire":
        end_service(world, service, term_end(on, event.term.months))


def _shared_out(
    discounts: Sequence[DiscountTerms], shares: Sequence[Decimal], currency: str
) -> list[tuple[DiscountTerms, ...]]:
    """Return the discounts of each part of a bundle: percentages as they are, amounts in shares."""
    parts: list[tuple[DiscountTerms, ...]] = [() for _ in shares]
    for one in discounts:
        amounts: Sequence[Decimal | None] = [None for _ in shares]
        if one.amount is not None:
            amounts = split(one.amount, shares, currency)
        parts = [
            (*part, one.model_copy(update={"amount": amount}))
            for part, amount in zip(parts, amounts, strict=True)
        ]
    return parts


@act.register
def _(event: events.Change, world: World) -> None:
    service, base = base_of(world, event.change)
    if event.plan is not None and not world.plan(event.plan).recurs:
        raise NotThatKindOfPlan(f"The plan '{event.plan}' has no recurring price.")
    on = effective_day(world, service, event)
    check_change(world, service, base, on, plan=event.plan, quantity=event.quantity)
    succeed(world, service, base, on, plan=event.plan, price=event.price, quantity=event.quantity)
    if event.plan is not None:
        service.plan = event.plan


@act.register
def _(event: events.ReRate, world: World) -> None:
    service, base = base_of(world, event.re_rate)
    succeed(world, service, base, effective_day(world, service, event), price=event.price)


@act.register
def _(event: events.ReTerm, world: World) -> None:
    service, base = base_of(world, event.re_term)
    on = day_of(world, event.at)
    if event.price is not None:
        succeed(world, service, base, on, price=event.price)
    service.term_from, service.term_months = on, event.months


@act.register
def _(event: events.Renew, world: World) -> None:
    service, base = base_of(world, event.renew)
    on = day_of(world, event.at)
    if service.term_from is not None:
        last_day = term_end(service.term_from, service.term_months) - timedelta(days=1)
        check_renewal(name=f"'{service.name}'", last_day=last_day, on=on)
    if event.price is not None:
        succeed(world, service, base, on, price=event.price)
    service.term_from, service.term_months = on, event.months


@act.register
def _(event: events.Add, world: World) -> None:
    service = living(world, event.add)
    wanted = event.as_ or event.plan
    name = wanted
    for number in range(2, len(service.components) + 2):
        if name not in service.components:
            break
        if event.as_:
            raise NotNow(f"'{service.name}' has a part '{wanted}' already.")
        name = f"{wanted}#{number}"
    on = day_of(world, event.at)
    first = world.standing(service.components[next(iter(service.components))])[0].starts_on
    if on < first:
        raise NotNow(f"'{service.name}' begins on {first}; nothing can be added on {on}.")
    terms = Terms(event.plan, event.quantity, event.price, Decimal(0), event.discounts)
    begin(world, service, name, terms, on)


@act.register
def _(event: events.Remove, world: World) -> None:
    service = world.service(event.remove)
    part = service.components.get(event.part)
    if part is None or event.part == BASE:
        known = ", ".join(sorted(set(service.components) - {BASE})) or "none"
        raise NotNow(f"'{service.name}' has no part '{event.part}' to remove; it has: {known}.")
    on = day_of(world, event.at)
    check_removal(world, service, part, on)
    end_part(world, service, part, on)


@act.register
def _(event: events.Move, world: World) -> None:
    service = living(world, event.move)
    on = day_of(world, event.at)
    service.site = event.site
    service.country = event.country or service.country
    for component in service.components.values():
        go_on(world, service, component, on)
    if event.fee is not None:
        sell(world, world.ledger(service.account), service, event.fee, on=on)


@act.register
def _(event: events.Replace, world: World) -> None:
    old = living(world, event.replace)
    check_end(world, old, day_of(world, event.at))
    act(
        events.Start(
            at=event.at,
            start=event.by,
            plan=event.plan,
            account=old.account,
            quantity=event.quantity,
            price=event.price,
            site=old.site,
            country=old.country,
        ),
        world,
    )
    end_service(world, old, day_of(world, event.at))


@act.register
def _(event: events.Cancel, world: World) -> None:
    service = world.service(event.cancel)
    on = day_of(world, event.at)
    check_end(world, service, on)
    fee = early_fee(world, service, on) if event.early_termination == "due" else Fraction(0)
    end_service(world, service, on)
    if fee:
        amount = rounded_to(fee, EXACT_PLACES)
        text = f"{world.plan(service.plan).name or service.plan}, early termination"
        ledger = world.ledger(service.account)
        sell(world, ledger, service, service.plan, on=on, price=amount, description=text)


@act.register
def _(event: events.Suspend, world: World) -> None:
    service = living(world, event.suspend)
    on = day_of(world, event.at)
    for component in service.components.values():
        standing = world.standing(component)
        if component.paused_on is not None:
            raise NotNow(f"'{service.name}' is suspended since {component.paused_on}.")
        if standing[-1].policy.while_suspended is Suspended.PAUSE:
            planned = plan_pause(standing, on=on, payer=payer_cycle(world, service))
            world.cut(tuple(cut for cut, _ in planned))
            component.pauses = tuple(pause for _, pause in planned)
        component.paused_on = on


@act.register
def _(event: events.Resume, world: World) -> None:
    service = living(world, event.resume)
    on = day_of(world, event.at)
    for component in service.components.values():
        if component.paused_on is None or on < component.paused_on:
            raise NotNow(f"'{service.name}' is not suspended on {on}.")
        component.paused_on = None
        for charge_id, starts_on, ends_on in plan_resume(component.pauses, on=on):
            again = replace(world.charge(charge_id), starts_on=starts_on, ends_on=ends_on)
            component.charges.append(world.open_charge(world.ledger(service.account), again))
        component.pauses = ()


@act.register
def _(event: events.Transfer, world: World) -> None:
    service = living(world, event.transfer)
    ledger = world.ledger(event.to)
    if ledger.name == service.account:
        raise NotNow(f"'{service.name}' is billed to '{event.to}' already.")
    giving = world.ledger(service.account)
    service.account = ledger.name
    on = day_of(world, event.at)
    for component in service.components.values():
        go_on(world, service, component, on, payer=giving)


@act.register
def _(event: events.Sell, world: World) -> None:
    service = world.service(event.service) if event.service else None
    account = service.account if service and event.account is None else event.account
    sell(
        world,
        world.ledger(account),
        service,
        event.sell,
        on=day_of(world, event.at),
        price=event.price,
        quantity=event.quantity,
    )


@act.register
def _(event: events.Return, world: World) -> None:
    ledger = world.ledger(event.account)
    left = event.quantity
    for number, charge in reversed(ledger.charges.items()):
        if charge.kind != "one_time" or charge.product_key != event.return_:
            continue
        back = min(left, charge.quantity)
        ledger.charges[number] = replace(charge, quantity=charge.quantity - back)
        left -= back
    if left:
        raise NotNow(
            f"{event.quantity} × '{event.return_}' cannot come back: {event.quantity - left} sold."
        )
    ledger.is_touched = True


@act.register
def _(event: events.Use, world: World) -> None:
    service = world.service(event.use)
    name = event.plan or service.plan
    metered = world.plan(name).usage
    if metered is None:
        raise NotThatKindOfPlan(f"The plan '{name}' has no price for usage.")
    ledger = world.ledger(service.account)
    period = ledger.payer.cycle.period_of(day_of(world, event.at))
    for number, charge in ledger.charges.items():
        same = (charge.kind, charge.service_id, charge.product_key, charge.starts_on)
        if same == ("usage", service.id, name, period.start):
            world.used[number] += event.units
            ledger.charges[number] = _used(charge, world.used[number], metered)
            return
    blank = replace(
        world.blank_charge(ledger, service, name),
        kind="usage",
        starts_on=period.start,
        ends_on=period.end,
        minimum=Decimal(0),
    )
    number = world.open_charge(ledger, _used(blank, event.units, metered))
    world.used[number] = event.units


def _used(charge: BillableCharge, units: Decimal, metered: Metered) -> BillableCharge:
    """Return a charge of so many units, kept as the store keeps a summary: to nine places."""
    if metered.pricing is not None:
        return replace(charge, quantity=units, pricing=metered.pricing)
    amount = Fraction(units) * Fraction(metered.price or 0) / Fraction(metered.per)
    return replace(charge, unit_price=rounded_to(amount, EXACT_PLACES))


@act.register
def _(event: events.Pay, world: World) -> None:
    ledger = world.ledger(event.account)
    if event.invoice is not None and event.invoice > len(world.documents):
        raise NotNow(f"There is no document {event.invoice} on {event.at}.")
    told = event.invoice
    on = day_of(world, event.at)
    ledger.payments.append(Payment(len(ledger.payments), on, event.pay, told))
    world.allocate(ledger)
