"""All that is wrong with files is said at once, and what loading would change before it does."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection, select

from connector.catalog.diff import catalog_differences
from connector.catalog.load import load_catalog
from connector.catalog.source import BadFile
from connector.cli.catalog import check
from connector.store.tables.catalog import product

NOW = datetime(2026, 6, 1, tzinfo=UTC)
BRAND = "brands: [{key: b, name: B, invoice_prefix: B}]\n"
BAD = """\
products:
  - key: seat
    brand: b
    name: Seat
    prices:
      - {request: NEW, currency: EUX, mr: 1, from: 2026-01-01}
      - request: NEW
        currency: EUR
        from: 2026-01-01
        pricing: {model: graduated, tiers: [{up_to: 10, unit_price: 1}]}
  - key: pack
    brand: b
    name: Pack
    bundle: [{product: seat, weight: 1}, {product: seat, weight: 2}]
discounts:
  - {key: odd, percent: 10, amount: 2, from: 2026-01-01}
  - {key: back, percent: 10, from: 2026-02-01, until: 2026-01-01}
vendor_rules: [{vendor: V, min_services: 0, percent: 10, from: 2026-01-01}]
typo: 1
"""
GOOD = (
    BRAND
    + """\
products:
  - key: seat
    brand: b
    name: Seat
    prices:
      - request: NEW
        currency: EUR
        from: 2026-01-01
        pricing: {model: volume, tiers: [{up_to: 10, unit_price: 2}, {up_to: null, unit_price: 1}]}
discounts: [{key: d, percent: 10, products: [seat], from: 2026-01-01}]
"""
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.yaml").write_text(GOOD)
    return tmp_path


def test_every_finding_has_its_file_line_and_remedy(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(BAD)

    result = CliRunner().invoke(check, [str(file), "--json"], standalone_mode=False)

    findings = json.loads(result.stdout)["findings"]
    assert result.return_value == 2
    assert {one["file"] for one in findings} == {str(file)}
    assert [(one["line"], one["problem"]) for one in findings] == [
        (6, "'EUX' is not a currency."),
        (10, "tiers: no price beyond the last bound."),
        (14, "The part 'seat' is there twice."),
        (16, "A discount is one of percent, amount, price and markup."),
        (17, "The discount ends (2026-01-01) before it begins."),
        (18, "10 % for 0 services is no rule."),
        (19, "'typo' is not known here."),
    ]
    assert findings[1]["remedy"]


def test_a_load_is_told_before_it_happens(tx: Connection, folder: Path) -> None:
    load_catalog(tx=tx, folder=folder, now=NOW)
    more = GOOD.replace(
        "discounts:",
        "      - {request: NEW, currency: EUR, mr: 3, from: 2026-07-01}\ndiscounts:",
    )
    (folder / "shop.yaml").write_text(more.replace("name: Seat", "name: Chair"))

    found = catalog_differences(tx=tx, folder=folder, now=NOW)

    assert [(one.kind, one.change, one.on) for one in found] == [
        ("price", "ends", date(2026, 7, 1)),
        ("price", "new", date(2026, 7, 1)),
        ("product", "changed", None),
    ]
    assert str(found[2]) == "product seat: changed, name Seat -> Chair, display_name Seat -> Chair"


def test_what_leaving_early_costs_is_kept_with_the_product(tx: Connection, folder: Path) -> None:
    bands = "early_termination: {bands: [{from_month: 1, percent: 100}], flat: 10}"
    (folder / "shop.yaml").write_text(
        GOOD.replace("    name: Seat\n", f"    name: Seat\n    {bands}\n")
    )

    load_catalog(tx=tx, folder=folder, now=NOW)

    kept = tx.execute(select(product.c.early_termination)).scalar_one()
    assert kept == {"bands": [{"from_month": 1, "percent": "100"}], "flat": "10"}


def test_a_price_model_that_has_begun_is_not_rewritten(tx: Connection, folder: Path) -> None:
    load_catalog(tx=tx, folder=folder, now=NOW)
    (folder / "shop.yaml").write_text(GOOD.replace("unit_price: 1}", "unit_price: 1.5}"))

    with pytest.raises(BadFile, match=r"shop.yaml:7: The price of 'seat', NEW, 0 months"):
        load_catalog(tx=tx, folder=folder, now=NOW)


APART = {
    "names.yaml": """\
products:
  - key: seat
    brand: nobody
    name: Seat
    rate_plan: flex
  - key: office
    brand: b
    name: Office
    bundle:
      - {product: seat, weight: 1}
      - {product: chair, weight: 2}
  - key: campus
    brand: b
    name: Campus
    bundle: [{product: office, weight: 1}]
rate_plans:
  - {key: calls, name: Calls, currency: EUR, deck: voice}
discounts:
  - {key: spring, percent: 10, products: [seat, table], from: 2026-01-01}
""",
    "dates.yaml": BRAND
    + """\
products:
  - key: desk
    brand: b
    name: Desk
    prices:
      - {request: NEW, currency: EUR, mr: 1, from: 2026-01-01, until: 2026-06-01}
      - {request: NEW, currency: EUR, mr: 2, from: 2026-05-01}
      - {request: NEW, currency: EUR, mr: 3, from: 2026-05-01}
      - {request: NEW, currency: USD, mr: 3, from: 2026-05-01}
taxes:
  - {country: DE, category: standard, percent: 19, from: 2026-01-01}
  - {country: DE, category: standard, percent: 16, from: 2026-01-01}
""",
}


def test_names_without_an_entry_and_dates_that_clash_are_found_over_all_files(
    tmp_path: Path,
) -> None:
    for name, content in APART.items():
        (tmp_path / name).write_text(content)

    result = CliRunner().invoke(check, [str(tmp_path), "--json"], standalone_mode=False)

    findings = json.loads(result.stdout)["findings"]
    assert result.return_value == 2
    assert [(Path(one["file"]).name, one["line"], one["problem"]) for one in findings] == [
        ("dates.yaml", 7, "The price of 'desk', NEW, 0 months, EUR from 2026-01-01 ends on "
         "2026-06-01, but dates.yaml:8 takes its place on 2026-05-01."),
        ("dates.yaml", 9, "The price of 'desk', NEW, 0 months, EUR is there twice from "
         "2026-05-01; first in dates.yaml:8."),
        ("dates.yaml", 13, "The tax of DE, standard, for any customers is there twice from "
         "2026-01-01; first in dates.yaml:12."),
        ("names.yaml", 2, "Product 'seat' names the brand 'nobody', which no file has."),
        ("names.yaml", 2, "Product 'seat' names the rate plan 'flex', which no file has."),
        ("names.yaml", 11, "The bundle 'office' names the product 'chair', which no file has."),
        ("names.yaml", 15, "The bundle 'campus' holds 'office', a bundle."),
        ("names.yaml", 17, "Rate plan 'calls' names the deck 'voice', which no file has."),
        ("names.yaml", 19, "Discount 'spring' names the product 'table', which no file has."),
    ]  # fmt: skip
    assert all(one["remedy"] for one in findings)


def test_a_price_that_outlives_the_next_one_is_not_loaded(tx: Connection, tmp_path: Path) -> None:
    (tmp_path / "dates.yaml").write_text(APART["dates.yaml"].replace("mr: 3", "mr: 2"))

    with pytest.raises(BadFile, match=r"dates.yaml:7: .* takes its place on 2026-05-01"):
        load_catalog(tx=tx, folder=tmp_path, now=NOW)


def test_bundles_that_hold_each_other_are_refused(tx: Connection, tmp_path: Path) -> None:
    (tmp_path / "circle.yaml").write_text(
        BRAND
        + "products:\n"
        + "  - {key: egg, brand: b, name: Egg, bundle: [{product: hen, weight: 1}]}\n"
        + "  - {key: hen, brand: b, name: Hen, bundle: [{product: egg, weight: 1}]}\n"
    )

    with pytest.raises(BadFile, match=r"circle.yaml:3: .*'egg' holds 'hen', which is a bundle"):
        load_catalog(tx=tx, folder=tmp_path, now=NOW)


def test_a_price_without_a_currency_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(
        BRAND
        + "products:\n"
        + "  - {key: p, brand: b, name: P, prices: [{request: NEW, mr: 1, from: 2026-01-01}]}\n"
    )

    result = CliRunner().invoke(check, [str(tmp_path), "--json"], standalone_mode=False)

    (finding,) = json.loads(result.stdout)["findings"]
    assert (finding["line"], finding["problem"]) == (3, "An entry of prices needs 'currency'.")
