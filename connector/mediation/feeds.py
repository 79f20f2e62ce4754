"""Feed definitions: how a vendor's usage file is read, as YAML an operator edits."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connector.catalog.source import BadFile, Entry, read_yaml
from connector.errors import InvalidInput
from connector.mediation.expressions import BadExpression, check_expression
from connector.resources import mappings_dir

KINDS = ("calls", "meters")
_RESERVED = frozenset({"line_no", "raw", "is_broken"})
_DELIMITERS = {"tab": "\t"}
VALUES_OF_KIND = {
    "calls": ("record_id", "alias", "at", "called", "quantity"),
    "meters": ("record_id", "alias", "at", "meter", "quantity"),
}


class UnknownFeed(InvalidInput):
    """No feed definition has this name."""

    code = "mediation.unknown_feed"


@dataclass(frozen=True, slots=True)
class FeedDefinition:
    """How the lines of one vendor's file become usage records."""

    name: str
    about: str
    kind: str
    delimiter: str
    quote: str
    columns: tuple[str, ...]
    timezone: str
    time_format: str
    alias_kind: str
    values: Mapping[str, str]  # value name -> SQL expression over the columns
    dedup_window_days: int
    accept_past_days: int
    accept_future_days: int


def shipped_feeds() -> Path:
    """Return the folder of the feed definitions that came with this installation."""
    return mappings_dir() / "feeds"


def read_feeds(folder: Path) -> dict[str, FeedDefinition]:
    """Return every feed of a folder by its name.

    Raises:
        BadFile: A definition is wrong, with file and line.
    """
    feeds: dict[str, FeedDefinition] = {}
    for path in sorted(folder.glob("*.yaml")):
        feed = read_feed(path)
        if feed.name in feeds:
            raise BadFile(path=path, line=1, problem=f"The feed '{feed.name}' is there twice.")
        feeds[feed.name] = feed
    return feeds


def feed_named(name: str, *, folder: Path | None = None) -> FeedDefinition:
    """Return one feed.

    Raises:
        UnknownFeed: The folder has none of that name.
    """
    feeds = read_feeds(folder or shipped_feeds())
    if name not in feeds:
        raise UnknownFeed(
            f"There is no feed '{name}'.", remedy=f"Known feeds: {', '.join(sorted(feeds))}."
        )
    return feeds[name]


def read_feed(path: Path) -> FeedDefinition:
    """Read one feed definition and check every expression in it.

    Raises:
        BadFile: It is wrong, with its line.
    """
    top = read_yaml(path)
    kind = top.one_of("kind", KINDS)
    columns = _columns(top)
    dialect = _section(top, "dialect")
    time = _section(top, "time")
    accept = _section(top, "accept")
    delimiter = dialect.text("delimiter", ",")
    feed = FeedDefinition(
        name=top.text("feed"),
        about=top.text("about", ""),
        kind=kind,
        delimiter=_DELIMITERS.get(delimiter, delimiter),
        quote=dialect.text("quote", '"'),
        columns=columns,
        timezone=_timezone(time),
        time_format=time.text("format"),
        alias_kind=top.one_of("alias_kind", ("number", "subscription")),
        values=_values(top, kind=kind, columns=columns),
        dedup_window_days=top.whole("dedup_window_days", 35),
        accept_past_days=accept.whole("past_days", 400),
        accept_future_days=accept.whole("future_days", 1),
    )
    for name, character in (("delimiter", feed.delimiter), ("quote", feed.quote)):
        if len(character) != 1 or not (character.isprintable() or character == "\t"):
            raise dialect.error(f"The {name} must be one printable character.", key=name)
    for section in (dialect, time, accept, top):
        section.finish()
    return feed


def _columns(top: Entry) -> tuple[str, ...]:
    columns = top.names("columns")
    for name in columns:
        if not (name.isascii() and name.isidentifier()) or name in _RESERVED:
            raise top.error(
                f"The column name '{name}' cannot be used in expressions.",
                remedy="Letters, digits and underscores; not line_no, raw or is_broken.",
                key="columns",
            )
    return columns


def _section(top: Entry, key: str) -> Entry:
    section = top.entry(key)
    if section is None:
        raise top.error(f"A feed needs '{key}'.")
    return section


def _timezone(time: Entry) -> str:
    name = time.text("zone")
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise time.error(
            f"'{name}' is not a time zone.", remedy="Write one such as Europe/Berlin.", key="zone"
        ) from None
    return name


def _values(top: Entry, *, kind: str, columns: tuple[str, ...]) -> dict[str, str]:
    section = _section(top, "values")
    values: dict[str, str] = {}
    for name in VALUES_OF_KIND[kind]:
        expression = section.text(name)
        try:
            check_expression(expression, columns=frozenset(columns))
        except BadExpression as error:
            raise section.error(f"{name}: {error.message}", remedy=error.remedy, key=name) from None
        values[name] = expression
    section.finish()
    return values
