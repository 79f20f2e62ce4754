"""`l2c mission` runs what the page names, and says when it is not so."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from connector.cli.mission import NoSuchRow, mission
from connector.errors import Misconfigured

PAGE = """
| row | what | state | test |
|---|---|---|---|
| B1 | a sum | shown | `tests/test_sums.py::test_two_and_two_are_four` |
| B2 | another sum | partly: not | `tests/test_sums.py::test_two_and_two_are_five` |
| G3 | pay for the days | shown | `tests/days.yaml` |
| G9 | tiers | shown | `tests/prices/tiers.yaml` |
"""
SUMS = """
def test_two_and_two_are_four(): assert 2 + 2 == 4
def test_two_and_two_are_five(): assert 2 + 2 == 5
"""
DAYS = """
about: Half of June.
calendar: {currency: EUR}
catalogue: {small: "30.00"}
events: [{at: 2026-06-16, start: s1, plan: small}]
until: 2026-07-01
then: {invoices: [{date: 2026-07-01, lines: ["15.00", "30.00"]}]}
"""
PRICES = """
about: Three seats.
prices: [{ask: {model: per_unit, unit_price: "7.00", quantity: "3"}, amount: "21.00"}]
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "docs" / "mission.md").write_text(PAGE)
    (tmp_path / "tests" / "test_sums.py").write_text(SUMS)
    (tmp_path / "tests" / "days.yaml").write_text(DAYS)
    (tmp_path / "tests" / "prices").mkdir()
    (tmp_path / "tests" / "prices" / "tiers.yaml").write_text(PRICES)
    monkeypatch.chdir(tmp_path / "tests")
    return tmp_path


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(mission, arguments, standalone_mode=False, catch_exceptions=False)
    return done.return_value or 0, done.output


def test_says_what_passes_and_what_does_not(checkout: Path) -> None:
    code, said = run("run", "B1", "B2")

    assert code == 1
    assert "passed: two and two are four" in said
    assert "FAILED: two and two are five" in said


def test_shows_input_output_and_verdict_of_a_scenario(checkout: Path) -> None:
    code, said = run("run", "G3")

    assert code == 0
    assert said.index("about: Half of June.") < said.index("15.00") < said.index("as it should")


def test_a_scenario_that_comes_out_otherwise_fails(checkout: Path) -> None:
    (checkout / "tests" / "days.yaml").write_text(DAYS.replace('"15.00"', '"16.00"'))

    assert run("run", "G3")[0] == 1


def test_asks_the_prices_of_a_file_and_fails_when_one_differs(checkout: Path) -> None:
    code, said = run("run", "G9")
    (checkout / "tests" / "prices" / "tiers.yaml").write_text(PRICES.replace("21.00", "20.00"))

    assert (code, run("run", "G9")[0]) == (0, 1)
    assert said.index("about: Three seats.") < said.index("21.00  (exactly 21)")


def test_lists_the_rows_of_a_group(checkout: Path) -> None:
    _, said = run("list", "G")

    assert "pay for the days" in said
    assert "a sum" not in said


def test_a_row_nobody_shows_is_refused(checkout: Path) -> None:
    with pytest.raises(NoSuchRow, match="F1"):
        run("run", "F1")


def test_outside_a_checkout_it_says_where_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(Misconfigured, match=r"mission\.md") as refused:
        run("list")

    assert "clone" in refused.value.remedy
