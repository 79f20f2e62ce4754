"""The event bus: a ring of events kept for 72 hours, numbered in the order of their commits."""

import json
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from .. import clock
from ..storage.database import Database
from .avro import EventSchema, schema_of_text
from .channels import EVENT
from .packing import nth_id, packed, unpacked

RETENTION_MS = 72 * 3_600 * 1_000
MOST_KEPT = 1_000_000
FIRST_REPLAY = 1_000
REPLAY_BYTES = 8
PURGE_EVERY_S = 30.0
# Events that one commit makes of one topic share a row, which has the number of the last of them.
MOST_TOGETHER = 200
MOST_TOGETHER_BYTES = 1_000_000
TABLES = """
CREATE TABLE IF NOT EXISTS sandbox_event (
    replay INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    schema_id TEXT NOT NULL,
    payload BLOB NOT NULL,
    count INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX IF NOT EXISTS sandbox_event_topic ON sandbox_event (topic, replay);
CREATE TABLE IF NOT EXISTS sandbox_event_schema (id TEXT PRIMARY KEY, text TEXT NOT NULL);
"""
COUNT_COLUMN = "ALTER TABLE sandbox_event ADD COLUMN count INTEGER NOT NULL DEFAULT 1"
INSERT = (
    "INSERT INTO sandbox_event (replay, topic, created_ms, event_id, schema_id, payload, count) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
INSERT_SCHEMA = "INSERT OR IGNORE INTO sandbox_event_schema (id, text) VALUES (?, ?)"


class ReplayRefused(Exception):
    """A replay id that is no place in the ring any more, or never was."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason  # corrupted, or validation.failed


class Event(NamedTuple):
    """One event on its way into the ring."""

    topic: str
    schema: EventSchema
    payload: bytes


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event of the ring."""

    replay: int
    event_id: str
    schema_id: str
    payload: bytes


class EventBus:
    """Events of one org; appended within the transaction that causes them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: set[str] = set()
        self._purged_at_s: float | None = None
        self.changed = threading.Condition()
        self.version = 0  # grows whenever there may be something new
        self.closing = False

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Create the ring where there is none."""
        for statement in TABLES.split(";"):
            connection.execute(statement)
        columns = connection.execute("PRAGMA table_info(sandbox_event)").fetchall()
        if "count" not in {column[1] for column in columns}:
            connection.execute(COUNT_COLUMN)  # data from when each event had a row of its own
        sql = "SELECT seq FROM sqlite_sequence WHERE name = 'sandbox_event'"
        if connection.execute(sql).fetchone() is None:
            sql = "INSERT INTO sqlite_sequence (name, seq) VALUES ('sandbox_event', ?)"
            connection.execute(sql, (FIRST_REPLAY,))
            _set_floor(connection, FIRST_REPLAY - 1)

    def append(
        self,
        connection: sqlite3.Connection,
        topic: str,
        schema: EventSchema,
        payload: bytes,
        *,
        event_id: str | None = None,
    ) -> int:
        """Add an event and return its replay number; it is seen when the transaction commits."""
        self._purge_now_and_then(connection)
        self._keep_schema(connection, schema)
        name = event_id or str(uuid.uuid4())
        row = (None, topic, clock.epoch_ms(), name, schema.id, payload, 1)
        return int(connection.execute(INSERT, row).lastrowid or 0)

    def append_all(self, connection: sqlite3.Connection, events: Sequence[Event]) -> None:
        """Add events in their order; they are seen when the transaction commits."""
        self._purge_now_and_then(connection)
        for schema in {event.schema for event in events}:
            self._keep_schema(connection, schema)
        now_ms = clock.epoch_ms()
        number = _last(connection)
        rows = []
        for together in _rows_of(events):
            number += len(together)
            topic, schema_id = together[0].topic, together[0].schema.id
            payload = packed([event.payload for event in together])
            name = str(uuid.uuid4())
            rows.append((number, topic, now_ms, name, schema_id, payload, len(together)))
        connection.executemany(INSERT, rows)

    def last_in(self, connection: sqlite3.Connection) -> int:
        """Return the newest number as a transaction sees it."""
        return _last(connection)

    def published_after(self, connection: sqlite3.Connection, number: int) -> int:
        """Return how many platform events follow a number, as a transaction sees them."""
        if _last(connection) <= number:
            return 0
        sql = "SELECT COALESCE(SUM(count), 0) FROM sandbox_event WHERE replay > ? AND topic LIKE ?"
        return int(connection.execute(sql, (number, f"{EVENT}%")).fetchone()[0])

    def keep_schema(self, schema: EventSchema) -> None:
        """Remember a schema, so that it is found by its id as long as the data lives."""
        if schema.id in self._known:
            return
        with self._database.write() as connection:
            self._keep_schema(connection, schema)
        self._known.add(schema.id)

    def _keep_schema(self, connection: sqlite3.Connection, schema: EventSchema) -> None:
        if schema.id not in self._known:  # not known yet: this transaction may be undone
            connection.execute(INSERT_SCHEMA, (schema.id, schema.text))

    def schema(self, schema_id: str) -> EventSchema | None:
        """Return a schema by its id, those of earlier days included."""
        with self._database.read() as connection:
            sql = "SELECT text FROM sandbox_event_schema WHERE id = ?"
            row = connection.execute(sql, (schema_id,)).fetchone()
        return schema_of_text(row[0]) if row is not None else None

    def wake(self) -> None:
        """Tell the subscriptions that there may be something new."""
        with self.changed:
            self.version += 1
            self.changed.notify_all()

    def close(self) -> None:
        """End the subscriptions."""
        self.closing = True
        self.wake()

    # --- reading ---

    def last(self) -> int:
        """Return the newest replay number there is or was."""
        with self._database.read() as connection:
            return _last(connection)

    def floor(self) -> int:
        """Return the replay number below which nothing is kept."""
        with self._database.read() as connection:
            return _floor(connection)

    def read(
        self, topics: Sequence[str], *, after: int, most: int
    ) -> tuple[list[StoredEvent], int]:
        """Return the next events of some topics, oldest first, and the place reached."""
        sql = (
            "SELECT replay, event_id, schema_id, payload, count FROM sandbox_event "
            "WHERE replay > ? AND topic IN (SELECT value FROM json_each(?)) "
            "ORDER BY replay LIMIT ?"
        )
        with self._database.read() as connection:
            # Read first: an event that commits in between is behind this place, not before it.
            last = _last(connection)
            rows = connection.execute(sql, (after, json.dumps(list(topics)), most))
            stored = (event for row in rows for event in _events_of(*row))
            events = list(islice((event for event in stored if event.replay > after), most))
        if events:
            return events, events[-1].replay
        return [], max(after, last)

    def position(self, replay_id: bytes) -> int:
        """Return the number of a client's replay id.

        Raises:
            ReplayRefused: It is too old, or not from this org.
        """
        if len(replay_id) != REPLAY_BYTES:
            raise ReplayRefused("corrupted", "The Replay ID is corrupted.")
        number = int.from_bytes(replay_id, "big")
        with self._database.write() as connection:
            self.purge(connection)
            floor, last = _floor(connection), _last(connection)
        if not floor < number <= last:
            message = (
                f"The Replay ID validation failed. Ensure that the Replay ID is valid: {number}"
            )
            raise ReplayRefused("validation.failed", message)
        return number

    def counts(self) -> dict[str, int]:
        """Return how many events are kept, and the replay numbers around them."""
        with self._database.read() as connection:
            sql = "SELECT COALESCE(SUM(count), 0) FROM sandbox_event"
            (kept,) = connection.execute(sql).fetchone()
            return {"kept": kept, "last_replay": _last(connection), "floor": _floor(connection)}

    # --- forgetting ---

    def purge(self, connection: sqlite3.Connection, *, everything: bool = False) -> int:
        """Drop events older than 72 hours (or all of them); return how many."""
        sql = "SELECT MAX(replay) FROM sandbox_event WHERE ? OR created_ms < ? OR replay <= ?"
        last = _last(connection)
        oldest_ms = clock.epoch_ms() - RETENTION_MS
        bounds = (everything, oldest_ms, last - MOST_KEPT)
        (through,) = connection.execute(sql, bounds).fetchone()
        if through is None:
            return 0
        sql = "SELECT SUM(count) FROM sandbox_event WHERE replay <= ?"
        (count,) = connection.execute(sql, (through,)).fetchone()
        connection.execute("DELETE FROM sandbox_event WHERE replay <= ?", (through,))
        _set_floor(connection, through)
        if through == last:
            # The newest number must stay a place from which a client can go on.
            _skip_number(connection)
        return int(count)

    def forget(self, connection: sqlite3.Connection) -> None:
        """Drop all events; replay ids from before are foreign afterwards."""
        connection.execute("DELETE FROM sandbox_event")
        _set_floor(connection, _last(connection))
        _skip_number(connection)

    def _purge_now_and_then(self, connection: sqlite3.Connection) -> None:
        now_s = clock.monotonic_s()
        if self._purged_at_s is None or now_s - self._purged_at_s > PURGE_EVERY_S:
            self._purged_at_s = now_s
            self.purge(connection)


def _rows_of(events: Sequence[Event]) -> Iterator[list[Event]]:
    """Yield events in their order, those together that share a row."""
    together: list[Event] = []
    size = 0
    for event in events:
        size += len(event.payload)
        if together and (
            (event.topic, event.schema.id) != (together[0].topic, together[0].schema.id)
            or len(together) == MOST_TOGETHER
            or size > MOST_TOGETHER_BYTES
        ):
            yield together
            together, size = [], len(event.payload)
        together.append(event)
    if together:
        yield together


def _events_of(
    replay: int, event_id: str, schema_id: str, payload: bytes, count: int
) -> Iterator[StoredEvent]:
    """Yield the events of a row."""
    for place, one in enumerate(unpacked(payload, count=count)):
        yield StoredEvent(replay - count + 1 + place, nth_id(event_id, place), schema_id, one)


def replay_bytes(number: int) -> bytes:
    """Return a replay number as clients get it."""
    return number.to_bytes(REPLAY_BYTES, "big")


def _last(connection: sqlite3.Connection) -> int:
    sql = "SELECT seq FROM sqlite_sequence WHERE name = 'sandbox_event'"
    return int(connection.execute(sql).fetchone()[0])


def _skip_number(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'sandbox_event'")


def _floor(connection: sqlite3.Connection) -> int:
    sql = "SELECT value FROM sandbox_meta WHERE key = 'event_floor'"
    return int(connection.execute(sql).fetchone()[0])


def _set_floor(connection: sqlite3.Connection, number: int) -> None:
    sql = "INSERT OR REPLACE INTO sandbox_meta (key, value) VALUES ('event_floor', ?)"
    connection.execute(sql, (str(number),))
