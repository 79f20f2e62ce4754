"""A credit note by hand over a part of a line: an amount or a quantity, its tax in proportion."""

from datetime import date
from decimal import ROUND_DOWN, Decimal

import pytest
from billing_world import BillingWorld, at
from hypothesis import given
from hypothesis import strategies as st

from connector.billing.given_back import BadPart, LineLeft, MoreThanLeft, amount_of
from connector.billing.realisation import realisation
from connector.billing.void import Part, UnknownLine, credit_lines, void_invoice
from connector.ledger.journal import balances

JUL, AUG, SEP = date(2026, 7, 1), date(2026, 8, 1), date(2026, 9, 1)


@pytest.fixture
def billed(world: BillingWorld) -> int:
    """Return a service of 4 seats of 15.00; its payer has another one of 0.99, both billed."""
    payer = world.payer()
    seats = world.service(payer, world.product("seat"), "15.00", quantity="4", cost="5")
    world.start(seats, JUL)
    world.start(world.service(payer, world.product("line"), "0.99"), JUL)
    world.bill(JUL)
    return seats


def credit(
    world: BillingWorld,
    *lines: int,
    amount: str | None = None,
    quantity: str | None = None,
    reason: str = "Goodwill",
) -> str:
    part = Part(
        amount=None if amount is None else Decimal(amount),
        quantity=None if quantity is None else Decimal(quantity),
    )
    return credit_lines(
        store=world.store,
        number="RT-000001",
        lines=lines,
        part=part,
        reason=reason,
        now=at(date(2026, 7, 9)),
    )


def lines_of(world: BillingWorld, number: str) -> list[tuple[Decimal, Decimal, Decimal]]:
    (found,) = [one for one in world.documents() if one["number"] == number]
    return [(line["quantity"], line["amount"], line["tax_amount"]) for line in found["lines"]]


def is_balanced(world: BillingWorld) -> bool:
    with world.store.read() as tx:
        return sum(one.balance for one in balances(tx=tx)) == 0


class TestAnAmount:
    def test_takes_its_tax_along_in_proportion(self, world: BillingWorld, billed: int) -> None:
        note = credit(world, 1, amount="20.00")

        assert lines_of(world, note) == [
            (Decimal("-1.333333"), Decimal("-20.00"), Decimal("-3.80")),
        ]
        invoice, credited = world.documents()
        assert credited["total"] == Decimal("-23.80")
        assert invoice["balance"] == invoice["total"] - Decimal("23.80")
        assert is_balanced(world)

    def test_of_the_whole_invoice_is_shared_out_to_what_is_left(
        self, world: BillingWorld, billed: int
    ) -> None:
        note = credit(world, amount="10.00")

        assert [amount for _, amount, _ in lines_of(world, note)] == [
            Decimal("-9.84"),
            Decimal("-0.16"),
        ]

    def test_leaves_the_rest_to_the_next_and_nothing_in_the_end(
        self, world: BillingWorld, billed: int
    ) -> None:
        credit(world, 1, amount="20.01")
        credit(world, 1, amount="20.01")
        void_invoice(store=world.store, number="RT-000001", reason="Correction", now=at(AUG))

        invoice, *notes = world.documents()
        assert sum(note["total"] for note in notes) == -invoice["total"]
        assert sum(note["tax"] for note in notes) == -invoice["tax"]
        assert (invoice["status"], is_balanced(world)) == ("Void", True)

    def test_that_is_more_than_what_is_left_is_refused(
        self, world: BillingWorld, billed: int
    ) -> None:
        credit(world, 1, amount="50.00")

        with pytest.raises(MoreThanLeft, match=r"10\.00 EUR is left, not 10\.01"):
            credit(world, 1, amount="10.01")
        assert len(world.documents()) == 2

    @pytest.mark.parametrize("amount", ["0", "-1", "1.001"])
    def test_that_is_none_is_refused(self, world: BillingWorld, billed: int, amount: str) -> None:
        with pytest.raises(BadPart, match="no amount in EUR"):
            credit(world, 1, amount=amount)


class TestOfAPriceWithItsTax:
    def test_a_part_and_the_rest_leave_nothing(self, world: BillingWorld) -> None:
        world.tax("20", country="FR", customer="person", treatment="inclusive")
        payer = world.payer(country="FR", kind="person")
        service = world.service(payer, world.product("line"), "12.00")
        world.start(service, JUL)
        world.bill(JUL)

        note = credit(world, 1, amount="3.33", reason="Correction")
        world.cancel(service, JUL)
        world.bill(AUG)

        assert lines_of(world, note)[0][1:] == (Decimal("-3.33"), Decimal("-0.67"))
        invoice, *notes = world.documents()
        assert [sum(one[name] for one in notes) for name in ("subtotal", "tax")] == [
            -invoice["subtotal"],
            -invoice["tax"],
        ]
        assert (invoice["total"], is_balanced(world)) == (12, True)


class TestAQuantity:
    def test_is_priced_as_the_line_was(self, world: BillingWorld, billed: int) -> None:
        note = credit(world, 1, quantity="1")

        assert lines_of(world, note) == [(-1, Decimal("-15.00"), Decimal("-2.85"))]
        cost = world.one("SELECT cost FROM invoice_line WHERE kind = 'Credit'")[0]
        assert cost == -5

    def test_ends_with_the_last_coin(self, world: BillingWorld, billed: int) -> None:
        credit(world, 1, amount="0.01")
        for _ in range(3):
            credit(world, 1, quantity="1")

        left = (
            "SELECT coalesce(sum(amount_left), 0), coalesce(sum(tax_left), 0) "
            "  FROM v_invoice_line_left WHERE line_no = 1 AND invoice_id = 1"
        )
        amount = world.one(left)[0]
        credit(world, 1, amount=str(amount.quantize(Decimal("0.01"))))

        assert 0 < amount < 15
        assert world.one(left) == (0, 0)

    def test_that_is_more_than_what_is_left_is_refused(
        self, world: BillingWorld, billed: int
    ) -> None:
        credit(world, 1, quantity="3")

        with pytest.raises(MoreThanLeft, match="1 of line 1 is left, not 2"):
            credit(world, 1, quantity="2")

    @pytest.mark.parametrize("lines", [(), (1, 2)])
    def test_is_one_of_a_single_line(
        self, world: BillingWorld, billed: int, lines: tuple[int, ...]
    ) -> None:
        with pytest.raises(BadPart, match="a single line"):
            credit(world, *lines, quantity="1")
        with pytest.raises(UnknownLine, match="no line 7"):
            credit(world, 7, quantity="1")


class TestForGood:
    @pytest.mark.parametrize("reason", ["Goodwill", "SLA"])
    def test_it_is_not_billed_anew(self, world: BillingWorld, billed: int, reason: str) -> None:
        credit(world, 1, amount="20.00", reason=reason)

        world.bill(AUG)

        august = world.documents()[-1]
        assert august["subtotal"] == Decimal("60.99")

    def test_a_whole_invoice_given_for_good_is_not_billed_anew(
        self, world: BillingWorld, billed: int
    ) -> None:
        void_invoice(store=world.store, number="RT-000001", reason="Goodwill", now=at(JUL))

        world.bill(AUG)

        assert world.documents()[-1]["subtotal"] == Decimal("60.99")

    def test_a_correction_is_billed_anew_while_it_is_due(
        self, world: BillingWorld, billed: int
    ) -> None:
        credit(world, 1, amount="20.00", reason="Correction")

        world.bill(AUG)

        assert world.documents()[-1]["subtotal"] == Decimal("80.99")

    def test_a_cancellation_gives_back_what_is_left_and_no_more(
        self, world: BillingWorld, billed: int
    ) -> None:
        credit(world, 1, amount="20.00")
        world.cancel(billed, JUL)  # nothing was served: all 60.00 come back, 20.00 of them did
        world.bill(AUG)

        given = [d for d in world.documents() if d["type"] == "Credit Note"]
        assert [one["subtotal"] for one in given] == [Decimal("-20.00"), Decimal("-40.00")]
        parts = given[1]["lines"][0]["explanation"]["parts"]
        assert sum(Decimal(part["amount"]) for part in parts) == -40
        assert parts[-1] == {"text": "given back before, for good", "amount": "20.00"}
        assert world.bill(SEP).credit_notes == 0

    def test_it_counts_as_a_discount_of_the_product(self, world: BillingWorld, billed: int) -> None:
        credit(world, 1, amount="20.00")

        with world.store.read() as tx:
            found = realisation(tx=tx, begins_on=JUL, ends_on=AUG)

        seat = next(one for one in found if one.product_key == "seat")
        assert (seat.listed, seat.discounts, seat.net) == (60, 20, 40)


cents = st.integers(0, 10_000).map(lambda n: Decimal(n) / 100)


@given(left=st.lists(cents, min_size=1, max_size=6), percent=st.integers(1, 100))
def test_parts_sum_to_the_amount_and_no_line_gives_more_than_it_has(
    left: list[Decimal], percent: int
) -> None:
    lines = [
        LineLeft(n, Decimal(1), one, Decimal(0), one, (one * 19 / 100).quantize(Decimal("0.01")))
        for n, one in enumerate(left, start=1)
    ]
    amount = (sum(left, Decimal(0)) * percent / 100).quantize(Decimal("0.01"), ROUND_DOWN)
    if not amount:
        return

    parts = amount_of(lines, amount, "EUR")

    assert sum(part.amount for part in parts) == amount
    assert all(0 < part.amount <= part.of.amount_left for part in parts)
    assert all(0 <= part.tax <= part.of.tax_left for part in parts)
