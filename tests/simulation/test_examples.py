"""The examples of the guides do what the guides say."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from connector.cli.main import cli

GUIDES = Path(__file__).parents[2] / "docs" / "how-to"
EXAMPLES = [
    (guide, block)
    for guide in ("simulate", "estimate")
    for block in re.findall(
        r"^```yaml\n(.*?)^```$",
        (GUIDES / f"{guide}.md").read_text(encoding="utf-8"),
        flags=re.MULTILINE | re.DOTALL,
    )
]


@pytest.mark.parametrize(("command", "text"), EXAMPLES)
def test_an_example_runs(command: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "example.yaml"
    file.write_text(text, encoding="utf-8")

    result = CliRunner().invoke(cli, [command, str(file)], standalone_mode=False)

    assert result.exception is None, result.exception
    assert not result.return_value, result.stderr


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize(
    "said", ["Due now 31.67", "50.00 on 1 July", "50.00 a month", "600.00 over twelve months"]
)
def test_the_guide_of_estimates_says_what_comes_out(said: str, tmp_path: Path) -> None:
    file = tmp_path / "example.yaml"
    file.write_text(EXAMPLES[1][1], encoding="utf-8")

    shown = CliRunner().invoke(cli, ["estimate", str(file)], standalone_mode=False).stdout

    assert said in (GUIDES / "estimate.md").read_text(encoding="utf-8")
    amount = next(word for word in said.split() if "." in word)
    assert amount in shown
