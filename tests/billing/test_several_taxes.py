"""Several taxes of one line, and surcharges of a fixed amount, as a provider tells them."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from billing_world import BillingWorld, at
from hypothesis import given
from hypothesis import strategies as st
from tax_rates import Rates

from connector.adapters.documents.invoice_pdf import InvoicePdf
from connector.adapters.documents.invoice_text import printed
from connector.billing.bill_run import BillRunReport, run_cycle
from connector.billing.documents import load_documents
from connector.billing.draft import TaxShare
from connector.billing.given_back import LineLeft, amount_of
from connector.billing.void import Part, credit_lines, void_invoice
from connector.ledger.journal import balances

JUL, AUG, SEP = date(2026, 7, 1), date(2026, 8, 1), date(2026, 9, 1)
STATE = {"name": "State tax", "percent": "4"}
CITY = {"name": "City tax", "percent": "4.5"}
FEE = {"name": "911 fee", "amount": "1.25", "currency": "EUR"}


@pytest.fixture
def telecom(world: BillingWorld, rates: Rates) -> list[int]:
    """Return two services of a payer, 10.05 and 20.05 a month, under two taxes and a fee each."""
    rates.taxes["telecom"] = [STATE, CITY, FEE]
    payer = world.payer()
    made = []
    for name, price in (("a", "10.05"), ("b", "20.05")):
        product = world.product(name, tax_category="telecom")
        made.append(world.service(payer, product, price))
        world.start(made[-1], JUL)
    return made


def bill(world: BillingWorld, rates: Rates, on: date) -> BillRunReport:
    return run_cycle(store=world.store, billed_to=on, now=at(on), provider=rates.provider)


def taxes(world: BillingWorld, number: str) -> dict[str, tuple[Decimal, Decimal, Decimal]]:
    with world.store.read() as tx:
        ids = [one["id"] for one in world.documents() if one["number"] == number]
        (document,) = load_documents(tx, invoice_ids=ids)
    return {one.name: (one.percent, one.basis, one.tax) for one in document.taxes}


def is_exact(world: BillingWorld) -> bool:
    """Every document's taxes sum to its tax, and each line's shares to the line's."""
    wrong = world.one(
        "SELECT count(*) FROM invoice i WHERE i.tax <> "
        "  (SELECT sum(t.tax) FROM invoice_tax t WHERE t.invoice_id = i.id) OR i.tax <> "
        "  (SELECT sum(l.tax_amount) FROM invoice_line l WHERE l.invoice_id = i.id) OR EXISTS "
        "  (SELECT 1 FROM invoice_line l WHERE l.invoice_id = i.id AND l.taxes IS NOT NULL "
        "      AND l.tax_amount <> (SELECT sum((x ->> 'tax')::numeric) "
        "                             FROM jsonb_array_elements(l.taxes) x))"
    )[0]
    return bool(wrong == 0)


class TestAnInvoice:
    def test_shows_each_tax_apart_and_sums_exactly(
        self, world: BillingWorld, rates: Rates, telecom: list[int]
    ) -> None:
        bill(world, rates, JUL)

        (invoice,) = world.documents()
        assert taxes(world, "RT-000001") == {
            "State tax": (4, Decimal("30.10"), Decimal("1.20")),  # once on both lines
            "City tax": (Decimal("4.5"), Decimal("30.10"), Decimal("1.35")),
            "911 fee": (0, Decimal("30.10"), Decimal("2.50")),  # 1.25 a line
        }
        assert (invoice["subtotal"], invoice["tax"]) == (Decimal("30.10"), Decimal("5.05"))
        assert [line["tax_percent"] for line in invoice["lines"]] == [Decimal("8.5")] * 2
        assert is_exact(world)

    def test_prints_them_in_its_table(
        self, world: BillingWorld, rates: Rates, telecom: list[int]
    ) -> None:
        bill(world, rates, JUL)

        with world.store.read() as tx:
            (document,) = load_documents(tx, invoice_ids=[world.documents()[0]["id"]])
        data = printed(document)

        shown = [(one["category"], one["percent"], one["tax"]) for one in data["taxes"]]
        assert shown == [
            ("911 fee", "", "2.50"),
            ("City tax", "4.5\u00a0%", "1.35"),
            ("State tax", "4\u00a0%", "1.20"),
        ]
        assert data["taxes"][0]["label"] == "911 fee"
        assert InvoicePdf()(document).startswith(b"%PDF-")

    def test_has_the_fixed_amount_once_a_period_and_line(
        self, world: BillingWorld, rates: Rates, telecom: list[int]
    ) -> None:
        bill(world, rates, JUL)
        bill(world, rates, AUG)

        assert taxes(world, "RT-000002")["911 fee"][2] == Decimal("2.50")

    def test_has_taxes_of_one_category_beside_the_single_tax_of_another(
        self, world: BillingWorld, rates: Rates, telecom: list[int]
    ) -> None:
        payer = world.one("SELECT billing_account_id FROM service LIMIT 1")[0]
        world.start(world.service(payer, world.product("box"), "100"), JUL)

        bill(world, rates, JUL)

        assert taxes(world, "RT-000001")[""] == (Decimal("8.875"), 100, Decimal("8.88"))
        assert is_exact(world)

    def test_in_another_currency_than_its_surcharge_is_not_made(
        self, world: BillingWorld, rates: Rates, telecom: list[int]
    ) -> None:
        rates.taxes["telecom"] = [STATE, FEE | {"currency": "USD"}]

        (problem,) = bill(world, rates, JUL).problems

        assert problem.code == "billing.foreign_surcharge"
        assert "'911 fee' is 1.25" in problem.reason


class TestACredit:
    def test_of_a_cancellation_mirrors_each_tax(
        self, world: BillingWorld, rates: Rates, telecom: list[int]
    ) -> None:
        bill(world, rates, JUL)
        world.cancel(telecom[1], JUL)  # all of it comes back
        bill(world, rates, AUG)

        given = taxes(world, "RT-CN-000001")
        assert given == {
            "State tax": (4, Decimal("-20.05"), Decimal("-0.80")),
            "City tax": (Decimal("4.5"), Decimal("-20.05"), Decimal("-0.90")),
            "911 fee": (0, Decimal("-20.05"), Decimal("-1.25")),
        }
        assert is_exact(world)

    def test_takes_back_the_share_of_the_days_that_were_not_served(
        self, world: BillingWorld, rates: Rates, telecom: list[int]
    ) -> None:
        bill(world, rates, JUL)
        world.cancel(telecom[1], date(2026, 7, 17))  # 15 of 31 days come back: 9.70
        bill(world, rates, AUG)

        assert [tax for _, _, tax in taxes(world, "RT-CN-000001").values()] == [
            Decimal("-0.60"),  # 1.25 × 9.70 / 20.05
            Decimal("-0.44"),
            Decimal("-0.39"),
        ]
        assert is_exact(world)

    def test_in_parts_leaves_nothing_of_any_tax_in_the_end(
        self, world: BillingWorld, rates: Rates, telecom: list[int]
    ) -> None:
        bill(world, rates, JUL)
        by_hand: dict[str, Any] = {"store": world.store, "number": "RT-000001", "now": at(AUG)}
        third = Part(amount=Decimal("3.33"))
        for reason in ("Goodwill", "Correction"):
            credit_lines(**by_hand, lines=[1], part=third, reason=reason)
        void_invoice(**by_hand, reason="Correction")

        invoice, *notes = world.documents()
        assert sum(one["tax"] for one in notes) == -invoice["tax"]
        assert is_exact(world)
        left = world.one(
            "SELECT max(abs(t.tax)) FROM (SELECT name, sum(tax) AS tax FROM invoice_tax "
            " GROUP BY name) t"
        )[0]
        with world.store.read() as tx:
            open_ = {one.account_code: one.balance for one in balances(tx=tx) if one.balance}
        assert (left, invoice["status"], open_) == (0, "Void", {})

    def test_on_an_invoice_stands_beside_what_is_sold(
        self, world: BillingWorld, rates: Rates, telecom: list[int]
    ) -> None:
        bill(world, rates, JUL)
        world.change(telecom[1], date(2026, 7, 17), price="40.05")
        bill(world, rates, AUG)

        august = [one for one in world.documents() if one["number"] == "RT-000002"]
        kinds = {line["kind"] for line in august[0]["lines"]}
        assert {"Credit", "Recurring"} <= kinds
        assert len(taxes(world, "RT-000002")) == 3  # each tax once, whoever it is on
        assert is_exact(world)


cents = st.integers(1, 10_000).map(lambda n: Decimal(n) / 100)


@given(
    amount=cents,
    shares=st.lists(cents, min_size=1, max_size=4),
    steps=st.lists(st.integers(1, 99), max_size=5),
)
def test_parts_take_every_tax_back_to_the_last_coin(
    amount: Decimal, shares: list[Decimal], steps: list[int]
) -> None:
    left = tuple(TaxShare(f"tax {n}", Decimal(1), one) for n, one in enumerate(shares))
    line = LineLeft(1, Decimal(1), amount, Decimal(0), amount, sum(shares, Decimal(0)), left)

    for percent in (*steps, 100):
        part = (line.amount_left * percent / 100).quantize(Decimal("0.01"))
        if part == 0:
            continue
        (given_back,) = amount_of([line], part, "EUR")
        assert given_back.tax == sum((one.tax for one in given_back.taxes), Decimal(0))
        line = LineLeft(
            1, Decimal(1), amount, Decimal(0),
            line.amount_left - given_back.amount, line.tax_left - given_back.tax,
            tuple(
                TaxShare(had.name, had.percent, had.tax - gave.tax)
                for had, gave in zip(line.taxes, given_back.taxes, strict=True)
            ),
        )  # fmt: skip
        assert all(one.tax >= 0 for one in line.taxes)

    assert (line.amount_left, line.tax_left) == (0, 0)
    assert {one.tax for one in line.taxes} == {Decimal(0)}
