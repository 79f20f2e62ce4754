"""`l2c catalog rehearse`: one product from a file, quotable, deliverable, billable (row B2)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from delivery_world import DeliveryWorld, at

from connector.bootstrap import App
from connector.cli.catalog import catalog
from connector.config import Settings
from connector.errors import ConnectorError
from connector.kernel.clock import MovableClock

FILE = """\
products:
  - key: fibre
    brand: default
    name: Fibre
    location_based: true
    prices:
      - request: NEW
        term: 24
        currency: EUR
        mr: 50
        nr: 20
        renewal: Same term
        template: deliver-broadband
        from: 2026-01-01
      - {request: CANCEL, currency: EUR, template: disconnect, from: 2026-01-01}
"""


@dataclass
class OpenSession:
    opened: App

    def app(self) -> App:
        return self.opened


@pytest.fixture
def app(world: DeliveryWorld) -> Iterator[App]:
    clock = MovableClock(at(date(2026, 6, 1)))
    with App(settings=Settings(), store=world.store, clock=clock) as app:
        yield app


def run(app: App, folder: Path, text: str, *arguments: str) -> Result:
    (folder / "catalog.yaml").write_text(text)
    return CliRunner().invoke(
        catalog,
        ["rehearse", str(folder), *arguments],
        obj=OpenSession(app),
        standalone_mode=False,
        catch_exceptions=False,
    )


def told(result: Result) -> dict[str, Any]:
    (one,) = json.loads(result.stdout.splitlines()[-1])["tried"]
    return dict(one)


def test_sells_delivers_and_bills_one_product_of_a_file_in_one_run(
    app: App, tmp_path: Path
) -> None:
    result = run(app, tmp_path, FILE, "--json")

    tried = told(result)
    assert result.return_value == 0
    assert (tried["product"], tried["request_type"], tried["term_months"]) == ("fibre", "NEW", 24)
    assert (tried["monthly"], tried["once"]) == ("50.00", "20.00")
    assert (tried["template"], tried["tasks"], tried["tasks_of_people"]) == (
        "deliver-broadband", 6, 3,
    )  # fmt: skip
    # June, and 19 %; what is due once comes with the bill of July
    assert (tried["invoice_on"], tried["subtotal"], tried["total"]) == (
        "2026-06-01", "50.00", "59.50",
    )  # fmt: skip
    assert tried["took_s"] > 0


def test_prints_the_time_and_keeps_nothing(app: App, world: DeliveryWorld, tmp_path: Path) -> None:
    result = run(app, tmp_path, FILE)

    assert "1 prices sold, delivered and billed in " in result.output
    kept = [world.count(one) for one in ("account", "customer_order", "charge", "invoice")]
    assert kept == [0, 0, 0, 0]
    assert world.rows("SELECT FROM product WHERE key = 'fibre'") == []


@pytest.mark.parametrize(
    ("old", "new", "arguments", "problem"),
    [
        ("        template: deliver-broadband\n", "", (), "for NEW names no template"),
        ("deliver-broadband", "deliver-gold", (), "no work-order template 'deliver-gold'"),
        ("deliver-broadband", "ship", (), "needs Deliver"),
        ("        term: 24\n", "", (), "renews for the same term and has no term"),
        ("", "", ("--country", "FR"), "no 'standard' tax rate for FR"),
    ],
)
def test_says_what_is_missing(
    app: App, tmp_path: Path, old: str, new: str, arguments: tuple[str, ...], problem: str
) -> None:
    result = run(app, tmp_path, FILE.replace(old, new), "--json", *arguments)

    assert result.return_value == 1
    assert problem in told(result)["problem"]


def test_of_a_product_that_is_not_sold_by_itself_is_refused(app: App, tmp_path: Path) -> None:
    with pytest.raises(ConnectorError, match=r"Nothing in .* can be rehearsed"):
        run(app, tmp_path, FILE, "--product", "backup")
