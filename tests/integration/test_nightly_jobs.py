"""The nightly jobs on the real application: what a night missed, the next one makes up for."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from time import sleep

import pytest
from billing_world import BillingWorld
from l2c_jobs import bill_cycle, rate_usage

from connector.billing.bill_run import plan_run
from connector.bootstrap import App
from connector.config import load_settings
from connector.kernel.clock import MovableClock
from connector.store.engine import Store


@dataclass
class Nights:
    """An application whose nights the test lets come."""

    app: App
    clock: MovableClock
    world: BillingWorld

    def at(self, day: date) -> None:
        self.clock.move_to(datetime(day.year, day.month, day.day, 4, tzinfo=UTC))


@pytest.fixture
def nights(store: Store, tmp_path: Path) -> Iterator[Nights]:
    config = tmp_path / "config.yaml"
    config.write_text(f"store: {{data_dir: {tmp_path}}}", encoding="utf-8")
    world = BillingWorld(store)
    world.tax("19")
    clock = MovableClock(datetime(2026, 5, 1, 4, tzinfo=UTC))
    app = App(settings=load_settings(config), store=store, clock=clock)
    yield Nights(app, clock, world)
    app.close()


def test_a_first_of_the_month_without_a_worker_costs_nobody_an_invoice(nights: Nights) -> None:
    world = nights.world
    world.start(
        world.service(world.payer(), world.product("seat"), "10.00"),
        date(2026, 6, 1),
    )
    nights.at(date(2026, 6, 30))
    bill_cycle.run(nights.app)

    nights.at(date(2026, 7, 3))
    bill_cycle.run(nights.app)
    bill_cycle.run(nights.app)

    assert [document["invoice_on"] for document in world.documents()] == [date(2026, 7, 1)]


def test_a_month_is_closed_by_the_first_night_that_comes_after_it(nights: Nights) -> None:
    nights.at(date(2026, 6, 30))
    rate_usage.run(nights.app)

    nights.at(date(2026, 7, 3))  # the nights of the 1st and the 2nd never came
    rate_usage.run(nights.app)

    (rated_at,) = nights.world.one(
        "SELECT published_at FROM rating_run "
        "WHERE state = 'published' AND period_start = '2026-06-01'"
    )
    assert rated_at == nights.clock.now()


def test_a_bill_run_left_to_the_workers_is_done_by_them(nights: Nights) -> None:
    world = nights.world
    for _ in range(2):
        world.start(world.service(world.payer(), world.product("seat"), "10.00"), date(2026, 7, 1))
    nights.at(date(2026, 7, 1))
    with nights.app.store.transaction() as tx:
        plan_run(tx, billed_to=date(2026, 7, 1), now=nights.clock.now(), chunk_accounts=1)

    plan = nights.app.hand_over_bills(date(2026, 7, 1))
    nights.app.start_background(scheduler=False)
    for _ in range(400):
        if world.one("SELECT finished_at FROM bill_run")[0] is not None:
            break
        sleep(0.05)
    nights.app.stop_background()

    assert (plan.accounts, plan.chunks) == (2, 2)
    assert [d["number"] for d in world.documents()] == ["RT-000001", "RT-000002"]


def test_drafts_left_to_the_workers_are_finalised_chunk_by_chunk(nights: Nights) -> None:
    world = nights.world
    world.start(world.service(world.payer(), world.product("seat"), "10.00"), date(2026, 7, 1))
    nights.at(date(2026, 7, 1))
    nights.app.run_bills(date(2026, 7, 1), keep_drafts=True)

    plan = nights.app.hand_over_drafts(date(2026, 7, 1))
    left = [document["state"] for document in world.documents()]
    jobs = world.one(
        "SELECT count(*) FROM procrastinate_jobs WHERE CAST(args ->> 'run_id' AS bigint) = :run",
        run=plan.run_id,
    )[0]
    nights.app.bill_chunk(plan.run_id)

    assert (plan.chunks, jobs, left) == (1, 1, ["draft"])
    assert [d["number"] for d in world.documents()] == ["RT-000001"]
    assert world.one("SELECT finished_at FROM bill_run")[0] == nights.clock.now()


def test_a_bill_run_without_accounts_needs_no_worker(nights: Nights) -> None:
    nights.at(date(2026, 7, 1))

    plan = nights.app.hand_over_bills(date(2026, 7, 1))

    assert plan.chunks == 0
    assert nights.world.one("SELECT finished_at FROM bill_run")[0] == nights.clock.now()


def test_a_month_end_bills_everybody_but_the_broken_account(nights: Nights) -> None:
    world = nights.world
    for country in ("DE", "XX", "DE"):
        service = world.service(world.payer(country=country), world.product("seat"), "10.00")
        world.start(service, date(2026, 7, 1))

    nights.at(date(2026, 7, 1))
    bill_cycle.run(nights.app)

    assert [(d["status"], d["total"]) for d in world.documents()] == [
        ("Issued", Decimal("11.90")),
        ("Issued", Decimal("11.90")),
    ]
    (waiting,) = world.one("SELECT problems FROM bill_run")[0]
    assert waiting["code"] == "billing.no_tax_rate"
    assert "XX" in waiting["reason"]
