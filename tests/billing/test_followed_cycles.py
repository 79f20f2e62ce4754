"""A payer is billed as often as its customer asks for in the CRM, from the next bill run on."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from itertools import pairwise

import pytest
from billing_world import BillingWorld, at
from sqlalchemy import text

from connector.bootstrap import App
from connector.config import Settings
from connector.kernel.clock import MovableClock
from connector.parties.billing_accounts import follow_cycles

JUNE, JULY, AUGUST, OCTOBER = (date(2026, month, 1) for month in (6, 7, 8, 10))


@pytest.fixture
def app(world: BillingWorld) -> Iterator[App]:
    with App(settings=Settings(), store=world.store, clock=MovableClock(at(OCTOBER))) as app:
        yield app


def ask(world: BillingWorld, cycle: str) -> None:
    """Let the customer of the only payer ask for another cycle, as the CRM's field does."""
    with world.store.transaction() as tx:
        tx.execute(text("UPDATE account SET billing_cycle = :cycle"), {"cycle": cycle})


def calendar(world: BillingWorld) -> tuple[str, int]:
    with world.store.read() as tx:
        row = tx.execute(text("SELECT cycle, anchor_day FROM billing_account")).one()
    return row.cycle, row.anchor_day


def test_a_month_becomes_a_quarter_and_no_day_is_lost_or_billed_twice(
    app: App, world: BillingWorld
) -> None:
    world.start(world.service(world.payer(), world.product("line"), "60.00"), JUNE)
    app.run_bills(JUNE)
    app.run_bills(JULY)
    ask(world, "quarter")

    assert app.run_bills(AUGUST).invoices == 0
    assert app.run_bills(OCTOBER).invoices == 1

    lines = [line for document in world.documents() for line in document["lines"]]
    days = sorted((line["service_from"], line["service_to"]) for line in lines)
    assert (days[0][0], days[-1][1]) == (JUNE, date(2027, 1, 1))
    assert all(before[1] == after[0] for before, after in pairwise(days))
    assert sum(line["amount"] for line in lines) == 7 * Decimal("60.00")


def test_a_later_day_of_the_month_becomes_monday_for_weeks(app: App, world: BillingWorld) -> None:
    world.payer(anchor_day=15)
    ask(world, "week")

    app.run_bills(date(2026, 6, 15))

    assert calendar(world) == ("week", 1)


@pytest.mark.parametrize("asked", ["month", "fortnight"])
def test_what_is_the_same_or_no_interval_changes_nothing(world: BillingWorld, asked: str) -> None:
    world.payer(anchor_day=15)
    ask(world, asked)

    with world.store.transaction() as tx:
        assert follow_cycles(tx=tx) == 0

    assert calendar(world) == ("month", 15)


def test_a_foreign_system_bills_as_often_as_it_does(world: BillingWorld) -> None:
    world.payer()
    ask(world, "year")
    with world.store.transaction() as tx:
        tx.execute(text("UPDATE billing_account SET system = 'oldbooks'"))

        assert follow_cycles(tx=tx) == 0


def test_whose_drafts_wait_follows_once_they_are_finalised(app: App, world: BillingWorld) -> None:
    world.start(world.service(world.payer(), world.product("line"), "60.00"), JUNE)
    app.run_bills(JULY, keep_drafts=True)
    ask(world, "quarter")

    report = app.finalise_bills(JULY)
    before = calendar(world)
    app.run_bills(AUGUST)

    assert (report.invoices, report.problems) == (1, ())
    assert (before, calendar(world)) == (("month", 1), ("quarter", 1))
