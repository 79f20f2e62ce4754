"""Laws of a bill, on histories made up by hypothesis, in memory."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.billing.compose import compose
from connector.billing.draft import BillableCharge, BookedLine, DocumentDraft, Payer, TaxedLine
from connector.billing.explain import adds_up, explain_line
from connector.billing.lines import ForeignChargeCurrency
from connector.billing.tax import NoTaxRate, TaxRate, TaxTable, share_out, tax_of
from connector.charging.policy import Basis, ProrationPolicy
from connector.charging.segments import Segment, plan_change, plan_end
from connector.charging.value import Price, rounded, value_of
from connector.kernel.period import Period, billing_month

START = date(2026, 1, 1)
TAXES = TaxTable([TaxRate("DE", "standard", Decimal(19), date(2000, 1, 1), None)])
PAYER = Payer(1, "BA-1", 1, "RT", "EUR", 1, 14, "DE", False)
POLICY = ProrationPolicy()


def charge(charge_id: int = 1, price: str = "60.00", **values: object) -> BillableCharge:
    made = BillableCharge(
        id=charge_id,
        kind="recurring",
        service_id=1,
        service_number="SVC-1",
        site="",
        vendor="",
        product_id=1,
        product_key="line",
        order_line_id=None,
        description="Line",
        quantity=Decimal(1),
        unit_price=Decimal(price),
        unit_cost=Decimal(0),
        discount_percent=Decimal(0),
        currency="EUR",
        starts_on=START,
        ends_on=None,
        tax_category="standard",
        accounting_code="4400",
        policy=POLICY,
    )
    return replace(made, **values)  # type: ignore[arg-type]


class Book:
    """Charges and booked lines of one payer, in memory."""

    def __init__(self, policy: ProrationPolicy = POLICY) -> None:
        self.policy = policy
        self.charges = [charge(policy=policy)]
        self.booked: list[BookedLine] = []
        self.documents: list[DocumentDraft] = []

    def change(self, *, on: date, price: Decimal) -> None:
        plan = plan_change(self._segments(), on=on)
        self._cut(plan.cut.charge_id, plan.cut.ends_on)
        self.charges.append(
            charge(
                len(self.charges) + 1,
                unit_price=price,
                starts_on=plan.starts_on,
                ends_on=plan.ends_on,
                policy=self.policy,
            )
        )

    def cancel(self, *, on: date) -> None:
        for cut in plan_end(self._segments(), on=on, policy=self.policy, cycle=PAYER.cycle):
            self._cut(cut.charge_id, cut.ends_on)

    def bill(self, day: date) -> tuple[DocumentDraft, ...]:
        made = compose(PAYER, self.charges, self.booked, TAXES, day)
        for document in made:
            self.documents.append(document)
            for taxed in document.lines:
                self._book(taxed)
        return made

    def total(self) -> Decimal:
        return sum((document.subtotal for document in self.documents), Decimal(0))

    def _book(self, taxed: TaxedLine) -> None:
        line = taxed.line
        if line.credits is not None:
            at = next(i for i, b in enumerate(self.booked) if b.line_id == line.credits.line_id)
            self.booked[at] = replace(
                self.booked[at],
                left=self.booked[at].left + line.amount,
                tax_left=self.booked[at].tax_left + taxed.tax_amount,
            )
            return
        self.booked.append(
            BookedLine(
                line_id=len(self.booked) + 1,
                charge_id=line.charge.id,
                invoice_id=len(self.documents),
                invoice_number=f"RT-{len(self.documents)}",
                line_no=taxed.line_no,
                service_from=line.service_from,
                service_to=line.service_to,
                tax_category="standard",
                tax_percent=taxed.tax_percent,
                left=line.amount,
                tax_left=taxed.tax_amount,
            )
        )

    def _segments(self) -> list[Segment]:
        return [Segment(c.id, c.starts_on, c.ends_on) for c in self.charges]

    def _cut(self, charge_id: int, ends_on: date) -> None:
        self.charges = [
            replace(one, ends_on=ends_on) if one.id == charge_id else one for one in self.charges
        ]


def first_of(month: int) -> date:
    return date(2026 + (month - 1) // 12, (month - 1) % 12 + 1, 1)


prices = st.decimals("0.01", "999.99", places=2)
histories = st.lists(st.tuples(st.integers(0, 150), prices), max_size=8)
policies = st.sampled_from([ProrationPolicy(), ProrationPolicy(basis=Basis.FIXED_30)])


@given(history=histories, policy=policies, bills=st.sets(st.integers(1, 7)))
def test_any_chain_of_changes_cancelled_on_day_one_nets_to_nothing(
    history: list[tuple[int, Decimal]], policy: ProrationPolicy, bills: set[int]
) -> None:
    book = Book(policy)
    for month in range(1, 8):
        for offset, price in history:
            if offset // 31 + 1 == month:
                book.change(on=START + timedelta(days=offset), price=price)
        if month in bills:
            book.bill(first_of(month))
    book.cancel(on=START)

    book.bill(first_of(8))

    assert book.total() == 0
    assert sum((document.total for document in book.documents), Decimal(0)) == pytest.approx(
        Decimal(0), abs=Decimal("0.01") * len(book.documents)
    )


@given(history=histories, policy=policies, bills=st.sets(st.integers(1, 7)))
def test_what_is_booked_is_the_value_of_the_days_however_often_it_was_billed(
    history: list[tuple[int, Decimal]], policy: ProrationPolicy, bills: set[int]
) -> None:
    book = Book(policy)
    for month in range(1, 8):
        for offset, price in history:
            if offset // 31 + 1 == month:
                book.change(on=START + timedelta(days=offset), price=price)
        if month in bills:
            book.bill(first_of(month))

    book.bill(first_of(8))

    expected = sum(
        (
            rounded(
                value_of(
                    Price(one.quantity, one.unit_price),
                    billing_month(first_of(month), 1),
                    Period(one.starts_on, one.ends_on),
                    policy.basis,
                    PAYER.cycle,
                ),
                "EUR",
            )
            for one in book.charges
            for month in range(1, 9)
        ),
        Decimal(0),
    )
    assert book.total() == expected
    assert book.bill(first_of(8)) == ()


@given(history=histories, bills=st.sets(st.integers(1, 7)), ended=st.none() | st.integers(0, 200))
def test_documents_add_up_and_every_line_explains_itself(
    history: list[tuple[int, Decimal]], bills: set[int], ended: int | None
) -> None:
    book = Book()
    for month in range(1, 8):
        for offset, price in history:
            if offset // 31 + 1 == month:
                book.change(on=START + timedelta(days=offset), price=price)
        if month in bills:
            book.bill(first_of(month))
    if ended is not None:
        book.cancel(on=START + timedelta(days=ended))
    book.bill(first_of(8))

    for document in book.documents:
        taxed = document.lines
        assert sum(t.line.amount for t in taxed) == document.subtotal
        assert sum(t.tax_amount for t in taxed) == document.tax
        assert (document.total < 0) == (document.type == "Credit Note")
        for one in taxed:
            line = {"amount": one.line.amount, "explanation": one.line.explanation}
            assert adds_up(line)
            assert one.line.service_from < one.line.service_to
    assert all(line.left >= 0 for line in book.booked)


class TestExplanation:
    def test_reads_as_a_sum_that_ends_in_the_amount(self) -> None:
        book = Book()
        book.bill(START)
        book.cancel(on=date(2026, 1, 11))
        (credit,) = book.bill(date(2026, 2, 1))
        line = credit.lines[0]

        told = explain_line(
            {
                "line_no": 1,
                "description": line.line.description,
                "amount": line.line.amount,
                "explanation": line.line.explanation,
            },
            currency="EUR",
        )

        assert told.splitlines()[0] == "Line 1: Line, unused: 21 of 31 days"
        assert " 19.35  1 × 60.00 a month, 10 of 31 days from 2026-01-01" in told
        assert "-60.00  already booked by RT-1 line 1" in told
        assert told.endswith("-40.65  EUR, the amount of the line")


class TestTax:
    def test_is_shared_out_by_largest_remainder(self) -> None:
        """Domain 3.4, golden 6."""
        amounts = [Decimal("0.33")] * 3

        assert share_out(amounts, Decimal(19), "EUR") == (
            Decimal("0.07"),
            Decimal("0.06"),
            Decimal("0.06"),
        )

    @given(
        amounts=st.lists(st.decimals("-9999.99", "9999.99", places=2), min_size=1, max_size=30),
        percent=st.decimals("0", "30", places=1),
    )
    def test_shares_sum_to_the_tax_and_stay_within_a_cent(
        self, amounts: list[Decimal], percent: Decimal
    ) -> None:
        shares = share_out(amounts, percent, "EUR")

        assert sum(shares) == tax_of(sum(amounts, Decimal(0)), percent, "EUR")
        for amount, share in zip(amounts, shares, strict=True):
            exact = Fraction(amount) * Fraction(percent) / 100
            assert abs(Fraction(share) - exact) < Fraction(1, 100)

    @given(
        amounts=st.lists(st.decimals("0", "9999.99", places=2), min_size=1, max_size=30),
        percent=st.decimals("0", "30", places=1),
    )
    def test_of_a_full_credit_mirrors_the_invoice_line_by_line(
        self, amounts: list[Decimal], percent: Decimal
    ) -> None:
        given_back = share_out([-amount for amount in amounts], percent, "EUR")

        assert [-share for share in given_back] == list(share_out(amounts, percent, "EUR"))

    def test_that_nobody_knows_is_refused_by_name(self) -> None:
        payer = replace(PAYER, country="FR")

        with pytest.raises(NoTaxRate, match="'standard' tax rate for FR"):
            compose(payer, [charge()], [], TAXES, START)

    def test_is_nothing_for_an_exempt_payer(self) -> None:
        payer = replace(PAYER, country=None, is_tax_exempt=True)

        (invoice,) = compose(payer, [charge()], [], TAXES, START)

        assert (invoice.tax, invoice.total) == (Decimal(0), Decimal("60.00"))


def test_a_charge_in_a_foreign_currency_is_refused() -> None:
    with pytest.raises(ForeignChargeCurrency, match="USD"):
        compose(PAYER, [charge(currency="USD")], [], TAXES, START)
