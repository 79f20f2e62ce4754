"""What the audit keeps of each write: who, when, and what was and is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from ..schema.model import FieldType, ObjectType

LONGEST_NOTED = 2_000
Side = dict[str, Any]  # stored values by field name
Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Write:
    """What the notes of records written together have in common."""

    at_s: int
    user: str
    user_id: str
    verb: str
    object: str
    request_id: str


class Noted(NamedTuple):
    """One record that was written.

    Not as the API shows it: a load makes a note for every record, and most are never read.
    """

    write: Write
    id: str
    names: tuple[str, ...]
    was: Values | None  # None: there was no record, or there is none any more
    now: Values | None

    @property
    def old(self) -> Side:
        """The stored values before, of fields that were changed."""
        return self._side(self.was, other=self.now)

    @property
    def new(self) -> Side:
        """The stored values afterwards, of fields that were changed."""
        return self._side(self.now, other=self.was)

    def _side(self, side: Values | None, *, other: Values | None) -> Side:
        if side is None:
            return {}
        values = zip(self.names, side, strict=True)
        return {name: value for name, value in values if other is not None or value is not None}


def noted(write: Write, item: ObjectType, record_id: str, *, old: Side, new: Side) -> Noted:
    """Return the note of one record: all of it, or where it was and is another."""
    if not (old and new):
        names = tuple(name for name, value in (old or new).items() if value is not None)
        return Noted(write, record_id, names, _values(item, names, old), _values(item, names, new))
    changed = tuple(name for name, value in new.items() if value != old.get(name))
    return Noted(
        write, record_id, changed, _values(item, changed, old), _values(item, changed, new)
    )


def noted_creates(
    write: Write, item: ObjectType, names: tuple[str, ...], rows: Iterable[Values], *, id_at: int
) -> list[Noted]:
    """Return the notes of records created with these columns, one of which is the id."""
    if not _long_names(item).isdisjoint(names):
        rows = (_shortened(item, names, row) for row in rows)
    return [Noted(write, row[id_at], names, None, row) for row in rows]


def _values(item: ObjectType, names: tuple[str, ...], row: Side) -> Values | None:
    return _shortened(item, names, [row.get(name) for name in names]) if row else None


def _shortened(item: ObjectType, names: tuple[str, ...], values: Sequence[Any]) -> Values:
    """Return values without the bulk of files and long texts."""
    long = _long_names(item)
    if long.isdisjoint(names):
        return tuple(values)
    return tuple(
        f"{value[:LONGEST_NOTED]}…"
        if name in long and type(value) is str and len(value) > LONGEST_NOTED
        else value
        for name, value in zip(names, values, strict=True)
    )


@lru_cache(maxsize=1_024)
def _long_names(item: ObjectType) -> frozenset[str]:
    """Return the fields that can hold more than is noted; length 0 is no limit."""
    texts = (f for f in item.stored if f.is_text or f.type is FieldType.BASE64)
    return frozenset(f.name for f in texts if not 0 < f.length <= LONGEST_NOTED)
