"""Chunks of a bill run: who takes them, what they cost, and what is left when one dies."""

import os
import signal
from datetime import date
from decimal import Decimal

import pytest
from billing_world import BillingWorld, at
from sqlalchemy import event, text

from connector.billing import workforce
from connector.billing.bill_run import ChunkHeld, plan_run, run_cycle, work_off_one
from connector.billing.chunk import bill_next_chunk
from connector.billing.run_plan import Mode, Plan, claim_chunk

JUL = date(2026, 7, 1)
AUG = date(2026, 8, 1)


def payers(world: BillingWorld, count: int) -> list[int]:
    """Return payers with a charge each: one made by the commands, the others in its image."""
    first = world.payer()
    world.start(world.service(first, world.product("seat"), "10"), JUL)
    with world.store.transaction() as tx:
        tx.execute(
            text(
                "WITH a AS (INSERT INTO account (brand_id, sfid, kind, name, country) "
                "  SELECT brand_id, '002' || lpad(n::text, 15, '0'), kind, name, country "
                "    FROM account, generate_series(2, :count) n RETURNING id, brand_id), "
                "b AS (INSERT INTO billing_account "
                "        (brand_id, account_id, number, currency, opened_at) "
                "  SELECT brand_id, id, 'X-' || id, 'EUR', now() FROM a RETURNING id) "
                "INSERT INTO charge (brand_id, key, kind, billing_account_id, product_id, "
                "    description, quantity, unit_price, unit_cost, discount_percent, currency, "
                "    starts_on, ends_on, tax_category, accounting_code, policy, source, "
                "    created_at, changed_at) "
                "SELECT c.brand_id, 'x:' || b.id, 'recurring', b.id, c.product_id, c.description, "
                "       1, 10, 0, 0, 'EUR', c.starts_on, NULL, c.tax_category, c.accounting_code, "
                "       c.policy, c.source, c.created_at, c.changed_at FROM b, charge c"
            ),
            {"count": count},
        )
        return list(tx.scalars(text("SELECT id FROM billing_account ORDER BY id")))


def plan(world: BillingWorld, *, chunk_accounts: int, mode: Mode = Mode.BILL) -> Plan:
    with world.store.transaction() as tx:
        return plan_run(tx, billed_to=JUL, now=at(JUL), mode=mode, chunk_accounts=chunk_accounts)


def test_two_hundred_payers_take_the_statements_of_one(world: BillingWorld) -> None:
    payers(world, 201)
    run = plan(world, chunk_accounts=1)
    with world.store.transaction() as tx:  # one chunk of one payer, one of all the others
        tx.execute(text("DELETE FROM bill_chunk WHERE after_id > (SELECT min(last_id) "
                        "  FROM bill_chunk)"))  # fmt: skip
        tx.execute(text("UPDATE bill_chunk SET last_id = 1000000 WHERE after_id > 0"))
    seen: list[str] = []

    def count(_connection, _cursor, statement, *_rest) -> None:
        seen.append(statement)

    event.listen(world.store.engine, "before_cursor_execute", count)
    of_one = bill_next_chunk(store=world.store, run_id=run.run_id, now=at(JUL))
    for_one, seen[:] = len(seen), []
    of_many = bill_next_chunk(store=world.store, run_id=run.run_id, now=at(JUL))
    event.remove(world.store.engine, "before_cursor_execute", count)

    assert of_one is not None
    assert of_many is not None
    assert (of_one.invoices, of_many.invoices) == (1, 200)
    assert len(seen) == for_one


class TestAChunk:
    def test_is_held_by_one_worker_until_it_ends(self, world: BillingWorld) -> None:
        payers(world, 4)
        run = plan(world, chunk_accounts=2)
        store = world.store

        with store.transaction() as one, store.transaction() as other, store.transaction() as late:
            held = [claim_chunk(tx, run_id=run.run_id) for tx in (one, other, late)]
            with pytest.raises(ChunkHeld):
                work_off_one(store=store, run_id=run.run_id, now=at(JUL))

        ranges = [(chunk.after_id, chunk.last_id) for chunk in held if chunk is not None]
        assert len(ranges) == 2
        assert ranges[0][1] == ranges[1][0]
        assert work_off_one(store=store, run_id=run.run_id, now=at(JUL)) is False
        assert work_off_one(store=store, run_id=run.run_id, now=at(JUL)) is True
        assert len(world.documents()) == 4

    def test_that_was_done_is_not_done_again_when_the_run_goes_on(
        self, world: BillingWorld
    ) -> None:
        payers(world, 5)
        run = plan(world, chunk_accounts=2)
        bill_next_chunk(store=world.store, run_id=run.run_id, now=at(JUL))

        report = run_cycle(store=world.store, billed_to=JUL, now=at(JUL), chunk_accounts=2)

        assert (report.accounts, report.invoices, report.already_billed) == (3, 3, 0)
        # Chunks are worked off side by side: which of them numbers first is left open.
        numbers = sorted(document["number"] for document in world.documents())
        assert numbers == [f"RT-{n:06}" for n in range(1, 6)]

    def test_of_drafts_gives_way_to_a_run_that_bills(self, world: BillingWorld) -> None:
        payers(world, 3)
        drafting = plan(world, chunk_accounts=1, mode=Mode.DRAFT)
        bill_next_chunk(store=world.store, run_id=drafting.run_id, now=at(JUL))

        report = run_cycle(store=world.store, billed_to=JUL, now=at(JUL))

        assert (report.accounts, report.invoices) == (3, 3)
        assert {d["state"] for d in world.documents()} == {"finalised"}


def dies(_task: object, _told: object) -> None:
    """Stand in for a process that is killed before it tells what it did."""
    os.kill(os.getpid(), signal.SIGKILL)


class TestALargeRun:
    def test_is_done_by_two_processes_as_by_one(self, world: BillingWorld) -> None:
        payers(world, 9)

        report = run_cycle(
            store=world.store, billed_to=JUL, now=at(JUL), chunk_accounts=1, processes=2
        )

        assert (report.invoices, report.totals, report.problems) == (
            9, {"EUR": Decimal("107.10")}, ()
        )  # fmt: skip
        numbers = sorted(d["number"] for d in world.documents())
        assert numbers == [f"RT-{n:06}" for n in range(1, 10)]

    def test_ends_though_one_of_its_processes_dies(
        self, world: BillingWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        payers(world, 3)
        monkeypatch.setattr(workforce, "_work_beside", dies)

        report = run_cycle(
            store=world.store, billed_to=JUL, now=at(JUL), chunk_accounts=1, processes=2
        )

        assert (report.invoices, report.problems) == (3, ())
        assert world.one("SELECT count(*) FROM bill_run WHERE finished_at IS NULL")[0] == 0

    @pytest.mark.parametrize(("chunks", "processes"), [(0, 1), (1, 1), (7, 1)])
    def test_begins_where_another_process_is_worth_its_start(
        self, chunks: int, processes: int
    ) -> None:
        assert workforce.processes_for(chunks) == processes
        assert 1 < workforce.processes_for(1_000) <= workforce.PROCESSES_MAX or os.cpu_count() == 1
