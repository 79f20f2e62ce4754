from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal

import pytest
from billing_world import BillingWorld, at
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from connector.billing.bill_run import (
    BillRunTooEarly,
    NothingToPreview,
    preview,
    run_cycle,
    run_due_cycles,
)
from connector.charging.charges import UsageCharge, upsert_usage_charges
from connector.charging.segments import BillingAlreadyStarted

JUL = date(2026, 7, 1)
AUG = date(2026, 8, 1)
SEP = date(2026, 9, 1)


def amounts(world: BillingWorld) -> list[tuple[str, list[Decimal]]]:
    return [(d["type"], [line["amount"] for line in d["lines"]]) for d in world.documents()]


class TestFirstBill:
    def test_bills_the_part_month_and_the_next_one_in_advance(self, world: BillingWorld) -> None:
        payer = world.payer()
        seats = world.service(
            payer, world.product("seat", name="Calling seat"), "12.50", quantity="24"
        )
        world.start(seats, date(2026, 6, 16))

        report = world.bill(JUL)

        assert (report.accounts, report.invoices, report.credit_notes) == (1, 1, 0)
        (invoice,) = world.documents()
        assert [
            (line["kind"], line["amount"], line["service_from"], line["service_to"])
            for line in invoice["lines"]
        ] == [
            ("Recurring", Decimal("300.00"), JUL, AUG),
            ("Proration", Decimal("150.00"), date(2026, 6, 16), JUL),
        ]
        assert invoice["number"] == "RT-000001"
        assert (invoice["subtotal"], invoice["tax"], invoice["total"]) == (
            Decimal("450.00"),
            Decimal("85.50"),
            Decimal("535.50"),
        )
        assert (invoice["invoice_on"], invoice["due_on"]) == (JUL, date(2026, 7, 15))
        assert invoice["status"] == "Issued"

    def test_bills_what_was_sold_once_before_the_day_only(self, world: BillingWorld) -> None:
        payer = world.payer()
        router = world.product("router")
        world.sell(payer, router, "99.00", date(2026, 6, 30), quantity="3")
        world.sell(payer, router, "99.00", JUL, quantity="1")

        world.bill(JUL)

        assert amounts(world) == [("Invoice", [Decimal("297.00")])]

    def test_a_payer_without_charges_gets_nothing(self, world: BillingWorld) -> None:
        world.payer()

        assert world.bill(JUL).accounts == 0
        assert world.documents() == []

    def test_a_day_that_is_nobodys_anchor_bills_nobody(self, world: BillingWorld) -> None:
        payer = world.payer()
        world.start(world.service(payer, world.product("seat"), "10"), date(2026, 6, 1))

        assert run_cycle(store=world.store, billed_to=date(2026, 7, 2), now=at(JUL)).accounts == 0

    def test_a_day_in_the_far_future_is_refused(self, world: BillingWorld) -> None:
        with pytest.raises(BillRunTooEarly, match="2027-07-01"):
            run_cycle(store=world.store, billed_to=date(2027, 7, 1), now=at(JUL))


class TestRunAgain:
    def test_changes_nothing(self, world: BillingWorld) -> None:
        payer = world.payer()
        world.start(world.service(payer, world.product("seat"), "10"), date(2026, 6, 1))
        world.bill(JUL)
        before = world.documents()

        report = world.bill(JUL)

        assert world.documents() == before
        assert (report.invoices, report.already_billed) == (0, 1)

    def test_of_a_later_month_bills_only_that_month(self, world: BillingWorld) -> None:
        payer = world.payer()
        world.start(world.service(payer, world.product("seat"), "10"), date(2026, 6, 16))
        world.bill(JUL)

        world.bill(AUG)

        assert amounts(world) == [
            ("Invoice", [Decimal("10.00"), Decimal("5.00")]),
            ("Invoice", [Decimal("10.00")]),
        ]

    def test_a_month_that_was_left_out_is_caught_up(self, world: BillingWorld) -> None:
        payer = world.payer()
        world.start(world.service(payer, world.product("seat"), "10"), date(2026, 6, 16))

        world.bill(SEP)

        ((_, lines),) = amounts(world)
        assert sorted(lines) == [Decimal("5.00"), Decimal(10), Decimal(10), Decimal(10)]


class TestBrokenPayer:
    def test_does_not_stop_the_others_and_says_why(self, world: BillingWorld) -> None:
        seat = world.product("seat")
        for country in ("DE", None, "FR", "DE"):
            world.start(world.service(world.payer(country=country), seat, "10"), date(2026, 6, 1))

        report = world.bill(JUL)

        assert report.invoices == 2
        assert [problem.code for problem in report.problems] == ["billing.no_tax_rate"] * 2
        assert "no country" in report.problems[0].reason
        assert "FR" in report.problems[1].reason
        stored = world.one("SELECT problems FROM bill_run").problems
        assert [one["billing_account_id"] for one in stored] == [
            problem.billing_account_id for problem in report.problems
        ]

    def test_is_billed_by_the_next_run_after_the_fix(self, world: BillingWorld) -> None:
        payer = world.payer(country="FR")
        world.start(world.service(payer, world.product("seat"), "10"), date(2026, 6, 1))
        world.bill(JUL)

        world.tax("20", country="FR")
        report = world.bill(JUL)

        assert (report.invoices, report.problems) == (1, ())
        assert world.documents()[0]["total"] == Decimal("24.00")

    def test_numbers_have_no_gap_where_it_was_left_out(self, world: BillingWorld) -> None:
        seat = world.product("seat")
        for country in ("DE", None, "DE", "DE"):
            world.start(world.service(world.payer(country=country), seat, "10"), date(2026, 6, 1))

        world.bill(JUL)

        assert [d["number"] for d in world.documents()] == ["RT-000001", "RT-000002", "RT-000003"]


class TestDueCycles:
    def test_catch_up_the_days_on_which_nobody_ran_the_bills(self, world: BillingWorld) -> None:
        world.start(world.service(world.payer(), world.product("seat"), "10"), date(2026, 6, 1))
        mid = world.service(world.payer(anchor_day=15), world.product("seat"), "31")
        world.start(mid, date(2026, 6, 15))
        world.bill(date(2026, 6, 20))

        run_due_cycles(store=world.store, today=date(2026, 7, 16), now=at(date(2026, 7, 16)))

        assert [(d["invoice_on"], d["subtotal"]) for d in world.documents()] == [
            (JUL, Decimal("20.00")),
            (date(2026, 7, 15), Decimal("62.00")),
        ]

    def test_take_up_a_payer_that_was_left_out_once_it_is_fixed(self, world: BillingWorld) -> None:
        payer = world.payer(country="FR")
        world.start(world.service(payer, world.product("seat"), "10"), date(2026, 6, 1))
        world.bill(JUL)
        world.tax("20", country="FR")

        run_due_cycles(store=world.store, today=date(2026, 7, 2), now=at(date(2026, 7, 2)))

        assert [d["invoice_on"] for d in world.documents()] == [JUL]
        assert world.one("SELECT count(*) FROM bill_run WHERE problems <> '[]'")[0] == 0


class TestCancellation:
    def test_gives_back_by_a_credit_note_that_corrects_the_invoice(
        self, world: BillingWorld
    ) -> None:
        payer = world.payer()
        line = world.service(payer, world.product("sd-wan", name="SD-WAN"), "62.00")
        world.start(line, date(2026, 7, 1))
        world.bill(JUL)
        world.cancel(line, date(2026, 7, 11))

        report = world.bill(AUG)

        assert (report.invoices, report.credit_notes) == (0, 1)
        invoice, credit = world.documents()
        assert (credit["type"], credit["reason"]) == ("Credit Note", "Cancellation")
        assert credit["corrects_invoice_id"] == invoice["id"]
        assert credit["number"] == "RT-CN-000001"
        (given,) = credit["lines"]
        assert (given["kind"], given["amount"]) == ("Credit", Decimal("-42.00"))
        assert (given["service_from"], given["service_to"]) == (date(2026, 7, 11), AUG)
        assert given["corrects_line_id"] == invoice["lines"][0]["id"]
        assert credit["total"] == Decimal("-49.98")

    def test_is_set_against_the_corrected_invoice(self, world: BillingWorld) -> None:
        payer = world.payer()
        line = world.service(payer, world.product("sd-wan"), "62.00")
        world.start(line, JUL)
        world.bill(JUL)
        world.cancel(line, date(2026, 7, 11))
        world.bill(AUG)

        invoice, credit = world.documents()

        assert (invoice["credited"], invoice["balance"]) == (Decimal("49.98"), Decimal("23.80"))
        assert invoice["status"] == "Partially Paid"
        assert (credit["balance"], credit["status"]) == (Decimal(0), "Credited")

    def test_uses_the_tax_rate_of_the_original_line(self, world: BillingWorld) -> None:
        payer = world.payer()
        line = world.service(payer, world.product("sd-wan"), "60.00")
        world.start(line, JUL)
        world.bill(JUL)
        with world.store.transaction() as tx:
            tx.execute(text("UPDATE tax_rate SET percent = 25"))
        world.cancel(line, JUL)

        world.bill(AUG)

        assert world.documents()[1]["total"] == Decimal("-71.40")


class TestFinalised:
    def test_documents_cannot_be_touched(self, world: BillingWorld) -> None:
        payer = world.payer()
        world.start(world.service(payer, world.product("seat"), "10"), date(2026, 6, 1))
        world.bill(JUL)

        for statement in (
            "UPDATE invoice SET total = 0, subtotal = 0, tax = 0",
            "DELETE FROM invoice",
            "UPDATE invoice_line SET amount = 0",
            "DELETE FROM invoice_line",
            "INSERT INTO invoice_tax (invoice_id, category, percent, basis, tax) "
            "SELECT id, 'x', 1, 1, 1 FROM invoice",
            "UPDATE invoice_tax SET tax = 0",
            "DELETE FROM invoice_tax",
        ):
            with pytest.raises(DBAPIError, match="finalised"), world.store.transaction() as tx:
                tx.execute(text(statement))


class TestDraft:
    def test_is_recomputed_not_credited_when_a_price_changes(self, world: BillingWorld) -> None:
        """Domain 3.4, golden 15."""
        payer = world.payer()
        line = world.service(payer, world.product("line"), "60.00")
        world.start(line, JUL)
        world.bill(JUL, keep_drafts=True)
        (draft,) = world.documents()
        world.change(line, JUL, "70.00")

        world.bill(JUL)

        assert (draft["status"], draft["number"]) == ("Draft", None)
        assert amounts(world) == [("Invoice", [Decimal("70.00")])]
        assert world.one("SELECT count(*) FROM journal_entry")[0] == 1

    def test_of_an_earlier_month_goes_into_the_next_bill(self, world: BillingWorld) -> None:
        payer = world.payer()
        world.start(world.service(payer, world.product("line"), "60.00"), JUL)
        world.bill(JUL, keep_drafts=True)

        world.bill(AUG)

        assert amounts(world) == [("Invoice", [Decimal("60.00"), Decimal("60.00")])]


class TestCommands:
    def test_repeated_for_one_order_line_do_nothing_more(self, world: BillingWorld) -> None:
        payer = world.payer()
        product = world.product("line")
        service = world.service(payer, product, "60.00")
        started, changed, ended = (world.order_line(payer, product) for _ in range(3))
        for _ in range(2):
            world.start(service, JUL, started)
        for _ in range(2):
            world.change(service, date(2026, 7, 11), "70.00", line=changed)
        answers = [world.cancel(service, date(2026, 7, 21), ended) for _ in range(2)]

        assert answers == [True, False]
        with world.store.read() as tx:
            charges = tx.execute(
                text("SELECT key, starts_on, ends_on FROM charge ORDER BY id")
            ).all()
        assert charges == [
            (f"service:{service}:recurring:2026-07-01", JUL, date(2026, 7, 11)),
            (f"service:{service}:recurring:2026-07-11", date(2026, 7, 11), date(2026, 7, 21)),
        ]

    def test_start_by_two_order_lines_is_refused(self, world: BillingWorld) -> None:
        service = world.service(world.payer(), world.product("line"), "60.00")
        world.start(service, JUL)

        with pytest.raises(BillingAlreadyStarted, match="2026-07-01"):
            world.start(service, date(2026, 7, 2))

    def test_show_in_what_is_billed_for_a_service(self, world: BillingWorld) -> None:
        service = world.service(world.payer(), world.product("line"), "30.00", quantity="2")
        world.start(service, date(2026, 6, 16))
        started = world.one("SELECT * FROM v_service_billing")
        world.bill(JUL)
        billed = world.one("SELECT * FROM v_service_billing")
        world.cancel(service, date(2026, 7, 11))
        ended = world.one("SELECT * FROM v_service_billing")

        day = date(2026, 6, 16)
        assert tuple(started) == (service, day, None, Decimal(60), day)
        assert tuple(billed) == (service, day, date(2026, 7, 31), Decimal(60), AUG)
        assert tuple(ended) == (service, day, date(2026, 7, 10), Decimal(0), None)


class TestUsage:
    def test_is_billed_after_its_period_and_adjusted_when_it_changes(
        self, world: BillingWorld
    ) -> None:
        payer = world.payer()
        service = world.service(payer, world.product("trunk"), "0")
        summary = world.usage_summary(service, date(2026, 6, 1), JUL)
        for amount, day in (("12.345", JUL), ("15.00", AUG), ("14.00", SEP)):
            with world.store.transaction() as tx:
                upsert_usage_charges(
                    tx=tx,
                    summaries=[usage(summary, service, amount)],
                    now=at(day),
                )
            world.bill(day)

        assert amounts(world) == [
            ("Invoice", [Decimal("12.35")]),
            ("Invoice", [Decimal("2.65")]),
            ("Credit Note", [Decimal("-1.00")]),
        ]
        line = world.documents()[0]["lines"][0]
        assert (line["kind"], line["description"]) == ("Usage", "National calls")
        assert line["explanation"]["inputs"]["records"] == 20

    def test_of_the_running_month_waits(self, world: BillingWorld) -> None:
        service = world.service(world.payer(), world.product("trunk"), "0")
        summary = world.usage_summary(service, date(2026, 6, 1), JUL)
        with world.store.transaction() as tx:
            upsert_usage_charges(
                tx=tx, summaries=[usage(summary, service, "5")], now=at(date(2026, 6, 2))
            )

        report = world.bill(date(2026, 6, 1))

        assert (report.accounts, report.invoices) == (1, 0)

    def test_that_is_the_same_again_moves_nothing(self, world: BillingWorld) -> None:
        service = world.service(world.payer(), world.product("trunk"), "0")
        summary = world.usage_summary(service, date(2026, 6, 1), JUL)
        charges = [usage(summary, service, "5")]
        with world.store.transaction() as tx:
            first = upsert_usage_charges(tx=tx, summaries=charges, now=at(JUL))
            again = upsert_usage_charges(tx=tx, summaries=charges, now=at(AUG))

        assert (first, again) == (1, 0)


def usage(summary_id: int, service_id: int, amount: str) -> UsageCharge:
    return UsageCharge(
        summary_id=summary_id,
        service_id=service_id,
        usage_class="national",
        period_start=date(2026, 6, 1),
        period_end=JUL,
        amount=Decimal(amount),
        cost=Decimal("1.5"),
        currency="EUR",
        description="National calls",
    )


def test_two_runs_at_once_bill_everybody_once(world: BillingWorld) -> None:
    seat = world.product("seat")
    for _ in range(8):
        world.start(world.service(world.payer(), seat, "10"), date(2026, 6, 1))

    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(lambda _: world.bill(JUL), range(3)))

    assert sum(report.invoices for report in reports) == 8
    assert [d["number"] for d in world.documents()] == [f"RT-{n:06}" for n in range(1, 9)]


def test_a_refusal_of_the_store_hits_one_payer_only(world: BillingWorld) -> None:
    seat = world.product("seat")
    payers = [world.payer() for _ in range(3)]
    for payer in payers:
        world.start(world.service(payer, seat, "10"), date(2026, 6, 1))
    with world.store.transaction() as tx:
        check = f"billing_account_id <> {payers[1]}"
        tx.execute(text(f"ALTER TABLE invoice ADD CONSTRAINT broken CHECK ({check})"))

    report = world.bill(JUL)

    assert report.invoices == 2
    assert [problem.billing_account_id for problem in report.problems] == [payers[1]]
    assert [d["number"] for d in world.documents()] == ["RT-000001", "RT-000002"]


def test_a_preview_follows_the_payers_own_period(world: BillingWorld) -> None:
    payer = world.payer(cycle="quarter")
    world.start(world.service(payer, world.product("seat"), "10"), JUL)

    with world.store.read() as tx:
        (shown,) = preview(tx=tx, billing_account_id=payer, billed_to=JUL)
        with pytest.raises(NothingToPreview, match="not due on 2026-08-01"):
            preview(tx=tx, billing_account_id=payer, billed_to=AUG)

    assert (shown.period_start, shown.period_end) == (JUL, date(2026, 10, 1))


def test_a_preview_equals_the_bill_and_writes_nothing(world: BillingWorld) -> None:
    payer = world.payer()
    world.start(world.service(payer, world.product("seat"), "10"), date(2026, 6, 16))
    with world.store.transaction() as tx:
        (shown,) = preview(tx=tx, billing_account_id=payer, billed_to=JUL)
    assert world.documents() == []

    world.bill(JUL)

    (invoice,) = world.documents()
    assert (shown.subtotal, shown.tax, shown.total) == (
        invoice["subtotal"],
        invoice["tax"],
        invoice["total"],
    )
