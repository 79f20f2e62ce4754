"""What the next term costs: what the last one did, or the catalogue's price for RENEW (row B12)."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from delivery_world import DeliveryWorld, at, customer, line
from sqlalchemy import insert

from connector.billing.bill_run import run_cycle
from connector.charging import opening
from connector.flows.renewals import RenewalReport, renew_terms
from connector.ordering.policy import RenewalPrice
from connector.store.tables.catalog import discount, price_entry

START = date(2026, 6, 16)
DAY_AFTER = date(2027, 6, 16)
A_YEAR_LATER = date(2028, 6, 16)


def price_for_renewal(
    world: DeliveryWorld, price: str, term_months: int, since: date, until: date | None = None
) -> None:
    with world.store.transaction() as tx:
        product = tx.exec_driver_sql("SELECT id, brand_id FROM product WHERE key = 'line-100'")
        row = product.one()
        tx.execute(
            insert(price_entry).values(
                product_id=row.id, brand_id=row.brand_id, request_type="RENEW", currency="EUR",
                term_months=term_months, mr_price=Decimal(price), mr_cost=Decimal(70),
                valid_from=since, valid_to=until,
            )
        )  # fmt: skip


@pytest.fixture
def shop(world: DeliveryWorld) -> DeliveryWorld:
    """Return a world whose policy asks the catalogue, where a year's renewal costs 110, 115."""
    policy = replace(world.rules.policy, renewal_price=RenewalPrice.CATALOGUE)
    world.rules = replace(world.rules, policy=policy)
    price_for_renewal(world, "110", 12, date(2027, 1, 1), date(2028, 1, 1))
    price_for_renewal(world, "115", 12, date(2028, 1, 1))
    price_for_renewal(world, "130", 0, date(2027, 1, 1))
    return world


def renewed(world: DeliveryWorld, on: date) -> RenewalReport:
    return renew_terms(store=world.store, rules=world.rules, now=at(on))


def charged(world: DeliveryWorld) -> list[tuple[Decimal, date, date | None]]:
    return [
        (row.unit_price, row.starts_on, row.ends_on)
        for row in world.rows("SELECT * FROM charge WHERE kind = 'recurring' ORDER BY starts_on")
    ]


def test_is_the_catalogues_of_the_terms_first_day_once(shop: DeliveryWorld) -> None:
    shop.delivered_service(START, renewal_type="Same term")

    assert [renewed(shop, DAY_AFTER) for _ in range(2)] == [
        RenewalReport(1, 0),
        RenewalReport(0, 0),
    ]

    assert charged(shop) == [(100, START, DAY_AFTER), (110, DAY_AFTER, None)]
    service = shop.one("SELECT mr_price, mr_cost, quantity FROM service")
    assert tuple(service) == (110, 70, 1)
    told = shop.one("SELECT old, new FROM service_change")
    assert (told.old["mr_price"], told.new["mr_price"]) == ("100", "110")


def test_is_billed_from_the_middle_of_a_month(shop: DeliveryWorld) -> None:
    """15 days of June at 100.00 are 50.00, 15 at 110.00 are 55.00; then 110.00 in advance."""
    shop.delivered_service(START, renewal_type="Same term")
    renewed(shop, DAY_AFTER)

    report = run_cycle(store=shop.store, billed_to=date(2027, 7, 1), now=at(date(2027, 7, 1)))

    assert report.problems == ()
    lines = shop.rows(
        "SELECT amount, service_from FROM invoice_line "
        "WHERE service_from >= '2027-06-01' ORDER BY service_from"
    )
    assert [(row.amount, row.service_from) for row in lines] == [
        (50, date(2027, 6, 1)),
        (55, DAY_AFTER),
        (110, date(2027, 7, 1)),
    ]


def test_stays_by_default_whatever_the_catalogue_says(shop: DeliveryWorld) -> None:
    policy = replace(shop.rules.policy, renewal_price=RenewalPrice.STAYS)
    shop.rules = replace(shop.rules, policy=policy)
    shop.delivered_service(START, renewal_type="Same term")

    assert renewed(shop, DAY_AFTER).renewed == 1

    assert charged(shop) == [(100, START, None)]


def test_of_terms_that_were_missed_is_that_of_each_first_day(shop: DeliveryWorld) -> None:
    shop.delivered_service(START, renewal_type="Same term")

    assert renewed(shop, date(2028, 9, 1)).renewed == 2

    assert charged(shop) == [
        (100, START, DAY_AFTER),
        (110, DAY_AFTER, A_YEAR_LATER),
        (115, A_YEAR_LATER, None),
    ]


def test_is_another_one_from_month_to_month(shop: DeliveryWorld) -> None:
    shop.delivered_service(START, renewal_type="Month-to-month")

    renewed(shop, DAY_AFTER)

    assert charged(shop) == [(100, START, DAY_AFTER), (130, DAY_AFTER, None)]


def test_stays_where_the_catalogue_has_none_for_the_term(shop: DeliveryWorld) -> None:
    shop.delivered_service(START, term_months=24, renewal_type="Same term")

    assert renewed(shop, A_YEAR_LATER).renewed == 1

    assert charged(shop) == [(90, START, None)]


def test_is_the_customers_own_where_one_has_a_list(shop: DeliveryWorld) -> None:
    shop.delivered_service(START, renewal_type="Same term")
    with shop.store.transaction() as tx:
        tx.execute(
            insert(discount).values(
                key="own", name="Own", price=Decimal(95), currency="EUR", products=["line-100"],
                customers=[customer().sfid], valid_from=DAY_AFTER,
            )
        )  # fmt: skip

    renewed(shop, DAY_AFTER)

    assert charged(shop) == [(100, START, DAY_AFTER), (95, DAY_AFTER, None)]


def test_is_what_was_ordered_for_that_day_or_later(shop: DeliveryWorld) -> None:
    service_id = shop.delivered_service(START, renewal_type="Same term")
    key = f"l2c:service:{service_id}"
    agreed = line("line-100", "RE_RATE", target_service_key=key, new_mrr=Decimal(80))
    shop.win(shop.deal([agreed]), DAY_AFTER)
    shop.deliver(DAY_AFTER)

    assert renewed(shop, date(2027, 6, 20)).renewed == 1

    assert charged(shop) == [(100, START, DAY_AFTER), (80, DAY_AFTER, None)]


def test_stays_for_one_that_cannot_be_billed_and_stops_no_other(shop: DeliveryWorld) -> None:
    for _ in range(2):
        shop.delivered_service(START, renewal_type="Same term")
    with shop.store.transaction() as tx:
        tx.exec_driver_sql("DELETE FROM charge WHERE service_id = (SELECT min(id) FROM service)")

    assert renewed(shop, DAY_AFTER) == RenewalReport(renewed=2, expired=0, failed=1)

    prices = shop.rows("SELECT mr_price FROM service ORDER BY id")
    assert [row.mr_price for row in prices] == [100, 110]


def test_of_a_service_that_rested_over_the_end_of_its_term_counts_from_where_it_goes_on(
    shop: DeliveryWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policies").mkdir()
    file = tmp_path / "policies" / "proration.yaml"
    file.write_text("default: {while_suspended: pause}\n")
    monkeypatch.setattr(opening, "mappings_dir", lambda: tmp_path)
    key = f"l2c:service:{shop.delivered_service(START, renewal_type='Same term')}"
    for request, on in (("SUSPEND", date(2027, 6, 10)), ("RESUME", date(2027, 7, 20))):
        shop.win(shop.deal([line("line-100", request, target_service_key=key)]), on)
        assert renewed(shop, on) == RenewalReport(0, 0)
        shop.deliver(on)

    assert renewed(shop, date(2027, 7, 21)) == RenewalReport(1, 0)

    billed = [(price, since, until) for price, since, until in charged(shop) if since != until]
    assert billed == [
        (100, START, date(2027, 6, 10)),
        (110, date(2027, 7, 20), None),
    ]
