"""Asks `l2c price` what every `prices/*.yaml` asks; the grammar is in prices/README.md."""

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from connector.cli.price import price

FOLDER = Path(__file__).parent / "prices"
FILES = sorted(FOLDER.glob("*.yaml"))
KEYS = {"about", "currency", "prices"}
ENTRY_KEYS = {"ask", "amount", "steps", "parts"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_costs_what_was_worked_out_by_hand(path: Path) -> None:
    script = yaml.safe_load(path.read_text(encoding="utf-8"))
    wanted = script["prices"]
    assert set(script) <= KEYS
    assert all(set(entry) <= ENTRY_KEYS for entry in wanted)

    answers = ask([{"currency": script.get("currency", "EUR")} | one["ask"] for one in wanted])

    assert [answer.get("amount", answer) for answer in answers] == [one["amount"] for one in wanted]
    for answer, one in zip(answers, wanted, strict=True):
        steps = [Fraction(step["amount"]) for step in answer["explanation"]]
        assert sum(steps) == Fraction(answer["unrounded"])
        assert steps == [Fraction(step) for step in one.get("steps", steps)]
        parts = {part["name"]: part["amount"] for part in answer.get("parts", [])}
        assert parts == one.get("parts", {})
        assert sum(map(Decimal, parts.values())) in (0, Decimal(answer["amount"]))


def test_there_are_prices() -> None:
    assert len(FILES) >= 15


def ask(questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    lines = "\n".join(json.dumps(question) for question in questions)
    result = CliRunner().invoke(price, ["--json"], input=lines, standalone_mode=False)
    return [json.loads(line) for line in result.stdout.splitlines()]
