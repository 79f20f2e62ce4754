"""The tables of cases, one file per section of the fact sheet.

A case is one call, or several, and what has to come back. `{name}` in its texts stands for an id
of a record made before (`given`), for something kept from an answer (`keep`), for a column of
`each`, or for `{run}`, which no other run uses; `{a_15}` is the id of `a` in 15 characters.
`{$times: 3, of: x}` is a list of three, in which `{n}` counts from 0.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FOLDER = Path(__file__).parent / "cases"
METHODS = ("get", "post", "patch", "put", "delete", "soql", "rpc")
READING = frozenset({"get", "soql", "rpc"})


@dataclass(frozen=True, slots=True)
class Step:
    """One call and what is expected of its answer."""

    method: str
    target: str
    fields: Mapping[str, Any]  # body, form, text, headers, auth, expect, keep; ask of an rpc


@dataclass(frozen=True, slots=True)
class Case:
    """One fact, made into calls."""

    section: str
    fact: str  # such as B.4
    mark: str  # how sure the fact is: D W R C T K
    says: str
    given: Mapping[str, Any]
    steps: tuple[Step, ...]
    needs: tuple[str, ...]
    is_harmless: bool
    is_refusal: bool
    values: Mapping[str, Any]

    @property
    def title(self) -> str:
        """The case in one line."""
        return f"{self.fact} [{self.mark}] {self.says}"


@dataclass(frozen=True, slots=True)
class Part:
    """One numbered part of a section, as the coverage table shows it."""

    number: str
    title: str
    missing: str  # what the local org leaves out; empty where it leaves nothing out


@dataclass(frozen=True, slots=True)
class Table:
    """One file: a section with its parts and cases."""

    section: str
    title: str
    parts: tuple[Part, ...]
    cases: tuple[Case, ...]


@cache
def load_tables() -> tuple[Table, ...]:
    """Return all tables, in the order of their sections."""
    return tuple(_table(path) for path in sorted(FOLDER.glob("*.yaml")))


def load_cases() -> tuple[Case, ...]:
    """Return the cases of all tables."""
    return tuple(case for table in load_tables() for case in table.cases)


def _table(path: Path) -> Table:
    text = path.read_text(encoding="utf-8")
    data = yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe loader, in C or in Python
    section = data["section"]
    parts = []
    for number, about in data["parts"].items():
        about = {"title": about} if isinstance(about, str) else about
        parts.append(Part(number, about["title"], about.get("missing", "")))
    known = {part.number for part in parts}
    cases = tuple(case for item in data["cases"] for case in _cases(section, item))
    strays = {case.fact for case in cases} - known
    assert not strays, f"{path.name}: {strays} are no parts of section {section}"
    return Table(section, data["title"], tuple(parts), cases)


def _cases(section: str, item: Mapping[str, Any]) -> Iterator[Case]:
    """Return the cases of one entry: one, or one per line of `each`."""
    steps = tuple(_step(step) for step in (item, *item.get("then", ())))
    names, *rows = item.get("each", [[], []])
    for row in rows:
        values = dict(zip(names, row, strict=True))
        said = [item["fact"], item["says"]]
        for name, value in values.items():
            said = [text.replace(f"{{{name}}}", str(value)) for text in said]
        fact, _, mark = said[0].partition(" ")
        yield Case(
            section=section,
            fact=fact,
            mark=mark,
            says=said[1],
            given=item.get("given", {}),
            steps=steps,
            needs=tuple(item.get("needs", ())),
            is_harmless=item.get("harmless", _is_harmless(item, steps)),
            is_refusal=item.get("refused", False),
            values=values,
        )


def _is_harmless(item: Mapping[str, Any], steps: tuple[Step, ...]) -> bool:
    """Only reading, and nothing has to be made for it."""
    return not item.get("given") and all(step.method in READING for step in steps)


def _step(item: Mapping[str, Any]) -> Step:
    (method,) = (name for name in METHODS if name in item)
    return Step(method=method, target=item[method], fields=item)
