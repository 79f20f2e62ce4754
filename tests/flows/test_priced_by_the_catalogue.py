"""What the catalogue's files say of prices is what the customer's real bill says, and why."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from delivery_world import DeliveryWorld, at, customer, line
from sqlalchemy import insert, text

from connector.billing.bill_run import run_cycle
from connector.billing.explain import adds_up
from connector.billing.four_steps import FourSteps, four_steps
from connector.billing.invoices import invoice_lines
from connector.billing.realisation import Realisation, realisation
from connector.billing.void import void_invoice
from connector.catalog.load import load_catalog
from connector.charging.granted import grant_to_running
from connector.flows.billing_milestone import carry_out
from connector.ordering.queries import line_facts
from connector.store.tables.catalog import discount

JUN, JUL = date(2026, 6, 1), date(2026, 7, 1)
CUSTOMER = "001000000000001AAA"
CATALOG = f"""
products:
  - key: meeting
    brand: default
    name: Meeting seat
    prices:
      - request: NEW
        currency: EUR
        mr_cost: 4
        template: provision-cloud
        from: 2026-01-01
        pricing:
          model: graduated
          tiers:
            - {{up_to: 20, unit_price: 10}}
            - {{up_to: 30, unit_price: 8.5}}
            - {{up_to: null, unit_price: 7}}
  - key: sip
    brand: default
    name: SIP lines
    vendor: Carrier
  - key: wan
    brand: default
    name: Site network
    vendor: Weaver
    prices: [{{request: NEW, currency: EUR, mr: 89, template: deliver-network, from: 2026-01-01}}]
  - key: branch
    brand: default
    name: Branch package
    bundle:
      - {{product: sip, weight: 60}}
      - {{product: wan, weight: 40}}
      - {{product: cloud, weight: 20}}
    prices:
      - {{request: NEW, currency: EUR, mr: 100, template: provision-cloud, from: 2026-01-01}}
  - key: phone
    brand: default
    name: Desk phone
    kind: Widget
    prices:
      - request: WIDGET
        currency: EUR
        template: ship
        from: 2026-01-01
        nr_pricing:
          model: graduated
          tiers: [{{up_to: 10, unit_price: 99}}, {{up_to: null, unit_price: 89.99}}]

discounts:
  - key: welcome
    name: Welcome
    percent: 20
    cycles: 2
    new_customers_only: true
    products: [cloud]
    from: 2026-01-01
  - key: theirs
    price: 16
    currency: EUR
    products: [wan]
    customers: [{CUSTOMER}]
    from: 2026-01-01
"""


@pytest.fixture
def shop(world: DeliveryWorld, tmp_path: Path) -> DeliveryWorld:
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    with world.store.transaction() as tx:
        load_catalog(tx=tx, folder=tmp_path, now=at(date(2026, 1, 3)))
    return world


def delivered(shop: DeliveryWorld, *products: str, on: date, quantity: int = 1) -> None:
    """Win a deal of these products and start each of them."""
    lines = [line(one, "NEW", quantity=Decimal(quantity)) for one in products]
    won = shop.win(shop.deal(lines), on=on)
    with shop.store.transaction() as tx:
        ids = tx.scalars(
            text("SELECT id FROM order_line WHERE order_id = :order ORDER BY sequence"),
            {"order": won.order_id},
        ).all()
        for one in ids:
            facts = line_facts(tx=tx, order_line_id=one)
            carry_out(
                tx=tx, line=facts, milestone=None, on=on, policy=shop.rules.policy, now=at(on)
            )


def billed(shop: DeliveryWorld, day: date) -> list[Any]:
    with shop.store.transaction() as tx:
        # nobody taxes what is tested here
        tx.execute(text("UPDATE tax_rate SET percent = 0"))
    assert run_cycle(store=shop.store, billed_to=day, now=at(day)).problems == ()
    return shop.rows(
        "SELECT l.description, l.quantity, l.unit_price, l.amount, l.cost, l.explanation "
        "  FROM invoice_line l JOIN invoice i ON i.id = l.invoice_id "
        " WHERE i.invoice_on = :day ORDER BY l.id",
        day=day,
    )


def test_tiers_price_the_seats_and_say_how(shop: DeliveryWorld) -> None:
    delivered(shop, "meeting", on=JUN, quantity=33)

    (seats,) = billed(shop, JUL)[1:]

    assert (seats.quantity, seats.unit_price, seats.amount) == (1, 306, Decimal("306.00"))
    assert seats.cost == 33 * 4
    assert [part["amount"] for part in seats.explanation["parts"]] == ["200.00", "85.00", "21.00"]
    assert adds_up({"explanation": seats.explanation, "amount": seats.amount})
    assert shop.one("SELECT round(quantity * mr_price, 2) AS mrr FROM service").mrr == 306


def test_a_bundle_is_a_line_for_each_product_in_it(shop: DeliveryWorld) -> None:
    delivered(shop, "branch", on=JUL)

    lines = billed(shop, JUL)

    assert [(one.description, one.amount) for one in lines] == [
        ("SIP lines", Decimal("50.00")),
        ("Site network", Decimal("33.33")),
        ("Cloud", Decimal("16.67")),
    ]


def test_a_welcome_is_for_those_who_had_nothing(shop: DeliveryWorld) -> None:
    delivered(shop, "cloud", on=JUN)
    delivered(shop, "cloud", on=date(2026, 6, 2))

    lines = [one for one in billed(shop, JUL) if one.description == "Cloud"]

    assert [one.amount for one in lines] == [12, 12, 15]
    assert lines[0].explanation["parts"][1:] == [
        {
            "text": "less 20 % from 2026-06-01 to before 2026-08-01 (Welcome)",
            "amount": "-3.00",
            "discount": "20 % off: Welcome",
        }
    ]


def test_a_customer_has_prices_of_its_own(shop: DeliveryWorld) -> None:
    delivered(shop, "wan", on=JUL)

    assert [one.amount for one in billed(shop, JUL)] == [16]


def test_a_customer_named_later_pays_less_for_what_runs_already(shop: DeliveryWorld) -> None:
    delivered(shop, "wan", on=JUN)
    delivered(shop, "cloud", on=JUN)
    terms = {"percent": 50, "cycles": 1, "products": ["cloud"], "customers": [CUSTOMER]}
    with shop.store.transaction() as tx:
        tx.execute(
            insert(discount).values(key="d", name="D", valid_from=JUN, **terms),
        )
        given = [grant_to_running(tx=tx, on=date(2026, 6, 16), now=at(JUN)) for _ in "12"]

    lines = [one for one in billed(shop, JUL) if one.description == "Cloud"]

    assert given == [1, 0]
    # 15.00 less 20 % for the whole of June and July, and 50 % for the half of June that was left
    assert [one.amount for one in lines] == [Decimal("8.25"), 12]


@pytest.mark.parametrize(("discount", "amount"), [(0, "1259.97"), (10, "1133.97")])
def test_hardware_is_priced_by_tiers_of_its_quantity(
    shop: DeliveryWorld, discount: int, amount: str
) -> None:
    """10 × 99.00 and 3 × 89.99 are no 13 equal prices in cents; the bill sums to the cent."""
    phones = line("phone", "WIDGET", quantity=Decimal(13), discount_percent=Decimal(discount))
    shop.win(shop.deal([phones]), on=JUN)
    shop.deliver(JUN)

    (billed_once,) = billed(shop, JUL)

    assert (billed_once.quantity, billed_once.amount) == (13, Decimal(amount))


def test_a_piece_at_a_price_the_rep_agreed_is_not_priced_by_tiers(shop: DeliveryWorld) -> None:
    phones = line("phone", "WIDGET", quantity=Decimal(13), unit_price=Decimal(80))
    shop.win(shop.deal([phones]), on=JUN)
    shop.deliver(JUN)

    (billed_once,) = billed(shop, JUL)

    assert billed_once.amount == Decimal("1040.00")


def test_one_invoice_shows_listed_scheme_discount_and_tax(shop: DeliveryWorld) -> None:
    """Row G2: half of June and July of 33 seats by tiers, and of cloud at 20 % off; 19 % tax."""
    half = date(2026, 6, 16)
    delivered(shop, "cloud", on=half)
    delivered(shop, "meeting", on=half, quantity=33)
    assert run_cycle(store=shop.store, billed_to=JUL, now=at(JUL)).problems == ()

    with shop.store.read() as tx:
        steps = four_steps(invoice_lines(tx=tx, invoice_id=shop.one("SELECT id FROM invoice").id))

    assert steps == FourSteps(
        listed=Decimal("642.00"),  # 2 × 306.00 and 2 × 15.00
        scheme=Decimal("-160.50"),  # 15 of 30 days of June
        discount=Decimal("-4.50"),  # 20 % of 15.00 and of 7.50
        corrected=Decimal(0),
        net=Decimal("477.00"),
        tax=Decimal("90.63"),
    )


def test_a_report_tells_discounts_and_price_realisation_by_product(shop: DeliveryWorld) -> None:
    """Row G13: what was agreed below the list, what discounts took, and what is left."""
    agreed = line("cloud", "NEW", quantity=Decimal(2), discount_percent=Decimal(10))
    shop.win(shop.deal([agreed]), on=JUN)
    shop.deliver(JUN)
    delivered(shop, "wan", on=JUN)
    billed(shop, JUL)

    def told() -> tuple[Realisation, ...]:
        with shop.store.read() as tx:
            return realisation(tx=tx, begins_on=JUN, ends_on=JUL)

    cloud, wan = told()
    assert cloud == Realisation(
        product_key="cloud", product="Cloud", currency="EUR",
        listed=Decimal("30.00"), agreed_off=Decimal("3.00"), discounts=Decimal("5.40"),
        net=Decimal("21.60"), percent=Decimal("72.0"),
    )  # fmt: skip
    assert (wan.listed, wan.agreed_off, wan.net) == (89, 73, 16)

    number = shop.one("SELECT number FROM invoice").number
    void_invoice(store=shop.store, number=number, reason="Dispute", now=at(JUL))

    assert told() == ()


LISTS = """
products:
  - key: box
    brand: default
    name: Box
    vendor: Boxmaker
    prices:
      - request: NEW
        currency: EUR
        mr: 20
        mr_cost: 14
        template: provision-cloud
        from: 2026-01-01
discounts:
"""
BY_MARKUP = "  - {key: m, markup: 0.25, vendor: Boxmaker, brands: [reseller], from: 2026-01-01}\n"
OF_THE_RESELLER = """\
  - {key: r, price: 17, currency: EUR, products: [box], brands: [reseller], from: 2026-01-01}
"""
OF_THE_CUSTOMER = (
    "  - {key: c, price: 16, currency: EUR, products: [box], "
    f"customers: [{CUSTOMER}], from: 2026-01-01}}\n"
)


@pytest.mark.parametrize(
    ("lists", "brand", "price"),
    [
        (BY_MARKUP, "reseller", "17.50"),
        (BY_MARKUP + OF_THE_RESELLER, "reseller", "17"),
        (OF_THE_CUSTOMER + BY_MARKUP + OF_THE_RESELLER, "reseller", "16"),
        (BY_MARKUP + OF_THE_RESELLER, "default", "20"),
    ],
)
def test_a_customers_list_goes_before_the_resellers_and_a_price_before_a_markup(
    world: DeliveryWorld, tmp_path: Path, lists: str, brand: str, price: str
) -> None:
    """Row B8: bought at 14.00, 17.50 with 25 % on top; the customer's own 16.00 wins."""
    (tmp_path / "lists.yaml").write_text(LISTS + lists)
    with world.store.transaction() as tx:
        load_catalog(tx=tx, folder=tmp_path, now=at(date(2026, 1, 3)))

    world.win(world.deal([line("box", "NEW")], account=customer(brand_key=brand)), on=JUN)

    assert world.one("SELECT mr_price FROM service").mr_price == Decimal(price)
