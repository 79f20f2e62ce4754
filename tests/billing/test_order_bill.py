"""The bill on the day of an order (row B22, policy `invoice_partials_on: on_order`)."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from billing_world import BillingWorld, at

from connector.billing.order_bill import bill_order
from connector.charging import opening
from connector.errors import InvalidInput

ORDER_DAY = date(2026, 6, 12)


@pytest.fixture
def on_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "policies").mkdir()
    file = tmp_path / "policies" / "proration.yaml"
    file.write_text("default: {invoice_partials_on: on_order}\n")
    monkeypatch.setattr(opening, "mappings_dir", lambda: tmp_path)


def five_seats(world: BillingWorld, payer: int) -> None:
    world.start(world.service(payer, world.product("seat"), "10.00", quantity="5"), ORDER_DAY)


def order(world: BillingWorld, payer: int, on: date = ORDER_DAY) -> tuple[str, ...]:
    return bill_order(store=world.store, billing_account_id=payer, on=on, now=at(ORDER_DAY))


def amounts(world: BillingWorld) -> list[list[Decimal]]:
    return [sorted(line["amount"] for line in one["lines"]) for one in world.documents()]


@pytest.mark.usefixtures("on_order")
class TestOnOrder:
    def test_the_part_of_the_month_is_invoiced_at_once_and_the_rest_on_the_bill_day(
        self, world: BillingWorld
    ) -> None:
        payer = world.payer()
        five_seats(world, payer)
        world.sell(payer, world.product("router"), "99.00", ORDER_DAY, quantity="1")

        (number,) = order(world, payer)
        world.bill(date(2026, 7, 1))

        first, july = world.documents()
        assert (first["number"], first["invoice_on"]) == (number, ORDER_DAY)
        assert (first["period_start"], first["period_end"]) == (
            date(2026, 6, 1),
            date(2026, 7, 1),
        )
        assert amounts(world) == [[Decimal("31.67"), Decimal("99.00")], [Decimal("50.00")]]
        assert july["invoice_on"] == date(2026, 7, 1)

    def test_the_day_begins_where_the_payer_is(self, world: BillingWorld) -> None:
        payer = world.payer()
        five_seats(world, payer)
        midnight_in_berlin = datetime(2026, 6, 11, 22, tzinfo=UTC)

        bill_order(store=world.store, billing_account_id=payer, now=midnight_in_berlin)

        assert [one["invoice_on"] for one in world.documents()] == [ORDER_DAY]

    def test_said_again_invoices_nothing_more(self, world: BillingWorld) -> None:
        payer = world.payer()
        five_seats(world, payer)
        order(world, payer)

        assert order(world, payer) == ()
        assert len(world.documents()) == 1

    def test_a_second_order_of_the_day_has_a_document_of_its_own(self, world: BillingWorld) -> None:
        payer = world.payer()
        five_seats(world, payer)
        order(world, payer)
        five_seats(world, payer)

        order(world, payer)

        assert amounts(world) == [[Decimal("31.67")], [Decimal("31.67")]]

    def test_a_day_that_lies_ahead_is_refused(self, world: BillingWorld) -> None:
        payer = world.payer()

        with pytest.raises(InvalidInput, match="2026-06-13"):
            order(world, payer, date(2026, 6, 13))


def test_a_payer_who_waits_for_the_bill_day_gets_nothing_before(world: BillingWorld) -> None:
    payer = world.payer()
    five_seats(world, payer)

    assert order(world, payer) == ()
    assert world.documents() == []
