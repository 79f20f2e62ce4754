"""Catalogue files become dated entries, once, or a message that names file and line."""

import shutil
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from connector.catalog.load import load_catalog
from connector.catalog.queries import (
    prices_on,
    products_by_keys,
    tax_percent,
)
from connector.catalog.source import BadFile
from connector.store.tables.catalog import (
    allowance,
    meter_price,
    price_entry,
    rate,
    rate_deck,
    rate_plan,
    tax_rate,
)

EXAMPLE = Path(__file__).parent / "data"
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLE, tmp_path / "catalog")
    return tmp_path / "catalog"


def edit(folder: Path, old: str, new: str, file: str = "catalog.yaml") -> None:
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def line_with(folder: Path, text: str) -> str:
    lines = (folder / "catalog.yaml").read_text().splitlines()
    return next(line for line in lines if text in line)


def trunk_price(tx: Connection, on: date) -> Decimal:
    product = products_by_keys(tx, ["sip-trunk"])["sip-trunk"]
    prices = prices_on(tx=tx, product_ids=[product.id], currency="EUR", on=on)
    (price,) = (entry for entry in prices[product.id, "NEW"] if entry.term_months == 24)
    return price.mr_price


class TestLoading:
    def test_makes_everything_the_files_state(self, tx: Connection) -> None:
        report = load_catalog(tx=tx, folder=EXAMPLE, now=NOW)

        assert (report.brands, report.products, report.prices_opened) == (1, 4, 6)
        assert (report.deck_versions, report.rates, report.taxes) == (1, 7, 2)
        product = products_by_keys(tx, ["sip-trunk"])["sip-trunk"]
        assert product.rate_plan_key == "trunk-flex"
        assert product.is_location_based
        assert set(products_by_keys(tx, ["cloud", "router", "nobody"])) == {"cloud", "router"}
        assert trunk_price(tx, date(2026, 6, 1)) == Decimal("19.90")
        assert tax_percent(
            tx=tx, country="DE", category="standard", on=date(2026, 6, 1)
        ) == Decimal(19)

    def test_keeps_prices_as_exact_integers_for_rating(self, tx: Connection) -> None:
        load_catalog(tx=tx, folder=EXAMPLE, now=NOW)

        uk = tx.execute(select(rate).where(rate.c.prefix == "44")).one()
        egress = tx.execute(select(meter_price).where(meter_price.c.meter == "egress-gb")).one()

        assert (uk.sell_units, uk.cost_units, uk.connection_units, uk.scale) == (29, 11, 50, 3)
        assert (egress.sell_units, egress.cost_units, egress.scale, egress.block) == (
            80,
            65,
            1,
            100,
        )

    def test_changes_nothing_when_loaded_again(self, tx: Connection, folder: Path) -> None:
        load_catalog(tx=tx, folder=folder, now=NOW)

        again = load_catalog(tx=tx, folder=folder, now=NOW)
        edit(folder, "# A complete", "# One complete")
        same_content = load_catalog(tx=tx, folder=folder, now=NOW)

        assert again.was_loaded_before
        assert (same_content.products, same_content.prices_opened, same_content.deck_versions) == (
            0,
            0,
            0,
        )
        assert tx.execute(select(func.count()).select_from(price_entry)).scalar() == 6

    def test_loads_a_former_state_again_after_another(self, tx: Connection, folder: Path) -> None:
        load_catalog(tx=tx, folder=folder, now=NOW)
        edit(folder, "name: Router", "name: Routing box")
        load_catalog(tx=tx, folder=folder, now=NOW)
        edit(folder, "name: Routing box", "name: Router")

        load_catalog(tx=tx, folder=folder, now=NOW)

        assert products_by_keys(tx, ["router"])["router"].name == "Router"


class TestDating:
    def test_closes_the_price_before_when_a_new_one_begins(
        self, tx: Connection, folder: Path
    ) -> None:
        load_catalog(tx=tx, folder=folder, now=NOW)
        old = line_with(folder, "mr: 19.90")
        edit(folder, old, old.replace("19.90", "21.90").replace("2026-01-01", "2026-07-01"))

        report = load_catalog(tx=tx, folder=folder, now=NOW)

        assert (report.prices_opened, report.prices_closed) == (1, 1)
        assert trunk_price(tx, date(2026, 6, 30)) == Decimal("19.90")
        assert trunk_price(tx, date(2026, 7, 1)) == Decimal("21.90")

    def test_refuses_to_rewrite_a_price_that_has_begun(self, tx: Connection, folder: Path) -> None:
        load_catalog(tx=tx, folder=folder, now=NOW)
        edit(folder, "mr: 19.90", "mr: 21.90")

        with pytest.raises(BadFile, match=r"catalog.yaml:\d+: .*sip-trunk.*other values"):
            load_catalog(tx=tx, folder=folder, now=NOW)

    def test_takes_another_template_without_a_date(self, tx: Connection, folder: Path) -> None:
        load_catalog(tx=tx, folder=folder, now=NOW)
        edit(folder, "template: ship", "template: ship-express")

        load_catalog(tx=tx, folder=folder, now=NOW)

        assert "ship-express" in tx.execute(select(price_entry.c.work_order_template)).scalars()

    def test_makes_the_next_deck_version_from_its_day(self, tx: Connection, folder: Path) -> None:
        load_catalog(tx=tx, folder=folder, now=NOW)
        deck = (folder / "voice-eu.csv").read_text()
        (folder / "voice-eu-2.csv").write_text(deck.replace("0.019", "0.021"))
        old = "  - {key: voice-eu, currency: EUR, file: voice-eu.csv, from: 2026-01-01}\n"
        new = "  - {key: voice-eu, currency: EUR, file: voice-eu-2.csv, from: 2026-07-01}\n"
        edit(folder, old, old + new)

        load_catalog(tx=tx, folder=folder, now=NOW)

        versions = tx.execute(
            select(rate_deck.c.version, rate_deck.c.valid_to).order_by(rate_deck.c.version)
        ).all()
        assert [tuple(row) for row in versions] == [(1, date(2026, 7, 1)), (2, None)]

    def test_dates_meter_prices_and_allowances(self, tx: Connection, folder: Path) -> None:
        load_catalog(tx=tx, folder=folder, now=NOW)
        meter = line_with(folder, "meter: vm-hour")
        edit(folder, meter, meter.replace("0.045", "0.050").replace("01-01", "07-01"))
        included = "{class: national, included: 3600, from: 2026-01-01}"
        edit(folder, included, included.replace("3600", "7200").replace("01-01", "07-01"))

        load_catalog(tx=tx, folder=folder, now=NOW)

        assert tx.execute(
            select(allowance.c.included, allowance.c.valid_to).order_by(allowance.c.valid_from)
        ).all() == [(3600, date(2026, 7, 1)), (7200, None)]
        hours = tx.execute(
            select(meter_price.c.sell_units, meter_price.c.valid_to)
            .where(meter_price.c.meter == "vm-hour")
            .order_by(meter_price.c.valid_from)
        ).all()
        assert hours == [(45, date(2026, 7, 1)), (50, None)]


class TestTaxes:
    STANDARD = "{country: DE, category: standard, percent: 19, from: 2020-01-01}"

    def test_may_differ_by_kind_of_customer_and_treatment(
        self, tx: Connection, folder: Path
    ) -> None:
        abroad = "{country: FR, category: standard, customer: business, treatment: reverse_charge, "
        edit(folder, self.STANDARD, f"{self.STANDARD}\n  - {abroad}percent: 0, from: 2020-01-01}}")

        first = load_catalog(tx=tx, folder=folder, now=NOW)
        again = load_catalog(tx=tx, folder=folder, now=NOW)

        assert (first.taxes, again.taxes) == (3, 0)
        row = tx.execute(select(tax_rate).where(tax_rate.c.country == "FR")).one()
        assert (row.customer, row.treatment, row.percent) == ("business", "reverse_charge", 0)

    def test_of_what_is_exempt_are_zero(self, tx: Connection, folder: Path) -> None:
        edit(folder, self.STANDARD, self.STANDARD.replace("percent", "treatment: exempt, percent"))

        with pytest.raises(BadFile, match=r"catalog\.yaml:15: .*'exempt' has percent 0, not 19"):
            load_catalog(tx=tx, folder=folder, now=NOW)


class TestBadFiles:
    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("kind: Widget", "kind: Gadget", "kind 'Gadget' is not known"),
            ("vendor: Cloud Two", "vendr: Cloud Two", "'vendr' is not known here"),
            ("nr: 189.00", "nr: 189,00", "nr|mapping|expected"),
            ("nr: 189.00", "nr: 1.2345678901", "more than nine decimal places"),
            ("nr: 189.00", "nr: -1", "not zero or more"),
            ("nr: 189.00", "nr: .nan", "is no number"),
            ("request: WIDGET", "request: WIDGETS", "request 'WIDGETS' is not known"),
            ("request: WIDGET", "request: RENEW", "RENEW makes no work and charges nothing once"),
            ("rate_plan: cloud-payg", "rate_plan: clod", "rate plan 'clod'"),
            ("brand: acme", "brand: nobody", "brand 'nobody'"),
            ("file: voice-eu.csv", "file: gone.csv", "'gone.csv' is not there"),
            ("file: voice-eu.csv", f"file: {'x' * 300}", "xxx' is not there"),
            ("currency: EUR, nr: 189.00", "currency: EURO, nr: 189.00", "'EURO' is not a currency"),
            ("- key: installation", "- key: router", "'router' is there twice"),
            ("name: Installation", "name: [a", "This is not YAML"),
            ("from: 2020-01-01}", "from: soon}", "from 'soon' is not a date"),
            ("deck: voice-eu", "deck: voice-us", "deck 'voice-us'"),
            ("service_class: cloud", "commitment: {window_days: 0}", "window_days must be one"),
            ("class: traffic", "class: compute", "would add up hour and GB"),
        ],
    )
    def test_name_file_line_and_problem(
        self, tx: Connection, folder: Path, old: str, new: str, message: str
    ) -> None:
        edit(folder, old, new)

        with pytest.raises(BadFile, match=rf"catalog\.yaml:\d+: .*({message})"):
            load_catalog(tx=tx, folder=folder, now=NOW)

        assert tx.execute(select(func.count()).select_from(price_entry)).scalar() == 0

    def test_name_the_line_of_a_deck(self, tx: Connection, folder: Path) -> None:
        edit(folder, "447,", "44x7,", file="voice-eu.csv")

        with pytest.raises(BadFile, match=r"voice-eu\.csv:6: Prefix '44x7' is not 1 to 15 digits"):
            load_catalog(tx=tx, folder=folder, now=NOW)

    def test_say_which_deck_columns_are_missing(self, tx: Connection, folder: Path) -> None:
        edit(folder, "prefix,destination", "prefixes,destination", file="voice-eu.csv")

        with pytest.raises(BadFile, match=r"voice-eu\.csv:1: .*lacks the columns prefix"):
            load_catalog(tx=tx, folder=folder, now=NOW)


class TestReads:
    def test_leave_out_a_product_nobody_knows(self, tx: Connection) -> None:
        assert products_by_keys(tx, ["ghost"]) == {}

    def test_leave_out_a_price_of_another_day_or_currency(self, tx: Connection) -> None:
        load_catalog(tx=tx, folder=EXAMPLE, now=NOW)
        router = products_by_keys(tx, ["router"])["router"].id

        too_early = prices_on(tx=tx, product_ids=[router], currency="EUR", on=date(2020, 1, 1))
        elsewhere = prices_on(tx=tx, product_ids=[router], currency="USD", on=date(2026, 6, 1))

        assert too_early == elsewhere == {}

    def test_plans_name_their_deck(self, tx: Connection) -> None:
        load_catalog(tx=tx, folder=EXAMPLE, now=NOW)

        plan = tx.execute(select(rate_plan).where(rate_plan.c.key == "trunk-flex")).one()

        assert plan.deck_key == "voice-eu"
