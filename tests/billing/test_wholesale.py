"""Resellers: their customers' bills in their name, and our bill to them at their own prices."""

from contextlib import AbstractContextManager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from billing_world import BillingWorld, at
from sqlalchemy import Connection

from connector.billing.bill_run import preview, preview_run
from connector.billing.leakage import find_leaks
from connector.billing.look_ahead import looking_ahead
from connector.billing.wholesale import charge_resellers
from connector.billing.wholesale_terms import (
    BadReseller,
    BadWholesaleTerms,
    WholesaleTerms,
    load_wholesale,
)
from connector.ledger import chart
from connector.ledger.journal import balances
from connector.resources import mappings_dir
from connector.store.tables.parties import brand_table

JUL, AUG, SEP = date(2026, 7, 1), date(2026, 8, 1), date(2026, 9, 1)
JUNE = (date(2026, 6, 1), JUL)


class Resale:
    """We sell seats to a reseller at 7.00, which sells them to Acme and Zenith at 10.00."""

    def __init__(self, world: BillingWorld) -> None:
        self.world = world
        self.us = world.brand_id
        self.seat = world.product("seat")
        self.reseller_pays = world.payer(name="Bright IT Ltd")
        self.reseller = self.brand("bright", "BI")
        world.brand_id = self.reseller
        self.acme = world.payer(name="Acme")
        self.zenith = world.payer(name="Zenith")
        self.terms: dict[str, Any] = {"bright": self.price(self.reseller_pays, monthly="7.00")}

    def brand(self, key: str, prefix: str) -> int:
        with self.world.store.transaction() as tx:
            return int(
                tx.execute(
                    brand_table.insert()
                    .values(key=key, name=key, legal_name=key, invoice_prefix=prefix)
                    .returning(brand_table.c.id)
                ).scalar_one()
            )

    def price(self, payer_id: int, **price: str) -> dict[str, Any]:
        (number,) = self.world.one("SELECT number FROM billing_account WHERE id = :id", id=payer_id)
        listed = {"product": "seat", "currency": "EUR", "from": "2026-01-01", **price}
        return {"billing_account": number, "prices": [listed]}

    def sell(self, payer_id: int, seats: str, on: date = JUL) -> int:
        service = self.world.service(payer_id, self.seat, "10", quantity=seats, cost="4")
        self.world.start(service, on)
        return service

    def charge(self, on: date) -> int:
        terms = WholesaleTerms.model_validate({"resellers": self.terms})
        return charge_resellers(store=self.world.store, terms=terms, now=at(on))

    def look(self, on: date) -> AbstractContextManager[Connection]:
        terms = WholesaleTerms.model_validate({"resellers": self.terms})
        return looking_ahead(store=self.world.store, terms=terms, provider=None, now=at(on))

    def bill(self, on: date) -> list[tuple[str, str, str]]:
        """Run the bills; return the new documents: number, to whom, total."""
        before = len(self.world.documents())
        self.charge(on)
        assert self.world.bill(on).problems == ()
        return [
            (d["number"], self.name_of(d["billing_account_id"]), f"{d['total']:.2f}")
            for d in self.world.documents()[before:]
        ]

    def name_of(self, payer_id: int) -> str:
        (name,) = self.world.one(
            "SELECT a.name FROM billing_account b JOIN account a ON a.id = b.account_id "
            " WHERE b.id = :id",
            id=payer_id,
        )
        return str(name)

    def lines(self, number: str) -> list[tuple[str, ...]]:
        (document,) = [d for d in self.world.documents() if d["number"] == number]
        return [
            (line["section"], line["description"], f"{line['quantity']:f}".rstrip("0").rstrip("."),
             f"{line['unit_price']:.2f}", f"{line['amount']:.2f}")
            for line in document["lines"]
        ]  # fmt: skip


@pytest.fixture
def resale(world: BillingWorld) -> Resale:
    return Resale(world)


def test_each_tier_is_billed_its_own_price_by_its_own_seller(resale: Resale) -> None:
    resale.sell(resale.acme, "10")
    resale.sell(resale.zenith, "2")

    assert sorted(resale.bill(JUL)) == [
        ("BI-000001", "Acme", "119.00"),  # 10 × 10.00 and 19 %
        ("BI-000002", "Zenith", "23.80"),
        ("RT-000001", "Bright IT Ltd", "99.96"),  # 12 × 7.00 and 19 %
    ]


def test_the_wholesale_invoice_has_a_section_for_each_customer(resale: Resale) -> None:
    resale.sell(resale.zenith, "2")
    resale.sell(resale.acme, "10")
    resale.bill(JUL)

    assert resale.lines("RT-000001") == [
        ("Acme", "seat", "10", "7.00", "70.00"),
        ("Zenith", "seat", "2", "7.00", "14.00"),
    ]


def test_no_tier_reads_the_price_of_another(resale: Resale) -> None:
    resale.sell(resale.acme, "3")
    resale.bill(JUL)

    told = {
        d["number"]: str([(line["explanation"], line["unit_price"]) for line in d["lines"]])
        for d in resale.world.documents()
    }
    assert "3 × 10.00 a month" in told["BI-000001"]
    assert "7.00" not in told["BI-000001"]
    assert "3 × 7.00 a month" in told["RT-000001"]
    assert "10.00" not in told["RT-000001"]


def test_a_change_and_an_end_reach_both_tiers_to_the_day(resale: Resale) -> None:
    service = resale.sell(resale.acme, "10")
    resale.bill(JUL)
    resale.world.change(service, date(2026, 7, 17), price="10", quantity="20")

    assert sorted(resale.bill(AUG)) == [
        ("BI-000002", "Acme", "295.57"),  # 200.00, and for 15 of 31 days 96.77 less 48.39
        ("RT-000002", "Bright IT Ltd", "206.91"),  # 140.00, and 67.74 less 33.87
    ]

    resale.world.cancel(service, date(2026, 8, 17))
    given_back = {to: total for _, to, total in resale.bill(SEP)}
    assert given_back == {
        "Acme": "-115.16",  # 15 of 31 days of 200.00 and 19 %
        "Bright IT Ltd": "-80.61",
    }


def test_what_is_billed_in_a_resellers_name_is_in_its_books_and_not_in_ours(
    resale: Resale,
) -> None:
    resale.sell(resale.acme, "10")
    resale.bill(JUL)

    with resale.world.store.read() as tx:
        books = {
            brand: {b.account_code: b.balance for b in balances(tx=tx, brand_id=brand)}
            for brand in (resale.us, resale.reseller)
        }
    assert books[resale.us][chart.RECEIVABLES] == Decimal("83.30")
    assert books[resale.us][chart.TAX] == Decimal("-13.30")
    assert books[resale.reseller][chart.RECEIVABLES] == Decimal("119.00")
    assert books[resale.reseller][chart.TAX] == Decimal("-19.00")
    assert all(sum(book.values()) == 0 for book in books.values())


def test_a_reseller_that_bills_itself_gets_only_our_bill(resale: Resale) -> None:
    resale.terms["bright"]["customers_billed_by"] = "reseller"
    resale.sell(resale.acme, "10")

    assert resale.bill(JUL) == [("RT-000001", "Bright IT Ltd", "83.30")]


def test_a_distributor_stands_between_us_and_the_reseller(resale: Resale) -> None:
    resale.sell(resale.acme, "10")
    distributor = resale.brand("wide", "WD")
    resale.world.brand_id = resale.us
    distributor_pays = resale.world.payer(name="Wide Distribution")
    resale.world.brand_id = distributor
    reseller_pays = resale.world.payer(name="Bright IT at Wide")
    resale.terms = {
        "bright": resale.price(reseller_pays, monthly="8.00"),
        "wide": resale.price(distributor_pays, monthly="6.00"),
    }

    assert sorted(resale.bill(JUL)) == [
        ("BI-000001", "Acme", "119.00"),
        ("RT-000001", "Wide Distribution", "71.40"),
        ("WD-000001", "Bright IT at Wide", "95.20"),
    ]
    assert resale.lines("WD-000001")[0][0] == "Acme"
    assert resale.lines("RT-000001")[0][0] == "Bright IT at Wide"


def test_usage_costs_the_reseller_its_part_of_what_the_customer_pays(resale: Resale) -> None:
    resale.terms["bright"] = resale.price(resale.reseller_pays, usage_percent="80")
    service = resale.sell(resale.acme, "0", on=date(2026, 6, 1))
    resale.world.use(service, "national", JUNE, amount=Decimal("12.345"), units=None)
    resale.charge(JUL)
    resale.world.use(service, "national", JUNE, amount=Decimal("20.00"), units=None)

    totals = {to: total for _, to, total in resale.bill(JUL)}
    assert totals == {"Acme": "23.80", "Bright IT Ltd": "19.04"}


def test_a_preview_shows_the_wholesale_bill_as_the_run_makes_it(resale: Resale) -> None:
    resale.sell(resale.acme, "10")
    resale.sell(resale.zenith, "2")

    with resale.look(JUL) as tx:
        shown = preview_run(tx=tx, billed_to=JUL, now=at(JUL))
    with resale.look(JUL) as tx:
        (wholesale,) = preview(tx=tx, billing_account_id=resale.reseller_pays, billed_to=JUL)

    assert resale.world.one("SELECT count(*) FROM charge WHERE key LIKE 'wholesale:%'") == (0,)
    assert resale.world.documents() == []
    assert (shown.invoices, shown.totals) == (3, {"EUR": Decimal("242.76")})
    assert [(one.section, one.line.amount) for one in wholesale.lines] == [
        ("Acme", 70),
        ("Zenith", 14),
    ]
    assert ("RT-000001", "Bright IT Ltd", f"{wholesale.total:.2f}") in resale.bill(JUL)


def test_what_is_sold_once_has_a_price_of_its_own(resale: Resale) -> None:
    resale.terms["bright"] = resale.price(resale.reseller_pays, once="25.00")
    resale.world.sell(resale.acme, resale.seat, "40.00", date(2026, 6, 9), quantity="2")

    totals = {to: total for _, to, total in resale.bill(JUL)}
    assert totals == {"Acme": "95.20", "Bright IT Ltd": "59.50"}


def test_asked_again_it_charges_nothing_twice(resale: Resale) -> None:
    resale.sell(resale.acme, "10")

    assert [resale.charge(JUL), resale.charge(JUL)] == [1, 0]


def test_a_charge_without_a_wholesale_price_leaks(resale: Resale) -> None:
    resale.terms["bright"] = resale.price(resale.reseller_pays, once="25.00")
    resale.sell(resale.acme, "10")
    resale.bill(JUL)

    with resale.world.store.read() as tx:
        leaks = find_leaks(tx=tx, on=JUL)
    unpriced = [one for one in leaks if one.check_name == "resold_without_price"]
    assert [(one.customer, one.amount) for one in unpriced] == [("Acme", Decimal(100))]


class TestTheTerms:
    def test_refuse_a_brand_nobody_knows(self, resale: Resale) -> None:
        resale.terms = {"dark": resale.terms["bright"]}

        with pytest.raises(BadReseller, match="no brand 'dark'"):
            resale.charge(JUL)

    def test_refuse_an_account_nobody_has(self, resale: Resale) -> None:
        resale.terms["bright"]["billing_account"] = "BA-999999"

        with pytest.raises(BadReseller, match="no billing account BA-999999"):
            resale.charge(JUL)

    def test_refuse_a_reseller_that_would_buy_from_itself(self, resale: Resale) -> None:
        resale.terms["bright"] = resale.price(resale.acme, monthly="7.00")

        with pytest.raises(BadReseller, match="would buy from itself"):
            resale.charge(JUL)

    def test_name_the_line_of_a_mistake(self, tmp_path: Path) -> None:
        file = tmp_path / "wholesale.yaml"
        file.write_text("resellers:\n  bright:\n    billing_account: B\n    paid_by: us\n")

        with pytest.raises(BadWholesaleTerms, match=r"line 4: resellers\.bright\.paid_by"):
            load_wholesale(file)

    def test_come_along_without_resellers(self) -> None:
        assert load_wholesale(mappings_dir() / "policies" / "wholesale.yaml").resellers == {}
