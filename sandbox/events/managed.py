"""Managed subscriptions: a name, its topic, and how far its client has got (fact sheet H.4)."""

import re
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ApiError
from ..ids import make_id, normalize
from ..schema.left_out import leave_out
from ..schema.xml import SUFFIX, metadata_files, read_xml
from ..storage.database import Database
from .channels import Channels

if TYPE_CHECKING:
    from .calls import Caller

KIND = "managedEventSubscription"
PREFIX = "18x"
PRESETS = ("LATEST", "EARLIEST")
RUN, STOP = "RUN", "STOP"
MOST = 200
MOST_LETTERS = 80
NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*\Z")
TABLE = """
CREATE TABLE IF NOT EXISTS sandbox_managed_subscription (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    developer_name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    label TEXT NOT NULL,
    topic TEXT NOT NULL,
    default_replay TEXT NOT NULL,
    error_recovery_replay TEXT NOT NULL,
    state TEXT NOT NULL,
    of_metadata INTEGER NOT NULL,
    committed INTEGER
)
"""


@dataclass(frozen=True, slots=True)
class Definition:
    """What an administrator says of a managed subscription; presets and states are Salesforce's."""

    developer_name: str
    label: str = ""
    topic: str = ""
    default_replay: str = PRESETS[0]
    error_recovery_replay: str = PRESETS[0]
    state: str = STOP

    def complaint(self, channels: Channels) -> str | None:
        """Return what is wrong with it, or None."""
        if not NAME.match(self.developer_name) or len(self.developer_name) > MOST_LETTERS:
            shape = f"letters, digits and single underscores, up to {MOST_LETTERS}"
            return f"developer_name must be {shape}: {self.developer_name:.100}"
        if channels.find(self.topic) is None:
            return f"topic must name a topic of the org: {self.topic}"
        if not {self.default_replay, self.error_recovery_replay} <= set(PRESETS):
            return f"default_replay and error_recovery_replay must be one of {', '.join(PRESETS)}"
        if self.state not in {RUN, STOP}:
            return f"state must be {RUN} or {STOP}"
        return None


@dataclass(frozen=True, slots=True)
class ManagedSubscription:
    """A defined subscription and the replay number its client committed last."""

    id: str
    definition: Definition
    committed: int | None


class ManagedSubscriptions:
    """The managed subscriptions of one org; what is committed outlives the process."""

    def __init__(self, *, database: Database, channels: Channels, folder: Path | None) -> None:
        self._database = database
        self._channels = channels
        self._deployed = read_definitions(folder, channels)
        self._lock = threading.Lock()
        self._holders: dict[str, Caller] = {}

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Deploy what the metadata defines; what clients committed stays."""
        connection.execute(TABLE)
        names = {definition.developer_name.lower() for definition in self._deployed}
        sql = "SELECT developer_name FROM sandbox_managed_subscription WHERE of_metadata"
        for (name,) in connection.execute(sql).fetchall():
            if name.lower() not in names:
                _delete(connection, name)
        for definition in self._deployed:
            _save(connection, definition, of_metadata=True)

    def all(self) -> list[ManagedSubscription]:
        """Return all subscriptions, oldest first."""
        with self._database.read() as connection:
            return _read(connection)

    def find(self, name_or_id: str) -> ManagedSubscription | None:
        """Return a subscription by its developer name or its id of 15 or 18 characters."""
        name, record_id = name_or_id.lower(), normalize(name_or_id)
        for one in self.all():
            if one.definition.developer_name.lower() == name or one.id == record_id:
                return one
        return None

    def define(self, name: str, changes: Mapping[str, Any]) -> ManagedSubscription:
        """Make a subscription, or change the one of that name.

        Another topic, or STOP, forgets what was committed.

        Raises:
            ApiError: 400 for a wrong value, or one subscription too many.
        """
        known = self.find(name)
        before = known.definition if known is not None else Definition(name, label=name, state=RUN)
        definition = replace(before, **changes)
        complaint = definition.complaint(self._channels)
        if known is None and len(self.all()) >= MOST:
            complaint = f"an org has at most {MOST} managed subscriptions"
        if complaint is not None:
            raise ApiError(400, "INVALID_INPUT", complaint)
        with self._database.write() as connection:
            _save(connection, definition, of_metadata=False)
        found = self.find(name)
        assert found is not None
        return found

    def remove(self, name: str) -> bool:
        """Remove a subscription; return whether there was one."""
        with self._database.write() as connection:
            return _delete(connection, name)

    def commit(self, name: str, number: int) -> None:
        """Keep how far a client has got."""
        with self._database.write() as connection:
            sql = "UPDATE sandbox_managed_subscription SET committed = ? WHERE developer_name = ?"
            connection.execute(sql, (number, name))

    def start_over(self, connection: sqlite3.Connection) -> None:
        """Forget commits and what was defined by command."""
        connection.execute("DELETE FROM sandbox_managed_subscription")
        self.prepare(connection)

    # --- one client at a time ---

    def hold(self, name: str, caller: "Caller") -> bool:
        """Give a subscription to a stream; return False while another stream has it."""
        with self._lock:
            holder = self._holders.get(name)
            if holder is not None and holder.is_active:
                return False
            self._holders[name] = caller
            return True

    def release(self, caller: "Caller") -> None:
        """Take back what a stream held."""
        with self._lock:
            for name in [name for name, holder in self._holders.items() if holder is caller]:
                self._holders.pop(name)

    def is_held(self, name: str) -> bool:
        """Return whether a client is connected to a subscription."""
        with self._lock:
            holder = self._holders.get(name)
            return holder is not None and holder.is_active


def read_definitions(folder: Path | None, channels: Channels) -> tuple[Definition, ...]:
    """Return the managed subscriptions of an SFDX source folder (ManagedEventSubscription).

    One that names no topic, or has a wrong value, is left out.
    """
    found = []
    for path in metadata_files(folder, f"*.{KIND}{SUFFIX}"):
        root = read_xml(path)
        name = path.name.removesuffix(f".{KIND}{SUFFIX}")
        definition = Definition(
            developer_name=name,
            label=root.text("label") or name,
            topic=root.text("topicName") or "",
            default_replay=root.text("defaultReplay") or PRESETS[0],
            error_recovery_replay=root.text("errorRecoveryReplay") or PRESETS[0],
            state=root.text("state") or STOP,
        )
        complaint = definition.complaint(channels)
        if complaint is not None:
            leave_out(path.name, complaint)
            continue
        found.append(definition)
    return tuple(found)


def _read(connection: sqlite3.Connection) -> list[ManagedSubscription]:
    sql = (
        "SELECT number, committed, developer_name, label, topic, default_replay, "
        "error_recovery_replay, state FROM sandbox_managed_subscription ORDER BY number"
    )
    return [
        ManagedSubscription(make_id(prefix=PREFIX, number=number), Definition(*rest), committed)
        for number, committed, *rest in connection.execute(sql)
    ]


def _save(connection: sqlite3.Connection, definition: Definition, *, of_metadata: bool) -> None:
    sql = (
        "INSERT INTO sandbox_managed_subscription (developer_name, label, topic, default_replay, "
        "error_recovery_replay, state, of_metadata) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (developer_name) DO UPDATE SET label = excluded.label, "
        "committed = CASE WHEN topic = excluded.topic AND excluded.state <> ? "
        "THEN committed END, "
        "topic = excluded.topic, default_replay = excluded.default_replay, "
        "error_recovery_replay = excluded.error_recovery_replay, state = excluded.state, "
        "of_metadata = MAX(of_metadata, excluded.of_metadata)"
    )
    values = (
        definition.developer_name,
        definition.label,
        definition.topic,
        definition.default_replay,
        definition.error_recovery_replay,
        definition.state,
        of_metadata,
    )
    connection.execute(sql, (*values, STOP))


def _delete(connection: sqlite3.Connection, name: str) -> bool:
    sql = "DELETE FROM sandbox_managed_subscription WHERE developer_name = ?"
    return connection.execute(sql, (name,)).rowcount > 0
