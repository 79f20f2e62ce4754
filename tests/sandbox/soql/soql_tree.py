"""Queries as trees: what the generator makes, what the evaluator reads."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Expression:
    """A field (`function` is empty), a date function, an aggregate or GROUPING of a field."""

    path: tuple[str, ...] = ()
    function: str = ""
    zoned: bool = False

    @property
    def text(self) -> str:
        inner = ".".join(self.path)
        if self.zoned:
            inner = f"convertTimezone({inner})"
        return f"{self.function}({inner})" if self.function else inner


@dataclass(frozen=True)
class Test:
    """A condition over one expression; `values` are Python values or `Word`."""

    __test__ = False
    left: Expression
    operator: str
    values: tuple[Any, ...]
    text: str


@dataclass(frozen=True)
class Join:
    """A semi-join or anti-join."""

    left: Expression
    negated: bool
    source: str
    selected: Expression
    where: Any
    text: str


@dataclass(frozen=True)
class Logic:
    """AND, OR, NOT."""

    operator: str
    parts: tuple[Any, ...]

    @property
    def text(self) -> str:
        if self.operator == "NOT":
            return f"NOT ({self.parts[0].text})"
        return f" {self.operator} ".join(f"({part.text})" for part in self.parts)


@dataclass(frozen=True)
class Word:
    """A date literal."""

    text: str


@dataclass(frozen=True)
class Sort:
    """One sort key."""

    expression: Expression
    descending: bool = False
    nulls_last: bool | None = None

    @property
    def text(self) -> str:
        words = [self.expression.text, "DESC" if self.descending else ""]
        if self.nulls_last is not None:
            words.append("NULLS LAST" if self.nulls_last else "NULLS FIRST")
        return " ".join(w for w in words if w)


@dataclass(frozen=True)
class Choice:
    """A TYPEOF: fields by object, and those of the ELSE."""

    relationship: str
    reference: str
    branches: dict[str, tuple[str, ...]]
    otherwise: tuple[str, ...] | None

    @property
    def text(self) -> str:
        whens = " ".join(f"WHEN {n} THEN {', '.join(f)}" for n, f in self.branches.items())
        last = f" ELSE {', '.join(self.otherwise)}" if self.otherwise else ""
        return f"TYPEOF {self.relationship} {whens}{last} END"


@dataclass
class Query:
    """A query over records or groups; `fields` is a FIELDS() group, written instead of names."""

    source: str
    selected: list[Expression] = field(default_factory=list)
    fields: str = ""
    choices: list[Choice] = field(default_factory=list)
    children: "list[tuple[str, str, Query]]" = field(default_factory=list)  # name, reference
    where: Any = None
    mine: bool = False
    grouped: list[Expression] = field(default_factory=list)
    grouping: str = ""
    having: Any = None
    order: list[Sort] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0
    aggregate: bool = False

    def render(self, source: str | None = None) -> str:
        """Return the SOQL; `source` is the relationship of a child query."""
        shown = [f"FIELDS({self.fields})"] if self.fields else []
        names = [f" n{i}" if self.aggregate else "" for i in range(len(self.selected))]
        shown += [e.text + n for e, n in zip(self.selected, names, strict=True)]
        shown += [c.text for c in self.choices]
        shown += [f"({query.render(name)})" for name, _, query in self.children]
        parts = [f"SELECT {', '.join(shown)} FROM {source or self.source}"]
        parts += ["USING SCOPE mine"] if self.mine else []
        parts += [f"WHERE {self.where.text}"] if self.where else []
        if self.grouped:
            keys = ", ".join(e.text for e in self.grouped)
            parts.append(
                f"GROUP BY {self.grouping}({keys})" if self.grouping else (f"GROUP BY {keys}")
            )
        parts += [f"HAVING {self.having.text}"] if self.having else []
        parts += [f"ORDER BY {', '.join(s.text for s in self.order)}"] if self.order else []
        parts += [f"LIMIT {self.limit}"] if self.limit is not None else []
        parts += [f"OFFSET {self.offset}"] if self.offset else []
        return " ".join(parts)
