"""Tax on top, contained, none at all, or owed by the customer; by country and kind of customer."""

from datetime import date
from decimal import Decimal

import pytest
from billing_world import BillingWorld, at
from hypothesis import given
from hypothesis import strategies as st

from connector.billing.explain import adds_up
from connector.billing.tax import share_out, tax_in
from connector.billing.void import void_invoice

JUL = date(2026, 7, 1)
AUG = date(2026, 8, 1)


def sell(world: BillingWorld, payer: int, *prices: str) -> list[int]:
    services = [world.service(payer, world.product("line"), price) for price in prices]
    for service in services:
        world.start(service, JUL)
    return services


class TestContainedTax:
    @pytest.fixture
    def shop(self, world: BillingWorld) -> int:
        """Return a private customer of a country whose prices contain the tax."""
        world.tax("20", country="FR", customer="person", treatment="inclusive")
        return world.payer(country="FR", kind="person")

    def test_leaves_the_price_as_the_total(self, world: BillingWorld, shop: int) -> None:
        sell(world, shop, "0.33", "0.33", "0.33")

        world.bill(JUL)

        (invoice,) = world.documents()
        assert (invoice["subtotal"], invoice["tax"], invoice["total"]) == (
            Decimal("0.82"),
            Decimal("0.17"),
            Decimal("0.99"),
        )
        assert [line["tax_amount"] for line in invoice["lines"]] == [
            Decimal("0.06"),
            Decimal("0.06"),
            Decimal("0.05"),
        ]
        assert all(adds_up(line) for line in invoice["lines"])

    def test_is_not_booked_twice_by_the_next_bill(self, world: BillingWorld, shop: int) -> None:
        sell(world, shop, "12.00")
        world.bill(JUL)

        world.bill(AUG)

        assert [d["total"] for d in world.documents()] == [Decimal("12.00"), Decimal("12.00")]

    def test_is_given_back_with_the_price(self, world: BillingWorld, shop: int) -> None:
        (service,) = sell(world, shop, "31.00")
        world.bill(JUL)
        world.cancel(service, date(2026, 7, 11))

        world.bill(AUG)

        credit = world.documents()[1]
        assert (credit["subtotal"], credit["tax"], credit["total"]) == (
            Decimal("-17.50"),
            Decimal("-3.50"),
            Decimal("-21.00"),
        )

    def test_is_voided_to_the_cent(self, world: BillingWorld, shop: int) -> None:
        sell(world, shop, "0.33", "0.34")
        world.bill(JUL)

        void_invoice(store=world.store, number="RT-000001", reason="Correction", now=at(JUL))

        assert [d["total"] for d in world.documents()] == [Decimal("0.67"), Decimal("-0.67")]

    @given(
        amounts=st.lists(st.decimals("0.01", "9999.99", places=2), min_size=1, max_size=9),
        percent=st.sampled_from([Decimal(7), Decimal(19), Decimal(20), Decimal("8.875")]),
    )
    def test_is_shared_out_exactly(self, amounts: list[Decimal], percent: Decimal) -> None:
        parts = share_out(amounts, percent, "EUR", contained=True)

        gross = sum(amounts, Decimal(0))
        assert sum(parts) == tax_in(gross, percent, "EUR")
        assert abs((gross - sum(parts)) * percent / 100 - sum(parts)) < Decimal("0.02")


class TestNoTax:
    def test_of_an_exempt_category_says_so(self, world: BillingWorld) -> None:
        world.tax("0", category="insurance", treatment="exempt")
        payer = world.payer()
        cover = world.service(payer, world.product("cover", tax_category="insurance"), "10.00")
        world.start(cover, JUL)
        sell(world, payer, "10.00")

        world.bill(JUL)

        (invoice,) = world.documents()
        assert sorted((line["tax_treatment"], line["tax_amount"]) for line in invoice["lines"]) == [
            ("exclusive", Decimal("1.90")),
            ("exempt", Decimal(0)),
        ]
        assert invoice["total"] == Decimal("21.90")

    def test_is_that_of_the_payer_where_a_place_names_no_country_anybody_knows(
        self, world: BillingWorld
    ) -> None:
        service = world.service(
            world.payer(), world.product("seat"), "10.00", site="Depot", country="Somewhere"
        )
        world.start(service, JUL)

        world.bill(JUL)

        assert [d["total"] for d in world.documents()] == [Decimal("11.90")]

    def test_is_billed_to_a_business_abroad_that_owes_it_itself(self, world: BillingWorld) -> None:
        world.tax("0", country="FR", customer="business", treatment="reverse_charge")
        world.tax("20", country="FR")
        for kind in ("business", "person"):
            sell(world, world.payer(country="FR", kind=kind), "10.00")

        world.bill(JUL)

        assert [(d["total"], d["lines"][0]["tax_treatment"]) for d in world.documents()] == [
            (Decimal("10.00"), "reverse_charge"),
            (Decimal("12.00"), "exclusive"),
        ]
