"""What was billed by mistake is voided, what nobody pays is written off; the books agree."""

from datetime import date
from decimal import Decimal

import pytest
from billing_world import BillingWorld, at

from connector.billing.bill_run import run_cycle
from connector.billing.invoices import UnknownInvoice
from connector.billing.payments import PaymentNotice, record_payments
from connector.billing.void import NothingLeft, NotVoidable, UnknownLine, credit_lines, void_invoice
from connector.billing.write_off import NothingToWriteOff, write_off_invoice
from connector.ledger.journal import balances

JUL = date(2026, 7, 1)
AUG = date(2026, 8, 1)
SEP = date(2026, 9, 1)


def void(world: BillingWorld, number: str = "RT-000001", on: date = date(2026, 7, 9)) -> str:
    return void_invoice(store=world.store, number=number, reason="Correction", now=at(on))


def credit(world: BillingWorld, *lines: int) -> str:
    return credit_lines(
        store=world.store,
        number="RT-000001",
        lines=lines,
        reason="Correction",
        now=at(date(2026, 7, 9)),
    )


def write_off(world: BillingWorld, number: str = "RT-000001") -> Decimal:
    return write_off_invoice(
        store=world.store, number=number, reason="insolvent", now=at(date(2026, 12, 1))
    )


def pay(world: BillingWorld, amount: str, number: str = "RT-000001") -> None:
    with world.store.transaction() as tx:
        record_payments(
            tx=tx,
            notices=[
                PaymentNotice(
                    source="csv",
                    reference=f"pay {amount}",
                    received_on=date(2026, 7, 5),
                    amount=Decimal(amount),
                    currency="EUR",
                    invoice_number=number,
                )
            ],
            now=at(date(2026, 7, 5)),
        )


def books(world: BillingWorld) -> dict[str, Decimal]:
    with world.store.read() as tx:
        return {one.account_code: one.balance for one in balances(tx=tx) if one.balance}


@pytest.fixture
def billed(world: BillingWorld) -> list[int]:
    """Return two services of one payer, billed for half of June and for July."""
    payer = world.payer()
    made = [world.service(payer, world.product("line"), price) for price in ("0.33", "59.99")]
    for service in made:
        world.start(service, date(2026, 6, 16))
    world.bill(JUL)
    return made


class TestVoid:
    def test_gives_back_every_cent_and_balances_the_books(
        self, world: BillingWorld, billed: list[int]
    ) -> None:
        note = void(world)

        invoice, credit = world.documents()
        assert note == credit["number"] == "RT-CN-000001"
        assert (credit["subtotal"], credit["tax"], credit["total"]) == (
            -invoice["subtotal"],
            -invoice["tax"],
            -invoice["total"],
        )
        assert [(line["amount"], line["tax_amount"]) for line in credit["lines"]] == [
            (-line["amount"], -line["tax_amount"]) for line in invoice["lines"]
        ]
        assert (invoice["status"], invoice["balance"]) == ("Void", 0)
        assert books(world) == {}

    def test_after_a_credit_gives_back_the_rest_only(
        self, world: BillingWorld, billed: list[int]
    ) -> None:
        world.cancel(billed[1], date(2026, 7, 11))
        run_cycle(store=world.store, billed_to=AUG, now=at(AUG))
        before = world.documents()
        july = next(d for d in before if d["number"] == "RT-000001")
        credited = sum((d["total"] for d in before if d["type"] == "Credit Note"), Decimal(0))

        void(world, on=AUG)

        assert world.documents()[-1]["total"] == -(july["total"] + credited)
        assert {code: amount for code, amount in books(world).items() if code != "1200"} == {
            "4400": Decimal("-0.33"),  # August of the service that stays
            "1776": Decimal("-0.06"),
        }

    def test_lets_the_next_run_bill_anew_what_is_still_due(
        self, world: BillingWorld, billed: list[int]
    ) -> None:
        void(world)

        world.bill(AUG)

        again = world.documents()[-1]
        assert sorted(line["service_from"] for line in again["lines"]) == sorted(
            [date(2026, 6, 16), JUL, AUG] * 2
        )

    def test_turns_what_was_paid_into_a_credit(
        self, world: BillingWorld, billed: list[int]
    ) -> None:
        total = world.documents()[0]["total"]
        pay(world, str(total))

        void(world)

        invoice, credit = world.documents()
        assert (invoice["status"], credit["balance"]) == ("Void", -total)

    def test_gives_back_to_the_line_that_a_voided_credit_had_taken_from(
        self, world: BillingWorld, billed: list[int]
    ) -> None:
        world.change(billed[1], date(2026, 7, 16), "30.00")
        world.bill(AUG)  # July's credit is a line of August's invoice
        void(world, "RT-000002", on=AUG)

        world.bill(SEP)

        august, note, september = world.documents()[1:]
        assert note["total"] == -august["total"]
        july_again = [line["amount"] for line in september["lines"] if line["service_from"] < AUG]
        assert july_again == [
            line["amount"] for line in august["lines"] if line["service_from"] < AUG
        ]

    def test_is_refused_twice_and_of_what_is_no_invoice(
        self, world: BillingWorld, billed: list[int]
    ) -> None:
        note = void(world)

        with pytest.raises(NothingLeft, match="RT-000001"):
            void(world)
        with pytest.raises(NotVoidable, match="credit note"):
            void(world, note)
        with pytest.raises(UnknownInvoice, match="RT-9"):
            void(world, "RT-9")


class TestCreditOfLines:
    def test_gives_back_these_lines_and_voids_the_rest_later(
        self, world: BillingWorld, billed: list[int]
    ) -> None:
        credit(world, 2)
        void(world)

        invoice, of_line, of_rest = world.documents()
        second = invoice["lines"][1]
        assert of_line["total"] == -(second["amount"] + second["tax_amount"])
        assert of_line["total"] + of_rest["total"] == -invoice["total"]
        assert [d["number"] for d in (of_line, of_rest)] == ["RT-CN-000001", "RT-CN-000002"]
        assert (invoice["status"], books(world)) == ("Void", {})

    def test_is_refused_twice_and_of_lines_that_are_not_there(
        self, world: BillingWorld, billed: list[int]
    ) -> None:
        credit(world, 1)

        with pytest.raises(NothingLeft, match="these lines"):
            credit(world, 1)
        with pytest.raises(UnknownLine, match="no line 9"):
            credit(world, 3, 9)


class TestWriteOff:
    def test_books_what_is_open_as_a_loss(self, world: BillingWorld, billed: list[int]) -> None:
        total = world.documents()[0]["total"]
        pay(world, "50.00")

        amount = write_off(world)

        (invoice,) = world.documents()
        assert amount == total - 50
        assert (invoice["paid"], invoice["credited"], invoice["balance"], invoice["status"]) == (
            Decimal("50.00"),
            amount,
            0,
            "Written Off",
        )
        accounts = books(world)
        assert accounts["2400"] == amount
        assert "1200" not in accounts

    def test_is_refused_when_nothing_is_open(self, world: BillingWorld, billed: list[int]) -> None:
        write_off(world)

        with pytest.raises(NothingToWriteOff, match="RT-000001"):
            write_off(world)
        with pytest.raises(NotVoidable, match="written off"):
            void(world)
