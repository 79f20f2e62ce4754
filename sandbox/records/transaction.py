"""One transaction: who acts, when, and what has to happen once it is committed."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from ..schema.automation import Automation
from ..schema.model import ObjectType, Schema
from ..storage.database import Database
from ..storage.tables import quoted

Row = dict[str, Any]  # stored values by field name, all columns of one record


@dataclass(frozen=True, slots=True)
class Actor:
    """The user on whose behalf records are written."""

    user_id: str
    username: str
    sends_outbound_messages: bool
    is_system: bool = False


class IdSource(Protocol):
    """Hands out record ids, never the same twice."""

    def take(self, connection: sqlite3.Connection, item: ObjectType, count: int) -> list[str]:
        """Return new ids of an object."""


class LockFaults(Protocol):
    """Tells whether a scheduled fault makes a record's lock unobtainable."""

    def lock_refused(self, object_name: str) -> bool:
        """Return whether the next row of an object fails, and count it."""


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
    faults: LockFaults
    audit: list[dict[str, Any]] = field(default_factory=list)
    messages: set[str] = field(default_factory=set)
    syncing_quotes: bool = False

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

    def note(self, verb: str, item: ObjectType, record_id: str) -> None:
        """Remember a write for the audit."""
        self.audit.append(
            {
                "at_s": self.now_s,
                "user": self.actor.username,
                "user_id": self.actor.user_id,
                "verb": verb,
                "object": item.name,
                "id": record_id,
                "request_id": self.request_id,
            }
        )


def json_list(values: Sequence[Any]) -> str:
    """Return values as the JSON array that `json_each` reads."""
    return orjson.dumps(list(values)).decode()
