"""Drafts are looked at before they go out, and go out as they were looked at."""

from datetime import date
from decimal import Decimal

import pytest
from billing_world import BillingWorld, at

from connector.billing.bill_run import BillRunReport, plan_run, preview_run, run_due_cycles
from connector.billing.chunk import bill_next_chunk
from connector.billing.finalise_run import (
    NothingDrafted,
    RunAlreadyFinalised,
    RunStillDrafting,
    finalise_run,
)
from connector.billing.review import UnknownRun, flag_of, review
from connector.billing.run_plan import Mode

JUL = date(2026, 7, 1)
AUG = date(2026, 8, 1)


@pytest.fixture
def lines(world: BillingWorld) -> list[int]:
    """Return a service of 60.00 a month of each of three payers."""
    made = [world.service(world.payer(), world.product("line"), "60.00") for _ in range(3)]
    for service in made:
        world.start(service, JUL)
    return made


def finalise(world: BillingWorld, day: date) -> BillRunReport:
    return finalise_run(store=world.store, billed_to=day, now=at(day))


class TestPreview:
    def test_shows_the_totals_of_the_run_and_writes_nothing(
        self, world: BillingWorld, lines: list[int]
    ) -> None:
        with world.store.read() as tx:
            shown = preview_run(tx=tx, billed_to=JUL, now=at(JUL))
        assert world.documents() == []

        ran = world.bill(JUL)

        assert (shown.accounts, shown.invoices, shown.totals) == (3, 3, ran.totals)


class TestReview:
    def test_flags_jumps_credits_and_who_is_missing(
        self, world: BillingWorld, lines: list[int]
    ) -> None:
        world.bill(JUL)
        jumping, leaving, _ = lines
        world.change(jumping, AUG, "95.00")
        world.cancel(leaving, AUG)
        newcomer = world.service(world.payer(), world.product("line"), "1000.00")
        world.start(newcomer, AUG)
        world.bill(AUG, keep_drafts=True)

        with world.store.read() as tx:
            seen = review(tx=tx, billed_to=AUG)

        assert seen.flags == {"jump": 1, "missing": 1, "first": 1}
        assert [(one.flag, one.total, one.before) for one in seen.outliers] == [
            ("jump", Decimal("113.05"), Decimal("71.40")),
            ("missing", None, Decimal("71.40")),
        ]
        assert (seen.totals["EUR"], seen.before["EUR"]) == (Decimal("1374.45"), Decimal("214.20"))
        assert (seen.run.drafts, seen.run.finalised) == (3, 0)

    @pytest.mark.parametrize(
        ("total", "before", "flag"),
        [
            ("150.00", "100.00", "jump"),
            ("149.99", "100.00", ""),
            ("50.00", "100.00", "jump"),
            ("9.00", "3.00", ""),  # three times as much, but six euros
            ("12.99", "3.00", ""),
            ("13.00", "3.00", "jump"),
            ("-0.01", "100.00", "credit"),
        ],
    )
    def test_calls_a_jump_what_is_one(self, total: str, before: str, flag: str) -> None:
        assert flag == flag_of(
            total=Decimal(total),
            before=Decimal(before),
            jump_percent=Decimal(50),
            jump_amount=Decimal(10),
        )

    def test_of_a_day_nobody_billed_is_refused(self, world: BillingWorld) -> None:
        with world.store.read() as tx, pytest.raises(UnknownRun, match="2026-08-01"):
            review(tx=tx, billed_to=AUG)


class TestFinalise:
    def test_numbers_the_very_drafts_that_were_reviewed(
        self, world: BillingWorld, lines: list[int]
    ) -> None:
        world.bill(JUL, keep_drafts=True)
        drafts = [d["id"] for d in world.documents()]

        report = finalise(world, JUL)

        assert (report.invoices, report.problems) == (3, ())
        documents = world.documents()
        assert [d["id"] for d in documents] == drafts
        assert [d["number"] for d in documents] == ["RT-000001", "RT-000002", "RT-000003"]
        assert world.one("SELECT count(*) FROM journal_entry")[0] == 3

    def test_holds_back_what_changed_since_and_takes_it_the_next_time(
        self, world: BillingWorld, lines: list[int]
    ) -> None:
        world.bill(JUL, keep_drafts=True)
        world.change(lines[1], JUL, "70.00")

        first = finalise(world, JUL)
        states = [(d["state"], d["subtotal"]) for d in world.documents()]
        second = finalise(world, JUL)

        assert [problem.code for problem in first.problems] == ["billing.changed_since_review"]
        assert first.invoices == 2
        assert sorted(states) == [
            ("draft", Decimal("70.00")),
            ("finalised", Decimal("60.00")),
            ("finalised", Decimal("60.00")),
        ]
        assert (second.invoices, second.problems) == (1, ())
        assert world.one("SELECT problems FROM bill_run")[0] == []

    def test_goes_on_where_it_was_interrupted(self, world: BillingWorld, lines: list[int]) -> None:
        world.bill(JUL, keep_drafts=True)
        with world.store.transaction() as tx:
            run = plan_run(tx, billed_to=JUL, now=at(JUL), mode=Mode.FINALISE, chunk_accounts=1)
        bill_next_chunk(store=world.store, run_id=run.run_id, now=at(JUL))

        report = finalise(world, JUL)

        assert (run.chunks, report.invoices) == (3, 2)
        assert {d["state"] for d in world.documents()} == {"finalised"}

    def test_twice_is_refused(self, world: BillingWorld, lines: list[int]) -> None:
        world.bill(JUL, keep_drafts=True)
        finalise(world, JUL)

        with pytest.raises(RunAlreadyFinalised, match="3 documents"):
            finalise(world, JUL)

    def test_of_nothing_or_of_half_a_run_is_refused(self, world: BillingWorld) -> None:
        world.bill(JUL, keep_drafts=True)
        with pytest.raises(NothingDrafted):
            finalise(world, JUL)

        with world.store.transaction() as tx:
            tx.exec_driver_sql("UPDATE bill_run SET finished_at = NULL")
        with pytest.raises(RunStillDrafting):
            finalise(world, JUL)

    def test_keeps_in_mind_who_had_no_draft(self, world: BillingWorld, lines: list[int]) -> None:
        stranger = world.payer(country="FR")
        world.start(world.service(stranger, world.product("line"), "60.00"), JUL)
        world.bill(JUL, keep_drafts=True)

        finalise(world, JUL)

        (left_out,) = world.one("SELECT problems FROM bill_run")[0]
        assert (left_out["billing_account_id"], left_out["code"]) == (
            stranger,
            "billing.no_tax_rate",
        )


def test_the_nightly_run_leaves_drafts_to_whoever_reviews_them(
    world: BillingWorld, lines: list[int]
) -> None:
    world.bill(JUL, keep_drafts=True)

    run_due_cycles(store=world.store, today=JUL, now=at(JUL))

    assert {d["state"] for d in world.documents()} == {"draft"}
