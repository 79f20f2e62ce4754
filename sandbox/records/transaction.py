"""One transaction: who acts, when, and what has to happen once it is committed."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from ..errors import RowError
from ..formula.formulas import Formulas
from ..schema.automation import Automation
from ..schema.model import ObjectType, Schema
from ..storage.database import Database
from ..storage.tables import quoted
from .audit import Noted, Write, noted, noted_creates
from .locks import LockTable, keys_of, refusal_text

Row = dict[str, Any]  # stored values by field name, all columns of one record


@dataclass(frozen=True, slots=True)
class Actor:
    """The user on whose behalf records are written."""

    user_id: str
    username: str
    sends_outbound_messages: bool
    is_system: bool = False
    permissions: frozenset[str] = frozenset()  # custom permissions
    view: Schema | None = None  # the schema as far as the user may see it; None shows all


class IdSource(Protocol):
    """Hands out record ids, never the same twice."""

    def take(self, connection: sqlite3.Connection, item: ObjectType, count: int) -> list[str]:
        """Return new ids of an object."""


class RowFaults(Protocol):
    """Tells whether a scheduled fault makes a row fail."""

    @property
    def any(self) -> bool:
        """Whether something is scheduled."""

    def for_row(self, object_name: str, *, user: str) -> RowError | None:
        """Return why the next row of an object fails, and count it."""


@dataclass(frozen=True, slots=True)
class Created:
    """Records of one object, as they were inserted: filled columns, all of the same length."""

    object: str
    columns: Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Course:
    """How a transaction runs that does not simply happen now."""

    now_s: int
    ids: IdSource
    locked: set[str] | None = None  # collects what it locks


class Room(Protocol):
    """Knows what storage is left."""

    def check(
        self, connection: sqlite3.Connection, item: ObjectType, drafts: Sequence[Any]
    ) -> None:
        """Refuse the drafts of new records that do not fit."""


class EventSink(Protocol):
    """Takes platform events."""

    def publish(self, tx: "Transaction", item: ObjectType, row: Row) -> str | RowError:
        """Publish an event when the transaction commits; return its uuid, or why not."""


@dataclass(slots=True)
class Transaction:
    """The state that all writes of one transaction share."""

    schema: Schema
    automation: Automation
    database: Database
    connection: sqlite3.Connection
    actor: Actor
    now_s: int
    request_id: str
    ids: IdSource
    faults: RowFaults
    locks: LockTable
    events: EventSink
    formulas: Formulas
    room: Room
    course: Course | None = None
    audit: list[Noted] = field(default_factory=list)
    messages: set[str] = field(default_factory=set)
    created: list[Created] = field(default_factory=list)  # those of undone savepoints as well
    syncing_quotes: bool = False

    def seen(self, item: ObjectType) -> ObjectType | None:
        """Return an object with the fields and rights its user has; None for a hidden one."""
        view = self.actor.view
        return item if view is None else view.find(item.name)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo records and audit entries written inside when it raises."""
        mark = len(self.audit)
        try:
            with self.database.savepoint():
                yield
        except BaseException:
            del self.audit[mark:]
            raise

    def fetch(self, item: ObjectType, ids: Sequence[str]) -> dict[str, Row]:
        """Return full rows by id, deleted ones included, in one query."""
        columns = ", ".join(quoted(f.name) for f in item.stored)
        names = [f.name for f in item.stored]
        sql = (
            f"SELECT {columns} FROM {quoted(item.name)} "
            'WHERE "Id" IN (SELECT value FROM json_each(?))'
        )
        rows = self.connection.execute(sql, (json_list(ids),))
        found = (dict(zip(names, row, strict=True)) for row in rows)
        return {row["Id"]: row for row in found}

    def fetch_where(self, item: ObjectType, column: str, values: Sequence[Any]) -> list[Row]:
        """Return full rows that are not deleted and hold one of the values, oldest first."""
        columns = ", ".join(quoted(f.name) for f in item.stored)
        names = [f.name for f in item.stored]
        sql = (
            f"SELECT {columns} FROM {quoted(item.name)} WHERE {quoted(column)} "
            'IN (SELECT value FROM json_each(?)) AND "IsDeleted" = 0 ORDER BY "Id"'
        )
        rows = self.connection.execute(sql, (json_list(values),))
        return [dict(zip(names, row, strict=True)) for row in rows]

    @property
    def locking(self) -> bool:
        """Whether locks matter: somebody holds some, or wants to know which there would be."""
        return not self.locks.idle or (self.course is not None and self.course.locked is not None)

    def lock(
        self, item: ObjectType, record_id: str | None, *, old: Row, values: Mapping[str, Any]
    ) -> RowError | None:
        """Lock what writing a record locks; return why it cannot be locked, or None.

        Raises:
            RowLockedError: The caller will wait and run the whole transaction again.
        """
        if not self.locking:
            return None
        collected = self.course.locked if self.course is not None else None
        keys = keys_of(item, record_id, old, values)
        if collected is not None:
            collected |= keys
        blocked = self.locks.blocked(keys)
        return RowError("UNABLE_TO_LOCK_ROW", refusal_text(blocked)) if blocked else None

    def note(self, verb: str, item: ObjectType, record_id: str, *, old: Row, new: Row) -> None:
        """Remember a write for the audit: what was and what is, where they differ."""
        self.audit.append(noted(self._write(verb, item), item, record_id, old=old, new=new))

    def note_creates(
        self, item: ObjectType, names: tuple[str, ...], rows: Iterable[tuple[Any, ...]]
    ) -> None:
        """Remember created records for the audit; the columns include the id."""
        write = self._write("create", item)
        self.audit += noted_creates(write, item, names, rows, id_at=names.index("Id"))

    def _write(self, verb: str, item: ObjectType) -> Write:
        return Write(
            at_s=self.now_s,
            user=self.actor.username,
            user_id=self.actor.user_id,
            verb=verb,
            object=item.name,
            request_id=self.request_id,
        )


def json_list(values: Sequence[Any]) -> str:
    """Return values as the JSON array that `json_each` reads."""
    return orjson.dumps(list(values)).decode()
