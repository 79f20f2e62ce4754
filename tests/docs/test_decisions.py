"""Every dependency has its line: why, licence, way out."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGE = (ROOT / "docs" / "decisions" / "dependencies.md").read_text(encoding="utf-8")


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=]", requirement)[0] for requirement in requirements}


def listed(part: str) -> set[str]:
    rows = re.findall(r"^\| ([a-z0-9-]+) \|", part, flags=re.MULTILINE)
    return set(rows) - {"package"}


def test_every_dependency_has_its_line_and_nothing_else_has() -> None:
    run_time, development = PAGE.split("## For development only")

    assert listed(run_time) == names(PROJECT["dependencies"])
    assert listed(development) == names(PROJECT["optional-dependencies"]["dev"])


def test_every_record_says_context_decision_consequences_and_alternatives() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))

    assert len(records) >= 3
    for record in records:
        text = record.read_text(encoding="utf-8")
        for part in ("**Context.**", "**Decision.**", "**Consequences.**", "**Alternatives.**"):
            assert part in text, record.name
