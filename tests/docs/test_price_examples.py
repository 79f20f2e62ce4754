"""The page about prices says what `l2c price` answers."""

import json
import re
from pathlib import Path

import pytest

from connector.catalog.pricing.reading import MODELS
from connector.cli.price import answer_to

PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "prices.md"
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
PAIRS = list(zip(EXAMPLES[::2], EXAMPLES[1::2], strict=True))


@pytest.mark.parametrize(("question", "answer"), PAIRS)
def test_an_example_is_answered_as_it_says(question: str, answer: str) -> None:
    assert answer_to(question.encode(), 1) == json.loads(answer)


def test_there_are_examples() -> None:
    assert len(PAIRS) >= 3


def test_every_model_and_field_is_told() -> None:
    told = set(re.findall(r"`(\w+)`", PAGE.read_text(encoding="utf-8")))

    assert {name for known, _ in MODELS.values() for name in known} | set(MODELS) <= told | {
        "policy"  # told as `policy.flat_at_zero`
    }
