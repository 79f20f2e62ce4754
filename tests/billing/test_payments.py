from datetime import date
from decimal import Decimal

import pytest
from billing_world import BillingWorld, at
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from connector.billing.allocate import OpenInvoice, Source, plan_applications
from connector.billing.payment_csv import NotAPaymentFile, PaymentReport, import_payments_csv
from connector.billing.payments import (
    NotAHeldPayment,
    PaymentDiffers,
    PaymentNotice,
    assign_held_payment,
    record_payment,
)
from connector.errors import InvalidInput, StateConflict
from connector.store.engine import Store

JUL = date(2026, 7, 1)
PAID = date(2026, 7, 10)
HEAD = "reference,date,amount,currency,invoice_number,method\n"


@pytest.fixture
def billed(world: BillingWorld) -> BillingWorld:
    """Return a world with one invoice, RT-000001 over 119.00."""
    payer = world.payer()
    world.sell(payer, world.product("router"), "100.00", date(2026, 6, 3), quantity="1")
    world.bill(JUL)
    return world


def load(world: BillingWorld, lines: str) -> PaymentReport:
    return import_payments_csv(store=world.store, text=HEAD + lines, now=at(PAID))


def pay(world: BillingWorld, **values: object) -> int:
    fields = {
        "source": "webhook",
        "reference": "P-1",
        "received_on": PAID,
        "amount": Decimal("119.00"),
        "currency": "EUR",
        "invoice_number": "RT-000001",
    }
    with world.store.transaction() as tx:
        notice = PaymentNotice(**{**fields, **values})  # type: ignore[arg-type]
        return record_payment(tx=tx, notice=notice, now=at(PAID))


class TestBankFile:
    def test_pays_the_invoice_it_names(self, billed: BillingWorld) -> None:
        report = load(billed, "B-1,2026-07-10,119.00,EUR,RT-000001,Bank transfer\n")

        assert (report.recorded, report.totals) == (1, {"EUR": Decimal("119.00")})
        (invoice,) = billed.documents()
        assert (invoice["status"], invoice["paid_on"]) == ("Paid", PAID)

    def test_again_records_nothing(self, billed: BillingWorld) -> None:
        line = "B-1,2026-07-10,119.00,EUR,RT-000001,Bank transfer\n"
        load(billed, line)

        report = load(billed, line)

        assert (report.recorded, report.repeated) == (0, 1)
        assert billed.one("SELECT count(*) FROM payment")[0] == 1
        assert billed.documents()[0]["balance"] == 0

    def test_holds_money_for_an_unknown_invoice_where_everybody_sees_it(
        self, billed: BillingWorld
    ) -> None:
        report = load(billed, "B-1,2026-07-10,12.34,EUR,NOBODY-000001,\n")

        (held,) = report.held
        assert (held.line_no, held.reason) == (2, "Unknown invoice NOBODY-000001.")
        row = billed.one(
            "SELECT p.billing_account_id, p.hold_reason, u.unapplied FROM payment p "
            "JOIN v_payment_unapplied u ON u.payment_id = p.id"
        )
        assert row == (None, "Unknown invoice NOBODY-000001.", Decimal("12.34"))
        held_account = billed.one(
            "SELECT sum(credit) FROM journal_line WHERE account_code = '1705'"
        )
        assert held_account[0] == Decimal("12.34")

    def test_holds_money_in_another_currency_than_the_invoice(self, billed: BillingWorld) -> None:
        report = load(billed, "B-1,2026-07-10,119.00,USD,RT-000001,\n")

        assert report.held[0].reason == "It is in USD, but RT-000001 is in EUR."
        assert billed.documents()[0]["balance"] == Decimal("119.00")

    def test_reports_broken_lines_and_records_the_rest(self, billed: BillingWorld) -> None:
        broken = {
            "B-2,10.07.2026,1.00,EUR,RT-000001,": "'10.07.2026' is not a date",
            "B-2,2026-07-10,1.5.0,EUR,RT-000001,": "'1.5.0' is not an amount",
            "B-2,2026-07-10,NaN,EUR,RT-000001,": "NaN is not an amount",
            "B-2,2026-07-10,-5.00,EUR,RT-000001,": "-5.00 is not an amount",
            "B-2,2026-07-10,1.005,EUR,RT-000001,": "more decimal places than EUR",
            "B-2,2026-07-10,1e30,EUR,RT-000001,": "more than an account can hold",
            "B-2,2026-07-10,1.00,XYZ,RT-000001,": "'XYZ' is not a currency",
            ",2026-07-10,1.00,EUR,RT-000001,": "needs a reference",
            "B-2,2026-07-10,1.00": "3 values for 6 columns",
            "B-1,2026-07-10,1.00,EUR,RT-000001,": "is on line 2 already",
        }
        good = "B-1,2026-07-10,19.00,EUR,RT-000001,"
        last = "B-9,2026-07-11,50.00,EUR,RT-000001,"

        report = load(billed, "\n".join([good, *broken, last]))

        assert (report.recorded, report.lines) == (2, 12)
        assert [problem.line_no for problem in report.problems] == list(range(3, 13))
        for problem, said in zip(report.problems, broken.values(), strict=True):
            assert said in problem.reason
        assert billed.documents()[0]["balance"] == Decimal("50.00")

    @pytest.mark.parametrize(
        ("head", "said"),
        [
            ("reference,date,amount\n", "lacks 'currency'"),
            ("reference,date,amount,currency,iban\n", "unknown column 'iban'"),
            ("reference,date,amount,currency,date\n", "names a column twice"),
            ("", "lacks 'reference'"),
        ],
    )
    def test_with_other_columns_is_refused(self, shared_store: Store, head: str, said: str) -> None:
        with pytest.raises(NotAPaymentFile, match=said):
            import_payments_csv(store=shared_store, text=head, now=at(PAID))

    def test_tells_a_reference_that_comes_back_with_another_amount(
        self, billed: BillingWorld
    ) -> None:
        load(billed, "B-1,2026-07-10,19.00,EUR,RT-000001,\n")

        report = load(billed, "B-1,2026-07-10,20.00,EUR,RT-000001,\nB-2,2026-07-10,1.00,EUR,,\n")

        assert (report.recorded, len(report.held)) == (1, 1)
        assert "is known with 19.0000 EUR" in report.problems[0].reason

    def test_gives_every_payment_a_number_of_its_own(self, billed: BillingWorld) -> None:
        load(billed, "".join(f"B-{n},2026-07-10,1.00,EUR,RT-000001,\n" for n in range(50)))

        assert billed.one("SELECT count(DISTINCT number), sum(amount) FROM payment") == (50, 50)
        assert billed.documents()[0]["paid"] == 50


class TestNotice:
    def test_delivered_again_is_one_payment(self, billed: BillingWorld) -> None:
        assert pay(billed) == pay(billed)

        assert billed.one("SELECT count(*) FROM allocation")[0] == 1

    def test_with_another_amount_is_refused(self, billed: BillingWorld) -> None:
        pay(billed)

        with pytest.raises(PaymentDiffers, match="P-1"):
            pay(billed, amount=Decimal("1.00"))

    def test_for_an_account_pays_its_oldest_invoice(self, billed: BillingWorld) -> None:
        number = billed.one("SELECT number FROM billing_account")[0]

        pay(billed, invoice_number=None, account_number=number)

        assert billed.documents()[0]["status"] == "Paid"

    def test_that_names_nobody_is_held(self, billed: BillingWorld) -> None:
        pay(billed, invoice_number=None)

        assert billed.one("SELECT hold_reason FROM payment")[0] == (
            "It names no invoice, no account."
        )


class TestHeldPayment:
    def test_is_assigned_to_the_invoice_it_was_meant_for(self, billed: BillingWorld) -> None:
        pay(billed, invoice_number="RT-1")
        number = billed.one("SELECT number FROM payment")[0]

        with billed.store.transaction() as tx:
            assign_held_payment(
                tx=tx, payment_number=number, invoice_number="RT-000001", now=at(PAID)
            )

        assert billed.documents()[0]["status"] == "Paid"
        left = billed.one(
            "SELECT sum(debit - credit) FROM journal_line WHERE account_code IN ('1700', '1705')"
        )
        assert left[0] == 0

    def test_cannot_be_assigned_twice_or_to_nobody(self, billed: BillingWorld) -> None:
        pay(billed, invoice_number="RT-1")
        number = billed.one("SELECT number FROM payment")[0]

        with (
            pytest.raises(StateConflict, match="Unknown invoice"),
            billed.store.transaction() as tx,
        ):
            assign_held_payment(tx=tx, payment_number=number, invoice_number="X", now=at(PAID))
        with pytest.raises(NotAHeldPayment), billed.store.transaction() as tx:
            assign_held_payment(
                tx=tx, payment_number="PAY-9", invoice_number="RT-000001", now=at(PAID)
            )


class TestBalances:
    def test_of_the_payer_and_the_customer_follow_the_money(self, billed: BillingWorld) -> None:
        pay(billed, amount=Decimal("150.00"))

        payer = billed.one("SELECT * FROM v_billing_account_balance")
        customer = billed.one("SELECT * FROM v_account_finance")

        assert (payer.balance, payer.credit_balance) == (Decimal("-31.00"), Decimal("31.00"))
        assert payer.oldest_due_on is None
        assert (customer.last_invoice_on, customer.last_invoice_total) == (JUL, Decimal("119.00"))
        assert (customer.last_payment_on, customer.last_payment_amount) == (PAID, Decimal("150.00"))
        assert customer.balance == payer.balance

    def test_show_the_oldest_due_day_while_something_is_open(self, billed: BillingWorld) -> None:
        assert billed.one("SELECT balance, oldest_due_on FROM v_billing_account_balance") == (
            Decimal("119.00"),
            date(2026, 7, 15),
        )


def test_a_notice_without_a_payable_amount_is_refused() -> None:
    with pytest.raises(InvalidInput, match="0 is not an amount"):
        PaymentNotice("csv", "R", PAID, Decimal(0), "EUR")


invoices = st.lists(
    st.tuples(st.dates(JUL, date(2026, 12, 1)), st.decimals("0.01", "500", places=2)), max_size=8
).map(lambda rows: [OpenInvoice(i, due, balance) for i, (due, balance) in enumerate(rows)])
sources = st.lists(
    st.tuples(
        st.booleans(),
        st.dates(JUL, date(2026, 12, 1)),
        st.decimals("0.01", "500", places=2),
        st.none() | st.integers(0, 9),
    ),
    max_size=8,
).map(lambda rows: [Source(i, *row) for i, row in enumerate(rows)])


@given(open_invoices=invoices, money=sources)
def test_allocation_conserves_and_leaves_nothing_that_could_be_paid(
    open_invoices: list[OpenInvoice], money: list[Source]
) -> None:
    applied = plan_applications(open_invoices, money)

    left = {invoice.id: invoice.balance for invoice in open_invoices}
    rest = {source.id: source.unapplied for source in money}
    for one in applied:
        assert one.amount > 0
        left[one.invoice_id] -= one.amount
        rest[one.source.id] -= one.amount
    assert min(left.values(), default=Decimal(0)) >= 0
    assert min(rest.values(), default=Decimal(0)) >= 0
    assert not (any(left.values()) and any(rest.values()))
    pairs = [(one.invoice_id, one.source.id) for one in applied]
    assert len(pairs) == len(set(pairs))


def test_the_journal_refuses_an_entry_that_does_not_balance(billed: BillingWorld) -> None:
    from sqlalchemy.exc import DBAPIError

    with pytest.raises(DBAPIError, match="out of balance"), billed.store.transaction() as tx:
        tx.execute(text("UPDATE journal_line SET debit = debit + 1 WHERE account_code = '1200'"))
