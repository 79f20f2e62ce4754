"""The syntax tree of a query. Positions are offsets into the text, for error messages."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Path:
    """A field, possibly through parents: `Account.Owner.Name`.

    `converted` says that it stands in `convertCurrency()`.
    """

    names: tuple[str, ...]
    at: int
    converted: bool = False

    @property
    def text(self) -> str:
        """The path as written."""
        return ".".join(self.names)


@dataclass(frozen=True, slots=True)
class Call:
    """A function over a field: `COUNT(Id)`, `CALENDAR_YEAR(CloseDate)`; `COUNT()` has no path.

    `zoned` says that the field stands in `convertTimezone()`.
    """

    function: str
    path: Path | None
    at: int
    zoned: bool = False


@dataclass(frozen=True, slots=True)
class SelectItem:
    """One selected field or function; `formatted` says that it stands in `FORMAT()`."""

    expression: "Path | Call"
    alias: str | None = None
    formatted: bool = False


@dataclass(frozen=True, slots=True)
class FieldGroup:
    """FIELDS(ALL), FIELDS(STANDARD) or FIELDS(CUSTOM)."""

    which: str
    at: int


@dataclass(frozen=True, slots=True)
class Branch:
    """WHEN object THEN fields; without an object it is the ELSE of a TYPEOF."""

    object_name: str
    at: int
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class TypeOf:
    """Fields that depend on which object a polymorphic reference points to."""

    relationship: Path
    branches: tuple[Branch, ...]
    otherwise: Branch | None


@dataclass(frozen=True, slots=True)
class Literal:
    """A value; kind is string, number, boolean, null, date, datetime, date_word.

    `currency` is the code before an amount: `USD5000`.
    """

    kind: str
    text: str
    at: int
    currency: str = ""


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
Selected = SelectItem | FieldGroup | TypeOf


@dataclass(frozen=True, slots=True)
class Order:
    """One sort key."""

    expression: Path | Call
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query; in a child subquery `source` is the relationship name."""

    select: tuple[Selected, ...]
    children: "tuple[Query, ...]"
    source: str
    source_at: int
    alias: str | None = None
    scope: str = "EVERYTHING"
    scope_at: int = 0
    where: Condition | None = None
    group_by: tuple[Path | Call, ...] = ()
    grouping: str = ""  # ROLLUP or CUBE
    having: Condition | None = None
    order_by: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    offset_at: int = 0
    for_update: bool = False
