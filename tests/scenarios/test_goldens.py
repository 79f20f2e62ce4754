"""README.md says which file states which amount; it has to be true, and nothing may be left out."""

import re
from pathlib import Path

import pytest

from connector.ordering.request_types import RequestType

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
AMOUNTS = re.findall(r"^\| ([^|]+) \| ((?:`[^`]+` ?)+) \| (\S+\.yaml) \|$", PAGE, re.MULTILINE)
REFUSALS = re.findall(r"^\| ([^|]+) \| (\S+\.py)::(\w+) \|$", PAGE, re.MULTILINE)
GOLDENS = 16
LEFT_TO_TESTS = {"B23", "G2", "G7", "G10", "G12", "G13"}  # no amounts of a single file


def stated(file: Path) -> str:
    """Return what a file says but for its title, where an amount would prove nothing."""
    return re.sub(r"^about:.*$", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize(("what", "amounts", "file"), AMOUNTS, ids=lambda one: str(one)[:40])
def test_the_file_states_the_amount(what: str, amounts: str, file: str) -> None:
    text = stated(FOLDER / file)

    missing = [
        amount
        for amount in re.findall(r"`([^`]+)`", amounts)
        if not re.search(rf"(?<![\d.-]){re.escape(amount)}(?![\d.])", text)
    ]

    assert missing == [], what


def test_every_golden_and_every_request_and_row_is_there() -> None:
    named = [what for what, _, _ in AMOUNTS]
    goldens = {int(match[1]) for what in named if (match := re.match(r"(\d+) ", what))}
    requests = {re.split(r"\W", what)[0] for what in named}
    rows = {match[0] for what in named if (match := re.match(r"[BFG]\d+", what))}
    wanted = {"B3", "B7", "B8", "B21", "B22", "B23", "B24"} | {f"G{n}" for n in range(1, 16)}

    assert goldens == set(range(1, GOLDENS + 1))
    assert set(RequestType) - requests <= {"RESUME"}  # with SUSPEND
    assert wanted - rows == LEFT_TO_TESTS


@pytest.mark.parametrize(("what", "file", "name"), REFUSALS, ids=lambda one: str(one)[:40])
def test_what_is_refused_has_its_test(what: str, file: str, name: str) -> None:
    assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), what


def test_the_tables_are_read() -> None:
    assert len(AMOUNTS) >= 50
    assert len(REFUSALS) == 8
