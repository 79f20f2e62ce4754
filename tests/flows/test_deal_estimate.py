"""Row B22: the first invoices of a deal are known before it is won, and come out to the cent."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from delivery_world import DeliveryWorld, at, customer, line, new_line
from tax_rates import serving

from connector.billing.ask_taxes import with_answers
from connector.billing.bill_run import run_cycle
from connector.billing.draft import DocumentDraft
from connector.billing.tax_answers import choose_provider
from connector.catalog.load import load_catalog
from connector.flows.deal_estimate import DealIsOrdered, EstimatedBill, estimate_deal
from connector.flows.win import DealNotDeliverable

WON, JULY, AUGUST = date(2026, 6, 12), date(2026, 7, 1), date(2026, 8, 1)
WELCOME = """
discounts:
  - {key: welcome, name: Welcome, percent: 20, cycles: 2, products: [cloud], from: 2026-01-01}
"""


@pytest.fixture
def shop(world: DeliveryWorld, tmp_path: Path) -> DeliveryWorld:
    (tmp_path / "welcome.yaml").write_text(WELCOME)
    with world.store.transaction() as tx:
        load_catalog(tx=tx, folder=tmp_path, now=at(date(2026, 1, 3)))
    return world


def a_deal(shop: DeliveryWorld, **facts: Any) -> str:
    """Two lines at 10 % off with a set-up fee, discounted cloud, and five routers once."""
    lines = [
        new_line(quantity=Decimal(2), discount_percent=Decimal(10)),
        line("cloud", "NEW"),
        line("router", "WIDGET", quantity=Decimal(5)),
    ]
    return shop.deal(lines, **facts)


def estimated(shop: DeliveryWorld, deal: str, on: date = WON) -> tuple[EstimatedBill, ...]:
    with shop.store.transaction() as tx:
        bills = estimate_deal(tx=tx, tree=shop.read_tree(deal), rules=shop.rules, on=on)
        tx.rollback()
    return bills


def billed(shop: DeliveryWorld, *days: date) -> list[dict[str, Any]]:
    for day in days:
        assert run_cycle(store=shop.store, billed_to=day, now=at(day)).problems == ()
    return [
        dict(row._mapping)
        for row in shop.rows(
            "SELECT i.type, i.invoice_on, i.total, l.description, l.amount, l.tax_amount, "
            "       l.quantity, l.unit_price, l.service_from, l.service_to "
            "  FROM invoice i JOIN invoice_line l ON l.invoice_id = i.id ORDER BY i.id, l.line_no"
        )
    ]


def told(documents: Iterable[DocumentDraft]) -> list[dict[str, Any]]:
    return [
        {
            "type": document.type,
            "invoice_on": document.invoice_on,
            "total": document.total,
            "description": taxed.line.description,
            "amount": taxed.line.amount,
            "tax_amount": taxed.tax_amount,
            "quantity": taxed.line.quantity,
            "unit_price": taxed.line.unit_price,
            "service_from": taxed.line.service_from,
            "service_to": taxed.line.service_to,
        }
        for document in documents
        for taxed in document.lines
    ]


def test_the_real_invoices_are_the_estimated_ones_to_the_cent(shop: DeliveryWorld) -> None:
    deal = a_deal(shop)
    bills = estimated(shop, deal)

    shop.win(deal, WON)
    shop.deliver(WON)
    real = billed(shop, JULY, AUGUST)

    assert [one.document.invoice_on for one in bills] == [JULY, AUGUST]
    assert told(one.document for one in bills) == real
    # 19 of 30 days of 2 × 90.00 and of 12.00, both months of July, set-up and routers once; 19 %
    assert [one.document.subtotal for one in bills] == [Decimal("1356.60"), Decimal("195.00")]
    assert bills[0].document.total == Decimal("1614.35")


def test_what_the_customer_has_already_is_on_it_too(shop: DeliveryWorld) -> None:
    shop.win(shop.deal([line("wan", "NEW")]), date(2026, 6, 1))
    shop.deliver(date(2026, 6, 1))
    deal = a_deal(shop)

    (july, *_) = estimated(shop, deal)

    new = {
        taxed.line.charge.product_key: taxed.line.charge.order_line_id in july.order_line_ids
        for taxed in july.document.lines
    }
    assert new == {"wan": False, "line-100": True, "cloud": True, "router": True}


def test_nothing_of_it_is_kept(shop: DeliveryWorld) -> None:
    tables = ("account", "billing_account", "customer_order", "service", "charge", "invoice")

    estimated(shop, a_deal(shop))

    assert {table: shop.count(table) for table in tables} == dict.fromkeys(tables, 0)


def test_a_deal_that_is_not_won_yet_can_be_asked_for(shop: DeliveryWorld) -> None:
    bills = estimated(shop, a_deal(shop, is_won=False, stage="Proposal"))

    assert len(bills) == 2


def test_a_line_counts_from_the_day_it_asks_for(shop: DeliveryWorld) -> None:
    deal = shop.deal([line("cloud", "NEW", requested_on=date(2026, 7, 16))])

    (first, _) = estimated(shop, deal)

    assert first.document.invoice_on == AUGUST
    assert [one.line.service_from for one in first.document.lines] == [
        AUGUST,
        date(2026, 7, 16),
    ]


def test_a_deal_that_is_ordered_is_refused(shop: DeliveryWorld) -> None:
    deal = a_deal(shop)
    shop.win(deal, WON)

    with pytest.raises(DealIsOrdered, match="is order"):
        estimated(shop, deal)


def test_a_deal_that_cannot_be_delivered_is_refused_with_every_reason(shop: DeliveryWorld) -> None:
    deal = shop.deal([line("nothing", "NEW")], account=customer(currency="XXQ"))

    with pytest.raises(DealNotDeliverable, match="'XXQ' is not a currency"):
        estimated(shop, deal)


def test_a_tax_provider_is_asked_for_an_estimate_and_tells_the_bill_the_same(
    shop: DeliveryWorld,
) -> None:
    deal = a_deal(shop)
    fee = {"name": "911 fee", "amount": "1.25", "currency": "EUR"}
    with serving() as rates:
        rates.taxes["standard"] = [{"name": "State tax", "percent": "4"}, fee]

        def asked() -> tuple[EstimatedBill, ...]:
            with shop.store.transaction() as tx:
                choose_provider(tx, rates.provider.name)
                tree = shop.read_tree(deal)
                bills = estimate_deal(tx=tx, tree=tree, rules=shop.rules, on=WON)
                tx.rollback()
            return bills

        bills = with_answers(store=shop.store, provider=rates.provider, now=at(WON), compute=asked)
        shop.win(deal, WON)
        shop.deliver(WON)
        made = rates.asked.copy()
        for day in (JULY, AUGUST):
            run_cycle(store=shop.store, billed_to=day, now=at(day), provider=rates.provider)

        assert rates.asked == made  # the answers were kept

    totals = [row.total for row in shop.rows("SELECT total FROM invoice ORDER BY id")]
    assert [one.document.total for one in bills] == totals
    assert {len(one.document.taxes) for one in bills} == {2}
