"""`l2c simulate` and `l2c estimate` as people and scripts use them."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from billing_world import BillingWorld
from click.testing import CliRunner, Result

from connector.cli.main import cli
from connector.store.engine import Store

LIFE = """\
calendar: {currency: EUR, timezone: Europe/Berlin, anchor_day: 1, every: month}
policy: {basis: actual, bill_first_day: true, bill_last_day: false, rounding: half_up}
tax: "19"
catalogue: {fibre-100: {recurring: "30.00", when: advance}, fibre-500: {recurring: "60.00"}}
events:
  - {at: 2026-06-01, start: s1, plan: fibre-100}
  - {at: 2026-06-16, change: s1, plan: fibre-500}
  - {at: 2026-09-10, cancel: s1}
until: 2026-10-01
"""
FIVE_SEATS = """\
calendar: {currency: EUR, anchor_day: 1}
catalogue: {seat: "10.00"}
at: 2026-06-12
term_months: 12
basket: [{plan: seat, quantity: 5}]
"""
SCHEMES = """\
calendar: {currency: EUR}
at: 2026-06-01
catalogue:
  hourly: {recurring: "90.00", when: arrears}
  term: {recurring: "60.00", once: "120.00"}
  metered: {usage: {price: "0.10"}}
schemes:
  pay as you go: [{plan: hourly}]
  term: [{plan: term}]
  pay per use: [{plan: metered, units_per_month: 730}]
"""


def run(command: str, path: Path, text: str, *options: str) -> Result:
    path.write_text(text, encoding="utf-8")
    return CliRunner().invoke(
        cli, [command, str(path), *options], standalone_mode=False, catch_exceptions=False
    )


class TestSimulate:
    def test_prints_every_document_with_its_lines_and_why(self, tmp_path: Path) -> None:
        shown = json.loads(run("simulate", tmp_path / "life.yaml", LIFE, "--json").stdout)

        july = shown["invoices"][1]
        assert [one["total"] for one in shown["invoices"]] == [
            "35.70", "89.25", "71.40", "71.40", "-49.98",
        ]  # fmt: skip
        assert (july["type"], july["date"]) == ("Invoice", "2026-07-01")
        assert (july["period_start"], july["period_end"]) == ("2026-07-01", "2026-08-01")
        assert july["tax"] == [
            {"category": "standard", "percent": "19", "basis": "75.00", "tax": "14.25"}
        ]
        assert {key: july["lines"][2][key] for key in ("kind", "service", "from", "to")} == {
            "kind": "Credit",
            "service": "s1",
            "from": "2026-06-16",
            "to": "2026-07-01",
        }
        assert july["lines"][2]["amount"] == "-15.00"
        assert july["lines"][2]["explanation"]["parts"][-1]["amount"] == "-30.00"

    def test_writes_amounts_in_the_places_of_the_currency(self, tmp_path: Path) -> None:
        yen = LIFE.replace("EUR", "JPY").replace("30.00", "1000")

        shown = json.loads(run("simulate", tmp_path / "life.yaml", yen, "--json").stdout)

        assert shown["invoices"][0]["total"] == "1190"

    def test_is_read_by_people_too(self, tmp_path: Path) -> None:
        shown = run("simulate", tmp_path / "life.yaml", LIFE).stdout

        assert "SIM-2 Invoice of 2026-07-01" in shown
        assert "fibre-100, unused: 15 of 30 days" in shown

    def test_tells_what_is_not_as_expected_and_fails(self, tmp_path: Path) -> None:
        wrong = LIFE + 'then: {totals: {2026-07-01: "89.26"}, lines: [{amount: "1.00"}]}\n'

        result = run("simulate", tmp_path / "life.yaml", wrong)

        assert result.return_value == 1
        assert "totals: 2026-07-01 is 89.25, not 89.26" in result.stderr
        assert "no line with amount 1.00" in result.stderr

    def test_fails_when_nothing_was_refused_that_should_have_been(self, tmp_path: Path) -> None:
        wrong = LIFE + "then: {refused: charging.before_start}\n"

        assert run("simulate", tmp_path / "life.yaml", wrong).return_value == 1


class TestEstimate:
    def test_of_five_seats_says_due_now_next_invoice_monthly_and_total(
        self, tmp_path: Path
    ) -> None:
        """Row B22: 19 of 30 days of 5 × 10.00."""
        shown = json.loads(run("estimate", tmp_path / "seats.yaml", FIVE_SEATS, "--json").stdout)

        assert shown["due_now"]["amount"] == "31.67"
        assert shown["due_now"]["invoiced_on"] == "2026-06-12"
        assert shown["next_invoice"]["total"] == "50.00"
        assert (shown["monthly"], shown["total"]) == ("50.00", "600.00")

    def test_is_the_line_of_the_later_real_invoice(self, tmp_path: Path, store: Store) -> None:
        shown = json.loads(run("estimate", tmp_path / "seats.yaml", FIVE_SEATS, "--json").stdout)
        (due,) = shown["due_now"]["lines"]
        world = BillingWorld(store)
        world.tax("0")
        payer = world.payer()
        from_june = world.service(payer, world.product("seat"), "10.00", quantity="5")
        world.start(from_june, date.fromisoformat(due["from"]))

        world.bill(date.fromisoformat("2026-07-01"))

        (invoice,) = world.documents()
        billed = {line["amount"]: line["explanation"]["value"] for line in invoice["lines"]}
        assert billed[Decimal(due["amount"])] == due["explanation"]["value"]
        assert Decimal(shown["next_invoice"]["total"]) in billed

    def test_lays_schemes_side_by_side_and_names_the_cheapest(self, tmp_path: Path) -> None:
        """Row B23."""
        shown = json.loads(run("estimate", tmp_path / "tco.yaml", SCHEMES, "--json").stdout)

        assert {row["scheme"]: row["totals"] for row in shown["schemes"]} == {
            "pay as you go": {"12": "1080.00", "36": "3240.00"},
            "term": {"12": "840.00", "36": "2280.00"},
            "pay per use": {"12": "876.00", "36": "2628.00"},
        }
        assert [row["scheme"] for row in shown["schemes"] if row["is_cheapest"]] == ["term"]
        assert shown["schemes"][1]["arithmetic"]["12"] == [
            {"text": "term, by the period", "amount": "720.00"},
            {"text": "term, once", "amount": "120.00"},
        ]

    def test_is_read_by_people_too(self, tmp_path: Path) -> None:
        assert "cheapest" in run("estimate", tmp_path / "tco.yaml", SCHEMES).stdout

    @pytest.mark.parametrize("wrong", ["basket: []", "colour: red"])
    def test_of_nonsense_is_refused_with_its_line(self, tmp_path: Path, wrong: str) -> None:
        path = tmp_path / "seats.yaml"
        path.write_text(FIVE_SEATS.replace("basket: [{plan: seat, quantity: 5}]", wrong))

        result = CliRunner().invoke(cli, ["estimate", str(path)], standalone_mode=False)

        assert f"{path}, line 5: " in str(result.exception)
