"""The events of one org: which changes are recorded, what is published, what is kept."""

import json
import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ApiError, RowError
from ..records.transaction import Row, Transaction
from ..schema.model import ObjectType, Schema
from ..storage.database import Database
from .allowance import Allowance
from .avro import CHANGE_TYPES, avro_value, platform_schema
from .bus import EventBus
from .capture import MAX_EVENT_BYTES, OVERFLOW_AT, Capture
from .channels import EVENT, Channels, read_members
from .managed import ManagedSubscriptions

KEEP_ALIVE_S = 270.0
PUBLISH_IDLE_S = 70.0
PUBLISHED_KEY, DELIVERED_KEY = "HourlyPublishedPlatformEvents", "DailyDeliveredPlatformEvents"
HOUR_S = 3_600
GAPS = tuple(kind for kind in CHANGE_TYPES if kind.startswith("GAP_"))
SELECTION = "cdc_entities"


class OrgEvents:
    """Change Data Capture and platform events of one org."""

    def __init__(
        self,
        *,
        schema: Schema,
        database: Database,
        folder: Path | None,
        limits: Mapping[str, int],
    ) -> None:
        self._database = database
        self._limits = limits
        self.bus = EventBus(database)
        self.channels = Channels(schema, read_members(folder))
        self.managed = ManagedSubscriptions(
            database=database, channels=self.channels, folder=folder
        )
        self._capture = Capture(self.bus)
        self._counted = 0  # events up to this number count as published
        self.delivered = Allowance(most=limits[DELIVERED_KEY], window_s=24 * HOUR_S)
        self.published = Allowance(most=limits[PUBLISHED_KEY], window_s=HOUR_S)
        self.keep_alive_s = KEEP_ALIVE_S
        self.publish_idle_s = PUBLISH_IDLE_S

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Create the ring and watch the selected objects; the last selection by command holds."""
        self.bus.prepare(connection)
        self.managed.prepare(connection)
        self._counted = self.bus.last_in(connection)
        sql = "SELECT value FROM sandbox_meta WHERE key = ?"
        row = connection.execute(sql, (SELECTION,)).fetchone()
        if row is not None:
            stored = (self.channels.entity(name) for name in json.loads(row[0]))
            self.channels.selected = tuple(item.name for item in stored if item is not None)
        self._capture.watch(connection, self.channels.recorded())

    def commit(self, tx: Transaction) -> None:
        """Write the change events of a transaction that is about to commit."""
        self.count_published(tx.connection)
        if tx.actor.is_system:
            self._capture.forget(tx.connection)
        else:
            self._capture.collect(tx)

    def publish(self, tx: Transaction, item: ObjectType, row: Row) -> str | RowError:
        """Put a platform event on the bus when the transaction commits; return its uuid."""
        if not self.may_publish(tx.connection):
            message = "You have exceeded the event publishing limit for your org."
            return RowError("LIMIT_EXCEEDED", message)
        schema = platform_schema(item)
        datum: dict[str, Any] = {
            f.name: avro_value(f, row[f.name]) for f in item.fields if f.custom
        }
        datum |= {"CreatedDate": tx.now_s * 1_000, "CreatedById": tx.actor.user_id}
        payload = schema.encode(datum)
        if len(payload) > MAX_EVENT_BYTES:
            return RowError("LIMIT_EXCEEDED", "The event message is larger than 1 MB.")
        name = str(uuid.uuid4())
        self.bus.append(tx.connection, EVENT + item.name, schema, payload, event_id=name)
        return name

    def may_publish(self, connection: sqlite3.Connection) -> bool:
        """Return whether one more event may be published by the present transaction."""
        left = self.published.remaining()
        if left > self.bus.last_in(connection) - self._counted:
            return True  # without a look at which of the new events were published
        return left > self.bus.published_after(connection, self._counted)

    def count_published(self, connection: sqlite3.Connection) -> None:
        """Count what a transaction that is about to commit publishes; an undone one is free."""
        self.published.take(self.bus.published_after(connection, self._counted))
        self._counted = self.bus.last_in(connection)

    def used(self) -> dict[str, tuple[int, int]]:
        """Return (most, left) of the allowances that `/limits` names."""
        return {
            DELIVERED_KEY: (self.delivered.most, self.delivered.remaining()),
            PUBLISHED_KEY: (self.published.most, self.published.remaining()),
        }

    def select(self, names: Sequence[str]) -> None:
        """Record the changes of these objects in the standard channel, and of no others.

        Raises:
            ApiError: 400 for an object whose changes cannot be recorded.
        """
        found = [self.channels.entity(name) for name in names]
        for name, item in zip(names, found, strict=True):
            if item is None:
                raise ApiError(400, "INVALID_INPUT", f"no change events exist for {name}")
        selected = tuple(dict.fromkeys(item.name for item in found if item is not None))
        with self._database.write() as connection:
            sql = "INSERT OR REPLACE INTO sandbox_meta (key, value) VALUES (?, ?)"
            connection.execute(sql, (SELECTION, json.dumps(selected)))
            self.channels.selected = selected
            self._capture.watch(connection, self.channels.recorded())

    def gap(
        self, name: str, *, kind: str, record_ids: Sequence[str], user_id: str, now_s: int
    ) -> None:
        """Write a gap or overflow event by command.

        Raises:
            ApiError: 400 for an unknown object or kind.
        """
        item = self.channels.entity(name)
        if item is None or kind not in GAPS:
            message = f"entity must name an object, type one of {', '.join(GAPS)}"
            raise ApiError(400, "INVALID_INPUT", message)
        with self._database.write() as connection:
            self._capture.gap(
                connection, item, kind=kind, record_ids=record_ids, user_id=user_id, now_s=now_s
            )
        self.bus.wake()

    def expire(self) -> int:
        """Drop all events as if they were older than 72 hours; return how many."""
        with self._database.write() as connection:
            return self.bus.purge(connection, everything=True)

    def overflow_at(self, count: int) -> None:
        """Set how many changes of one transaction are told one by one."""
        self._capture.overflow_at = count

    def pause(self, connection: sqlite3.Connection) -> None:
        """Stop watching: what follows is no change of a user."""
        self._capture.watch(connection, ())

    def start_over(self, connection: sqlite3.Connection) -> None:
        """Forget all events, commits, selections and settings made by command."""
        self.bus.forget(connection)
        self.managed.start_over(connection)
        connection.execute("DELETE FROM sandbox_meta WHERE key = ?", (SELECTION,))
        self.channels.selected = self.channels.of_metadata
        self._capture.watch(connection, self.channels.recorded())
        self.overflow_at(OVERFLOW_AT)
        self.keep_alive_s, self.publish_idle_s = KEEP_ALIVE_S, PUBLISH_IDLE_S
        self.delivered.start_over(most=self._limits[DELIVERED_KEY])
        self.published.start_over(most=self._limits[PUBLISHED_KEY])

    def overview(self) -> dict[str, Any]:
        """Return what the admin call shows."""
        return self.bus.counts() | {
            "entities": list(self.channels.selected),
            "recorded": [item.name for item in self.channels.recorded()],
            "deliveries_left": self.delivered.remaining(),
            "publishes_left": self.published.remaining(),
            "keep_alive_s": self.keep_alive_s,
            "publish_idle_s": self.publish_idle_s,
        }
