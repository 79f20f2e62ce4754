"""What the mission table claims as shown is shown by a test that exists, or by a scenario."""

import ast
import re
from collections import Counter
from pathlib import Path

from connector.cli.mission import read_rows
from connector.cli.price_file import asked_prices, is_price_file
from connector.simulation.checks import differences
from connector.simulation.outcome import outcome
from connector.simulation.play import play
from connector.simulation.read import read_script

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "mission.md").read_text(encoding="utf-8")
ROWS = read_rows(PAGE)
SIZES = {"A": 9, "B": 24, "C": 28, "D": 15, "E": 9, "F": 15, "G": 15, "H": 16, "P": 10}


def names_in(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }


def is_test_of_every_run(claim: str) -> bool:
    match = re.fullmatch(r"(tests/[\w/]+\.py)::(test_\w+)", claim)
    return match is not None and match[2] in names_in(ROOT / match[1])


def comes_out_as_it_says(claim: str) -> bool:
    if is_price_file(ROOT / claim):
        return all(is_so for _, is_so in asked_prices(ROOT / claim))
    script, _ = read_script(ROOT / claim)
    return script.then is not None and differences(script, outcome(play(script))) == []


def test_every_claim_holds() -> None:
    wrong = [
        (row.name, claim)
        for row in ROWS.values()
        for claim in row.claims or ("nothing",)
        if not (
            comes_out_as_it_says(claim) if claim.endswith(".yaml") else is_test_of_every_run(claim)
        )
    ]

    assert len(ROWS) > 20
    assert wrong == []


def test_every_state_is_one_of_two() -> None:
    assert {row.state.split(":")[0] for row in ROWS.values()} == {"shown", "partly"}


def test_the_counts_are_those_of_the_rows() -> None:
    counted = Counter((row.name[0], row.state.split(":")[0]) for row in ROWS.values())
    told = {
        match[1]: (int(match[2]), int(match[3]), int(match[4]))
        for match in re.finditer(
            r"^\| ([A-HP]) [^|]+\| (\d+) \| (\d+) \| (\d+) \|$", PAGE, flags=re.MULTILINE
        )
    }

    assert told == {
        group: (size, counted[group, "shown"], counted[group, "partly"])
        for group, size in SIZES.items()
    }


def test_every_other_row_is_named_as_not_yet() -> None:
    named = set(ROWS)
    for told in re.findall(r"^Not yet: (.*?)\n\n", PAGE + "\n\n", flags=re.MULTILINE | re.DOTALL):
        named |= set(re.findall(r"\b[A-HP]\d+\b", told))
        for group, first, last in re.findall(r"\b([A-HP])(\d+) to \1(\d+)\b", told):
            named |= {f"{group}{number}" for number in range(int(first), int(last) + 1)}

    wanted = {f"{group}{n}" for group, size in SIZES.items() for n in range(1, size + 1)}
    assert named == wanted
