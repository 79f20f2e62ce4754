"""Rows G14 and G15: bought in dollars by a vendor's rules, sold in euros at the rate of the day."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from connector.catalog.files import inspect_catalog
from connector.catalog.load import load_catalog
from connector.catalog.pricing.document import read_pricing
from connector.catalog.queries import prices_on, products_by_keys
from connector.catalog.source import BadFile
from connector.store.tables.catalog import class_price, price_entry

NOW = datetime(2026, 6, 1, tzinfo=UTC)
RATES = """\
fx_rates:
  - {base: USD, quote: EUR, rate: 0.92, from: 2026-01-01}
  - {base: USD, quote: EUR, rate: 0.9, from: 2026-07-01}
  - {base: USD, quote: EUR, rate: 0.85, from: 2026-10-01}
"""
SHOP = """\
brands: [{key: b, name: B, invoice_prefix: B}]
products:
  - key: server
    brand: b
    name: Server
    prices:
      - request: NEW
        currency: EUR
        from: 2026-02-01
        until: 2026-09-01
        pricing: {model: resale, unit_cost: 1000, cost_currency: USD, margin: 0.1}
      - request: NEW
        currency: EUR
        from: 2026-09-01
        pricing: {model: resale, unit_cost: 1000, fx_rate: 0.92, markup: 0.1}
  - key: licence
    brand: b
    name: Licence
    prices:
      - request: NEW
        currency: EUR
        from: 2026-07-01
        pricing: {model: vendor_licence, unit_cost: 7.777, cost_currency: USD}
rate_plans:
  - key: meters
    name: Meters
    currency: EUR
    class_prices:
      - class: compute
        from: 2026-06-01
        pricing: {model: vendor_usage, unit_cost: 0.0277, cost_currency: USD}
"""

Priced = Callable[[str, date, int], Decimal]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.yaml").write_text(SHOP)
    (tmp_path / "rates.yaml").write_text(RATES)
    return tmp_path


def costs(tx: Connection, key: str, on: date, quantity: int = 1) -> Fraction:
    product = products_by_keys(tx, [key])[key]
    ((entry,),) = prices_on(tx=tx, product_ids=[product.id], currency="EUR", on=on).values()
    assert entry.pricing is not None
    return read_pricing(entry.pricing).unrounded(Decimal(quantity))[1]


def test_a_price_changes_on_the_day_its_rate_does(tx: Connection, folder: Path) -> None:
    load_catalog(tx=tx, folder=folder, now=NOW)

    assert costs(tx, "server", date(2026, 6, 30)) == Fraction(9200, 9)  # 1,022.22
    assert costs(tx, "server", date(2026, 7, 1)) == 1000
    assert costs(tx, "server", date(2026, 10, 1)) == 1012  # at a rate of its own


def test_a_vendors_rounding_is_named_in_the_file_and_honoured(tx: Connection, folder: Path) -> None:
    load_catalog(tx=tx, folder=folder, now=NOW)

    assert costs(tx, "licence", date(2026, 7, 1), 13) == Fraction("90.87")
    documents = tx.scalars(select(class_price.c.pricing).order_by(class_price.c.valid_from)).all()
    totals = [read_pricing(one).unrounded(Decimal(10))[1] for one in documents]
    assert totals == [Fraction("0.24"), Fraction("0.24"), Fraction("0.22")]


def test_a_new_rate_ends_the_price_before_it_and_rewrites_none(
    tx: Connection, folder: Path
) -> None:
    load_catalog(tx=tx, folder=folder, now=NOW)
    later = "  - {base: USD, quote: EUR, rate: 0.8, from: 2026-12-01}\n"
    (folder / "rates.yaml").write_text(RATES + later)

    report = load_catalog(tx=tx, folder=folder, now=NOW)

    assert (report.prices_opened, report.prices_closed) == (1, 1)
    assert costs(tx, "licence", date(2026, 12, 1)) == Fraction("6.22")
    again = load_catalog(tx=tx, folder=folder, now=NOW)
    assert again.was_loaded_before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("from: 2026-02-01", "from: 2025-02-01", "shop.yaml:7: .*no rate of USD in EUR on 2025"),
        ("cost_currency: USD, m", "cost_currency: GBP, m", "no rate of GBP in EUR"),
        ("cost_currency: USD, m", "cost_currency: USX, m", "'USX' is not a currency"),
        ("fx_rate: 0.92", "fx_rate: 0.92, cost_currency: USD", "have no fx_rate"),
        (
            "pricing: {model: vendor_l",
            "nr_pricing: {model: vendor_l",
            "charged once does not follow",
        ),
        ("model: vendor_licence", "model: per_unit", "begin with a cost|no such field"),
    ],
)
def test_what_cannot_be_converted_is_refused_and_nothing_is_loaded(
    tx: Connection, folder: Path, old: str, new: str, message: str
) -> None:
    (folder / "shop.yaml").write_text(SHOP.replace(old, new, 1))

    with pytest.raises(BadFile, match=message):
        load_catalog(tx=tx, folder=folder, now=NOW)

    assert tx.execute(select(price_entry)).all() == []


@pytest.mark.parametrize("wrong", ["rate: 0,", "quote: USD,"])
def test_a_rate_that_is_none_is_refused(folder: Path, wrong: str) -> None:
    key = wrong.split(":")[0]
    first = RATES.splitlines()[1]
    value = first.split(f"{key}: ")[1].split(",")[0]
    (folder / "rates.yaml").write_text(RATES.replace(f"{key}: {value},", wrong, 1))

    _, findings = inspect_catalog([folder])

    assert findings[0].line == 2
    assert "is no rate" in findings[0].problem
