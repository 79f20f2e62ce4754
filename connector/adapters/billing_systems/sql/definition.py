"""The mapping file of a foreign billing system: its tables and columns to our five streams."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connector.billing.facts import FIELDS, Kind, Stream
from connector.billing.routing import SYSTEM_NAME
from connector.errors import Misconfigured
from connector.parties.billing_accounts import BUILT_IN
from connector.yaml_file import Location, YamlFile, read_yaml

FOLDER = "billing_systems"
DEFAULT_OVERLAP = 300
OVERLAP_MAX = 1_000_000
CHUNK_ROWS = 5_000
CHUNK_ROWS_MAX = 50_000

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*(\.[A-Za-z_][A-Za-z0-9_$]*)?")
_TOP = {"system", "about", "chunk_rows", "outbox", "streams"}
_STREAM = {"from", "key", "changes", "fields"}
_CHANGES = {"column", "kind", "overlap"}
_FIELD = {"from", "values", "value"}


class BadBillingMapping(Misconfigured):
    """The mapping file of a billing system cannot be used as it is written."""

    code = "billing_system.bad_mapping"

    def __init__(self, file: YamlFile, place: Location, message: str, *, remedy: str = "") -> None:
        line = file.line_of(place)
        super().__init__(
            f"{file.path}, line {line}: {message}.",
            remedy=remedy or "docs/how-to/use-your-own-billing.md shows the form.",
        )
        self.line = line


@dataclass(frozen=True, slots=True)
class FieldSource:
    """Where a field comes from: a column with its words translated, or one fixed value."""

    column: str | None
    values: Mapping[str, str]
    fixed: str | None


@dataclass(frozen=True, slots=True)
class Changes:
    """The column that grows with every change; `overlap` is in seconds, or in counts."""

    column: str
    is_time: bool
    overlap: int


@dataclass(frozen=True, slots=True)
class StreamSource:
    """One view of theirs; without `changes` it is compared as a whole every time."""

    stream: Stream
    relation: str
    key: str
    changes: Changes | None
    fields: Mapping[str, FieldSource]

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read by name."""
        named = [source.column for source in self.fields.values() if source.column]
        changing = [self.changes.column] if self.changes else []
        return tuple(dict.fromkeys([self.key, *changing, *named]))


@dataclass(frozen=True, slots=True)
class SystemDefinition:
    """A foreign billing system as its mapping file describes it."""

    name: str
    file: Path
    about: str
    chunk_rows: int
    outbox: str | None
    streams: Mapping[Stream, StreamSource]
    digest: str  # of the file: another one reads everything again


def load_systems(mappings: Path) -> tuple[SystemDefinition, ...]:
    """Read every mapping file of `billing_systems/`, in the order of their names.

    Raises:
        BadBillingMapping: One says something it may not, or leaves out what it must say.
        UnreadableFile: One is not plain YAML.
    """
    return tuple(load_system(path) for path in sorted((mappings / FOLDER).glob("*.yaml")))


def load_system(path: Path) -> SystemDefinition:
    """Read one mapping file.

    Raises:
        BadBillingMapping: It says something it may not, or leaves out what it must say.
        UnreadableFile: It is not plain YAML.
    """
    file = read_yaml(path)
    top = _table(file, (), file.data, _TOP)
    name = _text(file, ("system",), top.get("system"))
    if not re.fullmatch(SYSTEM_NAME, name) or name == BUILT_IN:
        raise BadBillingMapping(
            file,
            ("system",),
            f"'{name}' cannot be the name of a billing system",
            remedy="Take up to 40 small letters, digits, - and _; not 'builtin'.",
        )
    if path.stem != name:
        raise BadBillingMapping(
            file, ("system",), f"the file of the system '{name}' is not called {name}.yaml"
        )
    written = _table(file, ("streams",), top.get("streams"), {str(one) for one in Stream})
    if missing := [str(one) for one in Stream if str(one) not in written]:
        raise BadBillingMapping(file, ("streams",), f"the stream {missing[0]} is missing")
    chunk = _whole(file, ("chunk_rows",), top.get("chunk_rows", CHUNK_ROWS), CHUNK_ROWS_MAX)
    return SystemDefinition(
        name=name,
        file=path,
        about=str(top.get("about", "")),
        chunk_rows=max(chunk, 1),
        outbox=_relation(file, ("outbox",), top["outbox"]) if "outbox" in top else None,
        streams={one: _stream(file, one, written[str(one)]) for one in Stream},
        digest=hashlib.sha256(path.read_bytes()).hexdigest()[:16],
    )


def _stream(file: YamlFile, stream: Stream, written: Any) -> StreamSource:
    place: Location = ("streams", str(stream))
    table = _table(file, place, written, _STREAM)
    fields = _table(file, (*place, "fields"), table.get("fields"), set(FIELDS[stream]) - {"key"})
    for name, field in FIELDS[stream].items():
        if field.is_required and name != "key" and name not in fields:
            raise BadBillingMapping(file, (*place, "fields"), f"the field {name} is missing")
    if stream is Stream.ACCOUNT and not {"reference", "crm_id"} & set(fields):
        raise BadBillingMapping(
            file,
            (*place, "fields"),
            "nothing tells whose account it is",
            remedy="Map `crm_id` (the Salesforce id), `reference` (what our command said) or both.",
        )
    if stream is Stream.ALLOCATION and not {"payment", "credit_note"} & set(fields):
        raise BadBillingMapping(file, (*place, "fields"), "map `payment`, `credit_note` or both")
    return StreamSource(
        stream=stream,
        relation=_relation(file, (*place, "from"), table.get("from")),
        key=_relation(file, (*place, "key"), table.get("key")),
        changes=_changes(file, (*place, "changes"), table["changes"])
        if "changes" in table
        else None,
        fields={
            name: _field(file, stream, name, (*place, "fields", name), value)
            for name, value in fields.items()
        },
    )


def _changes(file: YamlFile, place: Location, written: Any) -> Changes:
    table = _table(file, place, written, _CHANGES)
    kind = table.get("kind", "time")
    if kind not in ("time", "number"):
        raise BadBillingMapping(file, (*place, "kind"), f"{kind!r} is neither time nor number")
    overlap = table.get("overlap", DEFAULT_OVERLAP if kind == "time" else 0)
    return Changes(
        column=_relation(file, (*place, "column"), table.get("column")),
        is_time=kind == "time",
        overlap=_whole(file, (*place, "overlap"), overlap, OVERLAP_MAX),
    )


def _field(file: YamlFile, stream: Stream, name: str, place: Location, written: Any) -> FieldSource:
    if isinstance(written, str):
        return FieldSource(column=_relation(file, place, written), values={}, fixed=None)
    table = _table(file, place, written, _FIELD)
    if ("from" in table) == ("value" in table):
        raise BadBillingMapping(file, place, f"{name} needs either `from` or `value`")
    kind, choices = FIELDS[stream][name].kind, FIELDS[stream][name].choices
    values = table.get("values", {})
    if not isinstance(values, dict):
        raise BadBillingMapping(file, (*place, "values"), "this is no table of their word: ours")
    translated = {_word(theirs): _word(ours) for theirs, ours in values.items()}
    fixed = _word(table["value"]) if "value" in table else None
    for ours in [*translated.values(), *([fixed] if fixed is not None else [])]:
        if kind is Kind.CHOICE and ours not in choices:
            raise BadBillingMapping(
                file,
                place,
                f"'{ours}' is no {name} in the stream {stream}",
                remedy=f"Known are {', '.join(choices)}.",
            )
    column = _relation(file, (*place, "from"), table["from"]) if "from" in table else None
    return FieldSource(column=column, values=translated, fixed=fixed)


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _table(file: YamlFile, place: Location, written: Any, known: set[str]) -> dict[str, Any]:
    if not isinstance(written, dict):
        what = place[-1] if place else "the file"
        raise BadBillingMapping(file, place, f"{what} is no table of keys and values")
    for key in written:
        if key not in known:
            raise BadBillingMapping(
                file,
                (*place, str(key)),
                f"'{key}' is not known here",
                remedy=f"Known are {', '.join(sorted(known))}.",
            )
    return written


def _text(file: YamlFile, place: Location, written: Any) -> str:
    if not isinstance(written, str) or not written:
        raise BadBillingMapping(file, place, f"{place[-1]} is missing or no text")
    return written


def _relation(file: YamlFile, place: Location, written: Any) -> str:
    name = _text(file, place, written)
    if not _NAME.fullmatch(name):
        raise BadBillingMapping(
            file,
            place,
            f"'{name}' is no plain name of a table or column",
            remedy="For anything else make a view with plain names, and name that.",
        )
    return name


def _whole(file: YamlFile, place: Location, written: Any, largest: int) -> int:
    if isinstance(written, bool) or not isinstance(written, int) or not 0 <= written <= largest:
        raise BadBillingMapping(file, place, f"{place[-1]} is a whole number up to {largest}")
    return written
