"""Seats of a scenario that a vendor does not take back inside a term (mission row B24)."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

from connector.charging.early_termination import term_end
from connector.charging.value import Price
from connector.inventory.commitment import Batch, Commitment, batches_of
from connector.simulation.world import Component, Service, World


def check_change(
    world: World,
    service: Service,
    component: Component,
    on: date,
    *,
    plan: str | None,
    quantity: Decimal | None,
) -> None:
    """Refuse a change that gives up seats the vendor keeps; a cheaper plan gives up all of them.

    Raises:
        Committed: The windows of so many seats are over.
    """
    standing = world.standing(component)
    seats = world.charge(standing[-1].charge_id).quantity if quantity is None else quantity
    if plan is not None and _each(world, plan) < _each(world, component.plan):
        seats = Decimal(0)
    _check(world, service, component, on, seats)


def check_end(world: World, service: Service, on: date) -> None:
    """Refuse to end a service whose seats the vendor keeps.

    Raises:
        Committed: The windows of its seats are over.
    """
    for component in service.components.values():
        _check(world, service, component, on, Decimal(0))


def check_removal(world: World, service: Service, component: Component, on: date) -> None:
    """Refuse to remove a part whose seats the vendor keeps.

    Raises:
        Committed: The windows of its seats are over.
    """
    _check(world, service, component, on, Decimal(0))


def _check(
    world: World, service: Service, component: Component, on: date, quantity: Decimal
) -> None:
    told = world.plan(component.plan).commitment
    if told is None or service.term_from is None:
        return
    first, *later = (world.charge(one.charge_id) for one in world.standing(component))
    Commitment(
        window_days=told.window_days,
        term_from=service.term_from,
        renews_on=term_end(service.term_from, service.term_months),
        batches=batches_of(
            Batch(first.starts_on, first.quantity),
            [(charge.starts_on, charge.quantity) for charge in later],
        ),
    ).check(service=f"'{service.name}'", on=on, quantity=quantity)


def _each(world: World, plan: str) -> Fraction:
    told = world.plan(plan)
    one = Price(Decimal(1), told.recurring or Decimal(0), Decimal(0), pricing=told.pricing)
    return one.per_period
