"""Turns what a transaction did to records into change events (fact sheet H.3).

Triggers of the writing connection keep each record as it was before its first change; at commit
it is compared with what it is now. So no way of writing is forgotten, undone savepoints leave
nothing, and several changes of one record in one transaction are one event.
"""

import json
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..origin import origin
from ..records.transaction import Created, Row, Transaction, json_list
from ..schema.model import Field, FieldType, ObjectType
from ..storage.tables import quoted
from .avro import LEFT_OUT, ChangeShape, Columns, change_event_name, change_shape
from .bus import Event, EventBus
from .channels import DATA
from .header import NO_FIELDS, Commit

MAX_EVENT_BYTES = 1_000_000
OVERFLOW_AT = 100_000
MOST_MERGED = 1_000
ALL_RECORDS = "000000000000000AAA"
COMMIT_BASE = 10**12
# SQLite functions take at most 127 arguments.
PER_ARRAY = 100
CHANGES = (
    "CREATE TEMP TABLE IF NOT EXISTS sandbox_change "
    "(n INTEGER PRIMARY KEY, object TEXT NOT NULL, id TEXT NOT NULL UNIQUE, old TEXT,"
    " touched INTEGER NOT NULL DEFAULT 0)"
)
Noted = tuple[str, str, str | None, int]  # object, id, what it was, whether it changed since


@dataclass(slots=True)
class Change:
    """One event to be: a kind of change and what it says."""

    shape: ChangeShape
    kind: str
    record_ids: list[str]
    body: bytes  # the values of the event, behind its header
    changed: frozenset[str] = NO_FIELDS
    nulled: frozenset[str] = NO_FIELDS

    def same_as(self) -> tuple[object, ...]:
        """Return what is equal in changes that become one event."""
        return (self.shape.entity, self.kind, self.changed, self.nulled, self.body)


class Capture:
    """Watches the tables of selected objects."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self._watched: dict[str, ObjectType] = {}
        self.overflow_at = OVERFLOW_AT

    def watch(self, connection: sqlite3.Connection, items: Iterable[ObjectType]) -> None:
        """Watch these objects and no others."""
        connection.execute(CHANGES)
        for name in self._watched:
            for when in ("insert", "update", "delete"):
                connection.execute(f"DROP TRIGGER IF EXISTS {quoted(f'cdc_{when}_{name}')}")
        self._watched = {item.name: item for item in items}
        for item in self._watched.values():
            for statement in _triggers(item):
                connection.execute(statement)

    def forget(self, connection: sqlite3.Connection) -> None:
        """Drop what the present transaction did so far: it is no change of a user."""
        if self._watched:
            connection.execute("DELETE FROM sandbox_change")

    def collect(self, tx: Transaction) -> int:
        """Write the events of the transaction that is about to commit; return how many."""
        if not self._watched:
            return 0
        connection = tx.connection
        sql = "SELECT object, id, old, touched FROM sandbox_change ORDER BY n"
        noted: list[Noted] = connection.execute(sql).fetchall()
        if not noted:
            return 0
        connection.execute("DELETE FROM sandbox_change")
        changes = _merged(self._changes(connection, noted[: self.overflow_at], tx.created))
        changes += self._overflow(noted[self.overflow_at :])
        user_id, now_s = tx.actor.user_id, tx.now_s
        self._append(connection, changes, user_id=user_id, now_s=now_s, told_origin=origin.get())
        return len(changes)

    def gap(
        self,
        connection: sqlite3.Connection,
        item: ObjectType,
        *,
        kind: str,
        record_ids: Sequence[str],
        user_id: str,
        now_s: int,
    ) -> None:
        """Write a gap event: something happened to these records that nobody describes."""
        shape = change_shape(item)
        change = Change(shape, kind, list(record_ids) or [ALL_RECORDS], shape.body({}))
        self._append(connection, [change], user_id=user_id, now_s=now_s, told_origin="")

    def _append(
        self,
        connection: sqlite3.Connection,
        changes: Sequence[Change],
        *,
        user_id: str,
        now_s: int,
        told_origin: str,
    ) -> None:
        commit = Commit(
            key=str(uuid.uuid4()),
            number=COMMIT_BASE + self._bus.last() + 1,
            user_id=user_id,
            at_ms=now_s * 1_000,
            origin=told_origin,
        )
        events = [_event(change, commit, sequence=n) for n, change in enumerate(changes, start=1)]
        self._bus.append_all(connection, events)

    def _changes(
        self, connection: sqlite3.Connection, noted: Sequence[Noted], created: Sequence[Created]
    ) -> Iterator[Change]:
        bodies: dict[str, bytes] = {}
        present: dict[str, Row] = {}
        for name in {name for name, *_ in noted}:
            item = self._watched[name]
            bodies |= _inserted(item, [one.columns for one in created if one.object == name])
            unread = [
                record_id
                for object_name, record_id, old, touched in noted
                if object_name == name and (old is not None or touched or record_id not in bodies)
            ]
            present |= _present(connection, item, unread)
        for name, record_id, text, touched in noted:
            item = self._watched[name]
            if text is None and not touched and record_id in bodies:
                yield Change(change_shape(item), "CREATE", [record_id], bodies[record_id])
                continue
            old = None
            if text is not None:
                values = [value for chunk in json.loads(text) for value in chunk]
                old = dict(zip((f.name for f in _columns(item)), values, strict=True))
            change = _change(item, record_id, old, present.get(record_id))
            if change is not None:
                yield change

    def _overflow(self, noted: Sequence[Noted]) -> list[Change]:
        """Return one event per object for what is beyond the most a transaction may tell."""
        shapes = [change_shape(self._watched[name]) for name in dict.fromkeys(n[0] for n in noted)]
        return [Change(shape, "GAP_OVERFLOW", [ALL_RECORDS], shape.body({})) for shape in shapes]


def _event(change: Change, commit: Commit, *, sequence: int) -> Event:
    """Return an event as the bus takes it; one that is too large tells of a gap instead."""
    shape = change.shape
    header = commit.header(
        shape,
        kind=change.kind,
        record_ids=change.record_ids,
        sequence=sequence,
        nulled=change.nulled,
        changed=change.changed,
    )
    payload = header + change.body
    if len(payload) > MAX_EVENT_BYTES:
        # The subscriber reads the record itself.
        kind = f"GAP_{change.kind}"
        header = commit.header(shape, kind=kind, record_ids=change.record_ids, sequence=sequence)
        payload = header + shape.body({})
    return Event(_topic(shape), shape.schema, payload)


@lru_cache(maxsize=1_024)
def _topic(shape: ChangeShape) -> str:
    return DATA + change_event_name(shape.entity)


def _change(item: ObjectType, record_id: str, old: Row | None, new: Row | None) -> Change | None:
    shape = change_shape(item)
    was = old is not None and old["IsDeleted"] == 0
    remains = new is not None and new["IsDeleted"] == 0
    if was and not remains:
        return Change(shape, "DELETE", [record_id], shape.body({}))
    if new is None or not remains:
        return None
    if old is None or not was:
        kind = "CREATE" if old is None else "UNDELETE"
        return Change(shape, kind, [record_id], shape.body(new))
    if old == new:
        return None
    # The stamp moves with every change, even with two within one second. What an event does not
    # hold tells no change apart: of two records only one may have been stamped in this second.
    differs = {name for name, value in new.items() if value != old[name]}
    changed = differs - LEFT_OUT | {"LastModifiedDate"}
    body = shape.body({name: new[name] for name in changed})
    nulled = frozenset(name for name in changed if new[name] is None)
    return Change(shape, "UPDATE", [record_id], body, frozenset(changed), nulled)


def _merged(changes: Iterable[Change]) -> list[Change]:
    """Join identical changes of several records of one object."""
    merged: list[Change] = []
    known: dict[tuple[object, ...], Change] = {}
    for change in changes:
        key = change.same_as()
        first = known.get(key)
        if first is not None and len(first.record_ids) < MOST_MERGED:
            first.record_ids.extend(change.record_ids)
            continue
        known[key] = change
        merged.append(change)
    return merged


@lru_cache(maxsize=1_024)
def _columns(item: ObjectType) -> tuple[Field, ...]:
    return tuple(f for f in item.stored if f.type is not FieldType.BASE64)


def _column_sql(field: Field, *, side: str = "") -> str:
    """Return the SQL of a field's value; a checkbox that was never filled is not checked."""
    column = f"{side}{quoted(field.name)}"
    return f"COALESCE({column}, 0)" if field.type is FieldType.BOOLEAN else column


def _inserted(item: ObjectType, chunks: Iterable[Columns]) -> dict[str, bytes]:
    """Return what events tell of records as they were inserted, without reading them again."""
    shape = change_shape(item)
    found: dict[str, bytes] = {}
    for columns in chunks:
        ids = columns["Id"]
        told = zip(ids, columns["IsDeleted"], shape.bodies(columns, count=len(ids)), strict=True)
        found |= {record_id: body for record_id, is_deleted, body in told if is_deleted == 0}
    return found


def _present(
    connection: sqlite3.Connection, item: ObjectType, ids: Sequence[str]
) -> dict[str, Row]:
    """Return these records as they are now."""
    if not ids:
        return {}
    columns = _columns(item)
    names = [f.name for f in columns]
    sql = (
        f"SELECT {', '.join(map(_column_sql, columns))} FROM {quoted(item.name)} "
        'WHERE "Id" IN (SELECT value FROM json_each(?))'
    )
    rows = connection.execute(sql, (json_list(ids),))
    found = (dict(zip(names, row, strict=True)) for row in rows)
    return {row["Id"]: row for row in found}


def _triggers(item: ObjectType) -> Iterator[str]:
    columns = [_column_sql(f, side="OLD.") for f in _columns(item)]
    chunks = [", ".join(columns[i : i + PER_ARRAY]) for i in range(0, len(columns), PER_ARRAY)]
    arrays = ", ".join(f"json_array({chunk})" for chunk in chunks)
    old = f"json_array({arrays})"
    table = f"main.{quoted(item.name)}"
    yield (
        f"CREATE TEMP TRIGGER {quoted(f'cdc_insert_{item.name}')} AFTER INSERT ON {table} BEGIN "
        "INSERT OR IGNORE INTO sandbox_change (object, id) "
        f"VALUES ('{item.name}', NEW.\"Id\"); END"
    )
    for when in ("update", "delete"):
        yield (
            f"CREATE TEMP TRIGGER {quoted(f'cdc_{when}_{item.name}')} "
            f"AFTER {when.upper()} ON {table} BEGIN "
            "INSERT INTO sandbox_change (object, id, old) "
            f"SELECT '{item.name}', OLD.\"Id\", {old} WHERE NOT EXISTS "
            '(SELECT 1 FROM sandbox_change WHERE id = OLD."Id"); '
            # What was inserted a moment ago is no longer as it was inserted.
            'UPDATE sandbox_change SET touched = 1 WHERE id = OLD."Id" AND old IS NULL; END'
        )
