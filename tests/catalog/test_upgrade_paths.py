"""Upgrade paths of the files: what may follow what, and what contradicts itself (row B11)."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Connection

from connector.catalog.load import load_catalog
from connector.catalog.queries import products_by_keys
from connector.catalog.source import BadFile
from connector.catalog.upgrade_paths import upgrade_paths_of
from connector.cli.catalog import check

NOW = datetime(2026, 6, 1, tzinfo=UTC)
FILE = """\
brands: [{key: b, name: B, invoice_prefix: B}]
products:
  - {key: a, brand: b, name: A, service_class: line, upgrades_to: [c]}
  - {key: c, brand: b, name: C, service_class: line, prices: [PRICE]}
  - {key: x, brand: b, name: X, service_class: line}
  - {key: y, brand: b, name: Y, service_class: line}
  - {key: z, brand: b, name: Z, service_class: cloud}
"""
PRICE = "{request: UPGRADE, currency: EUR, mr: 5, from: 2026-01-01}"


def written(folder: Path, text: str = FILE, price: str = PRICE) -> Path:
    (folder / "catalog.yaml").write_text(text.replace("PRICE", price))
    return folder


@pytest.mark.parametrize(
    ("present", "wanted", "is_upgrade", "reason"),
    [
        ("a", "c", True, None),
        ("c", "a", False, None),
        ("a", "a", True, None),
        ("x", "y", True, None),
        ("a", "x", True, "no path leads up from 'a' to 'x' (paths up from there: a > c)"),
        ("c", "x", False, "no path leads down from 'c' to 'x' (paths down from there: c > a)"),
        ("c", "a", True, "no path leads up from 'c' to 'a' (paths up from there: none)"),
        ("x", "a", True, "no path leads up from 'x' to 'a' (paths up from there: none)"),
        ("x", "z", True, "'x' is of the service class 'line', 'z' of 'cloud'"),
    ],
)
def test_lead_up_as_declared_and_down_the_other_way(
    tx: Connection, tmp_path: Path, present: str, wanted: str, is_upgrade: bool, reason: str | None
) -> None:
    load_catalog(tx=tx, folder=written(tmp_path), now=NOW)
    products = products_by_keys(tx, {present, wanted})

    paths = upgrade_paths_of(tx=tx, keys=products.keys())

    told = paths.why_not(present=products[present], wanted=products[wanted], is_upgrade=is_upgrade)
    assert told == reason


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("upgrades_to: [c]", "upgrades_to: [q]", "Product 'a' names the product 'q', which no"),
        ("upgrades_to: [c]", "upgrades_to: [a]", "Upgrades of 'a' lead back to it: a > a."),
        ("prices:", "upgrades_to: [a], prices:", "Upgrades of 'a' lead back to it: a > c > a."),
        (PRICE, "", "'a' upgrades to 'c', which has no price for it."),
    ],
)
def test_are_checked_over_all_files(tmp_path: Path, old: str, new: str, problem: str) -> None:
    written(tmp_path, FILE.replace("PRICE", PRICE).replace(old, new))

    result = CliRunner().invoke(check, [str(tmp_path), "--json"], standalone_mode=False)

    found = [one["problem"] for one in json.loads(result.stdout)["findings"]]
    assert any(one.startswith(problem) for one in found)
    assert result.return_value == 2


def test_in_a_circle_or_to_nobody_are_not_loaded(tx: Connection, tmp_path: Path) -> None:
    written(tmp_path, FILE.replace("prices:", "upgrades_to: [a], prices:"))
    with pytest.raises(BadFile, match=r"catalog.yaml:3: .*lead back to it"):
        load_catalog(tx=tx, folder=tmp_path, now=NOW)

    written(tmp_path, FILE.replace("[c]", "[q]"))
    with pytest.raises(BadFile, match=r"catalog.yaml:3: Product 'a' upgrades to 'q'"):
        load_catalog(tx=tx, folder=tmp_path, now=NOW)
