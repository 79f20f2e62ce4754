"""The syntax tree of a query. Positions are offsets into the text, for error messages."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Path:
    """A field, possibly through parents: `Account.Owner.Name`."""

    names: tuple[str, ...]
    at: int

    @property
    def text(self) -> str:
        """The path as written."""
        return ".".join(self.names)


@dataclass(frozen=True, slots=True)
class Call:
    """A function over a field: `COUNT(Id)`, `CALENDAR_YEAR(CloseDate)`; `COUNT()` has no path."""

    function: str
    path: Path | None
    at: int


@dataclass(frozen=True, slots=True)
class SelectItem:
    """One selected field or function."""

    expression: "Path | Call"
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class FieldGroup:
    """FIELDS(ALL), FIELDS(STANDARD) or FIELDS(CUSTOM)."""

    which: str
    at: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A value; kind is string, number, boolean, null, date, datetime, date_word."""

    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field or function compared with values or with the rows of a subquery."""

    left: "Path | Call"
    operator: str
    values: tuple[Literal, ...]
    subquery: "Query | None" = None


@dataclass(frozen=True, slots=True)
class Logic:
    """AND, OR or NOT over conditions."""

    operator: str
    parts: "tuple[Condition, ...]"


Condition = Comparison | Logic


@dataclass(frozen=True, slots=True)
class Order:
    """One sort key."""

    expression: Path | Call
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query; in a child subquery `source` is the relationship name."""

    select: tuple[SelectItem, ...]
    groups: tuple[FieldGroup, ...]
    children: "tuple[Query, ...]"
    source: str
    source_at: int
    alias: str | None = None
    where: Condition | None = None
    group_by: tuple[Path | Call, ...] = ()
    having: Condition | None = None
    order_by: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
