"""Rows of the mission with the very amounts they name, from the deal to the real bill."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from delivery_world import DeliveryWorld, at, line
from sqlalchemy import text

from connector.billing.bill_run import run_cycle
from connector.catalog.load import load_catalog
from connector.ordering.queries import totals_of

JUNE, JULY = date(2026, 6, 1), date(2026, 7, 1)
CATALOG = """
products:
  - key: b100
    brand: default
    name: Broadband 100
    prices:
      - {request: NEW, term: 12, currency: EUR, mr: 60, template: provision-cloud, from: 2026-01-01}
      - {request: NEW, term: 24, currency: EUR, mr: 50, template: provision-cloud, from: 2026-01-01}
  - key: licence
    brand: default
    name: Seat
    vendor: Seatmaker
    prices:
      - {request: NEW, currency: EUR, mr: 10, template: provision-cloud, from: 2026-01-01}
      - {request: UPGRADE, currency: EUR, mr: 10, template: change-in-place, from: 2026-01-01}
      - {request: DOWNGRADE, currency: EUR, mr: 10, template: change-in-place, from: 2026-01-01}
  - key: mail
    brand: default
    name: Mail
    vendor: Mailer
    prices: [{request: NEW, currency: EUR, mr: 4, template: provision-cloud, from: 2026-01-01}]
  - key: webex
    brand: default
    name: Webex
    vendor: Cisco
    prices:
      - request: NEW
        currency: EUR
        mr: 14
        mr_cost: 11
        template: provision-cloud
        from: 2026-01-01
  - key: sip
    brand: default
    name: SIP
    vendor: Carrier
    prices: [{request: NEW, currency: EUR, mr: 20, template: provision-cloud, from: 2026-01-01}]
  - key: sdwan
    brand: default
    name: SD-WAN
    vendor: Edge
    prices: [{request: NEW, currency: EUR, mr: 89, template: provision-cloud, from: 2026-01-01}]
  - key: edge-router
    brand: default
    name: Router
    kind: Widget
    vendor: Edge
    prices: [{request: WIDGET, currency: EUR, nr: 189, template: ship, from: 2026-01-01}]
  - key: disk
    brand: default
    name: Disk
    vendor: Diskmaker
    prices: [{request: NEW, currency: EUR, mr: 7.5, template: provision-cloud, from: 2026-01-01}]
  - key: desk
    brand: default
    name: Desk
    vendor: Deskmaker
    prices: [{request: NEW, currency: EUR, mr: 9.9, template: provision-cloud, from: 2026-01-01}]
"""


@pytest.fixture
def shop(world: DeliveryWorld, tmp_path: Path) -> DeliveryWorld:
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    with world.store.transaction() as tx:
        load_catalog(tx=tx, folder=tmp_path, now=at(date(2026, 1, 3)))
        tx.execute(text("UPDATE tax_rate SET percent = 0"))
    return world


def billed(shop: DeliveryWorld, day: date) -> list[Any]:
    assert run_cycle(store=shop.store, billed_to=day, now=at(day)).problems == ()
    return shop.rows(
        "SELECT l.description, l.amount FROM invoice_line l JOIN invoice i ON i.id = l.invoice_id "
        " WHERE i.invoice_on = :day ORDER BY l.id",
        day=day,
    )


@pytest.mark.parametrize(
    ("term", "discount", "price"), [(12, 0, "60"), (24, 0, "50"), (24, 10, "45")]
)
def test_a_price_by_term_less_the_discount_of_the_line(
    shop: DeliveryWorld, term: int, discount: int, price: str
) -> None:
    """Row B3: 60.00 over 12 months, 50.00 over 24, and 45.00 with 10 % off."""
    quoted = line("b100", "NEW", term_months=term, discount_percent=Decimal(discount))
    shop.win(shop.deal([quoted]), on=JULY)
    shop.deliver(JULY)

    assert [one.amount for one in billed(shop, JULY)] == [Decimal(price)]


def test_five_more_seats_for_eight_days_of_thirty(shop: DeliveryWorld) -> None:
    """Row G5: ten seats at 10.00, five more from 11 to 19 June, cost 13.33 more."""
    shop.win(shop.deal([line("licence", "NEW", quantity=Decimal(10))]), on=JUNE)
    shop.deliver(JUNE)
    billed(shop, JUNE)
    key = f"l2c:service:{shop.one('SELECT id FROM service').id}"
    for request_type, seats, day in (
        ("UPGRADE", 15, date(2026, 6, 11)),
        ("DOWNGRADE", 10, date(2026, 6, 19)),
    ):
        change = line(
            "licence",
            request_type,
            quantity=Decimal(seats),
            requested_on=day,
            target_service_key=key,
        )
        shop.win(shop.deal([change]), on=day)
        shop.deliver(day, day)

    lines = billed(shop, JULY)

    assert sum(one.amount for one in lines) == Decimal("113.33")  # July and the eight days


def test_a_basket_of_four_vendors_is_one_order_with_work_for_each(shop: DeliveryWorld) -> None:
    """Row G7."""
    basket = [line(one, "NEW") for one in ("licence", "mail", "disk", "desk")]

    shop.win(shop.deal(basket), on=JULY)
    shop.deliver(JULY)

    assert shop.count("customer_order") == 1
    vendors = shop.rows(
        "SELECT p.vendor, count(*) FROM work_order w JOIN order_line l ON l.id = w.order_line_id "
        "  JOIN product p ON p.id = l.product_id GROUP BY p.vendor ORDER BY p.vendor"
    )
    assert [tuple(row) for row in vendors] == [
        ("Deskmaker", 1), ("Diskmaker", 1), ("Mailer", 1), ("Seatmaker", 1),
    ]  # fmt: skip
    lines = billed(shop, JULY)
    assert sum(one.amount for one in lines) == Decimal("31.40")  # on one invoice
    assert shop.count("invoice") == 1


def test_four_lines_of_three_vendors_have_one_total_and_one_for_each_on_demand(
    shop: DeliveryWorld,
) -> None:
    """Row B6: Webex, SIP, SD-WAN and a router on one quote."""
    basket = [line(one) for one in ("webex", "sip", "sdwan", "edge-router")]

    shop.win(shop.deal(basket, quote_sfid="0Q0000000000001AAA"), on=JULY)

    with shop.store.read() as tx:
        order_id = tx.scalar(text("SELECT id FROM customer_order"))
        assert order_id is not None
        whole, vendors = totals_of(tx=tx, order_id=order_id)
    assert (whole.lines, whole.monthly, whole.once, whole.monthly_cost) == (4, 123, 189, 11)
    assert [(one.vendor, one.lines, one.monthly, one.once) for one in vendors] == [
        ("Carrier", 1, 20, 0),
        ("Cisco", 1, 14, 0),
        ("Edge", 2, 89, 189),
    ]


def test_an_audit_is_charged_once_and_leaves_the_monthly_amount_alone(shop: DeliveryWorld) -> None:
    """Row B17: an audit of 200.00 on a service."""
    shop.win(shop.deal([line("mail", "NEW")]), on=JUNE)
    shop.deliver(JUNE)
    billed(shop, JUNE)
    service = shop.one("SELECT id, mrr FROM push_service")

    audit = line("audit", "SERVICE_REQUEST", target_service_key=f"l2c:service:{service.id}")
    shop.win(shop.deal([audit]), on=date(2026, 6, 10))
    shop.deliver(date(2026, 6, 18))

    work = shop.one("SELECT service_id, template FROM work_order WHERE role = 'Service request'")
    assert tuple(work) == (service.id, "visit")
    assert shop.one("SELECT mrr FROM push_service").mrr == service.mrr == 4
    assert [(one.description, one.amount) for one in billed(shop, JULY)] == [
        ("Mail", 4),
        ("Security audit", 200),
    ]
