"""SIGKILL at any statement of a bill run: the books come out as if nothing had happened."""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path

import pytest
from billing_world import BillingWorld, at

from connector.billing.bill_run import run_cycle
from connector.store.engine import Store
from tests.billing.killed_run import CHUNK_ACCOUNTS

JUL = date(2026, 7, 1)
AUG = date(2026, 8, 1)
SCRIPT = Path(__file__).with_name("killed_run.py")
KILLED_BY = 30  # a chunk takes about as many, so every one of them is met and none is sure
SEED = 20_260_701


def customers(world: BillingWorld) -> None:
    """Sell something to ten payers, bill July, then change and cancel: August has it all."""
    seat = world.product("seat")
    services = [world.service(world.payer(), seat, f"{n}.33", quantity="3") for n in range(1, 11)]
    for n, service in enumerate(services):
        world.start(service, date(2026, 6, 10 + n))
    world.bill(JUL)
    for service in services[::3]:
        world.change(service, date(2026, 7, 12), "7.77", quantity="2")
    for service in services[1::4]:
        world.cancel(service, date(2026, 7, 20))


def books(world: BillingWorld) -> dict[str, object]:
    """Return what must not depend on how often the run died."""
    documents = world.documents()
    return {
        "documents": sorted(
            (
                d["run_key"],
                d["type"],
                d["total"],
                d["status"],
                [(line["amount"], line["tax_amount"]) for line in d["lines"]],
            )
            for d in documents
        ),
        "numbers": sorted(d["number"] for d in documents),
        "journal": world.one(
            "SELECT sum(debit), sum(credit), count(*), count(DISTINCT entry_id) FROM journal_line"
        ),
        "allocated": world.one("SELECT sum(amount), count(*) FROM allocation"),
        "unbalanced": world.one(
            "SELECT count(*) FROM (SELECT entry_id FROM journal_line GROUP BY entry_id "
            "HAVING sum(debit) <> sum(credit)) one"
        ),
    }


def kill_at(world: BillingWorld, day: date, statement: int) -> bool:
    """Bill a day until the statement; return whether the run died of it."""
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), world.store.url, str(day), str(statement)],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode in (0, -9), ended.stderr.decode()
    return ended.returncode == -9


def survives(
    world: BillingWorld, undisturbed: BillingWorld, *, days: list[date], kills: int
) -> None:
    """Bill days with so many kills each in one world and without in the other; compare them."""
    chance = random.Random(SEED)
    for one in (world, undisturbed):
        customers(one)
    for day in days:
        died = [kill_at(world, day, chance.randint(1, KILLED_BY)) for _ in range(kills)]
        assert all(died)
        run_cycle(store=world.store, billed_to=day, now=at(day), chunk_accounts=CHUNK_ACCOUNTS)
        undisturbed.bill(day)

    assert books(world) == books(undisturbed)
    numbers = [d["number"] for d in world.documents() if d["type"] == "Invoice"]
    assert sorted(numbers) == [f"RT-{n:06}" for n in range(1, len(numbers) + 1)]
    assert world.one("SELECT count(*) FROM bill_run WHERE finished_at IS NULL")[0] == 0


@pytest.fixture
def undisturbed(new_store: Callable[[], AbstractContextManager[Store]]) -> Iterator[BillingWorld]:
    """Return a second world, which nobody disturbs."""
    with new_store() as store:
        made = BillingWorld(store)
        made.tax("19")
        yield made


def test_three_kills_change_nothing(world: BillingWorld, undisturbed: BillingWorld) -> None:
    survives(world, undisturbed, days=[AUG], kills=3)


@pytest.mark.slow
def test_twenty_kills_change_nothing(world: BillingWorld, undisturbed: BillingWorld) -> None:
    days = [date(2026, month, 1) for month in range(8, 13)]

    survives(world, undisturbed, days=days, kills=4)
