"""What the mission table claims as shown is shown by a test that exists."""

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "mission.md").read_text(encoding="utf-8")
ROWS = {
    match[1]: (match[2].strip(), match[3].strip())
    for match in re.finditer(
        r"^\| ([A-HP]\d+) \|[^|]+\|([^|]+)\|([^|]+)\|$", PAGE, flags=re.MULTILINE
    )
}
SIZES = {"A": 9, "B": 24, "C": 28, "D": 15, "E": 9, "F": 15, "G": 15, "H": 16, "P": 10}


def names_in(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }


def test_every_claim_names_a_test_that_exists() -> None:
    wrong = []
    for row, (_, told) in ROWS.items():
        match = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", told)
        if match is None or match[2] not in names_in(ROOT / match[1]):
            wrong.append(row)

    assert len(ROWS) > 20
    assert wrong == []


def test_every_state_is_one_of_two() -> None:
    assert {state.split(":")[0] for state, _ in ROWS.values()} == {"shown", "partly"}


def test_the_counts_are_those_of_the_rows() -> None:
    counted = Counter((row[0], state.split(":")[0]) for row, (state, _) in ROWS.items())
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
