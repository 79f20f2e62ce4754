"""The recycle bin: what was deleted together, which lookups it emptied, and when it expires.

A deleted record stays in its table for fifteen days (fact sheet I, H.1); the bin remembers what
else its delete took along, so that an undelete can bring back the same.
"""

import sqlite3
from collections.abc import Iterable, Sequence

from ..ids import number_of
from ..schema.model import ObjectType, Schema
from ..storage.tables import quoted
from .transaction import json_list

KEPT_S = 15 * 24 * 3_600
LAST_ID = "last_id."


def remember(
    connection: sqlite3.Connection,
    root_id: str,
    *,
    deleted_s: int,
    ids: Iterable[str],
    emptied: Iterable[tuple[str, str, Sequence[tuple[str, str]]]],
) -> None:
    """Note one delete: the record asked for, all that went, the lookups that pointed there.

    `emptied` is (object, field, pairs of record id and former value) of lookups that are null now.
    """
    connection.executemany(
        "INSERT OR REPLACE INTO sandbox_recycled (record_id, root_id, deleted_s) VALUES (?, ?, ?)",
        [(record_id, root_id, deleted_s) for record_id in ids],
    )
    connection.execute("DELETE FROM sandbox_emptied WHERE root_id = ?", (root_id,))
    connection.executemany(
        "INSERT INTO sandbox_emptied (root_id, object, field, record_id, target_id) "
        "VALUES (?, ?, ?, ?, ?)",
        [
            (root_id, name, field, record_id, target_id)
            for name, field, pairs in emptied
            for record_id, target_id in pairs
        ],
    )


def deleted_with(connection: sqlite3.Connection, root_id: str) -> list[str]:
    """Return the ids that went with a delete, the record itself included."""
    sql = "SELECT record_id FROM sandbox_recycled WHERE root_id = ? ORDER BY record_id"
    return [row[0] for row in connection.execute(sql, (root_id,))]


def emptied_by(connection: sqlite3.Connection, root_id: str) -> list[tuple[str, str, str, str]]:
    """Return the lookups a delete emptied: (object, field, record id, former value)."""
    sql = (
        "SELECT object, field, record_id, target_id FROM sandbox_emptied WHERE root_id = ? "
        "ORDER BY object, field, record_id"
    )
    return list(connection.execute(sql, (root_id,)))


def forget(connection: sqlite3.Connection, root_id: str) -> None:
    """Forget a delete that was taken back or made final."""
    connection.execute("DELETE FROM sandbox_recycled WHERE root_id = ?", (root_id,))
    connection.execute("DELETE FROM sandbox_emptied WHERE root_id = ?", (root_id,))


def remove_for_good(connection: sqlite3.Connection, schema: Schema, root_id: str) -> list[str]:
    """Remove what one delete put into the bin and return the ids."""
    ids = deleted_with(connection, root_id)
    _remove(connection, schema, ids)
    forget(connection, root_id)
    return ids


def has_expired(connection: sqlite3.Connection, *, now_s: int) -> bool:
    """Return whether something has been in the bin for longer than fifteen days."""
    sql = "SELECT 1 FROM sandbox_recycled WHERE deleted_s < ? LIMIT 1"
    return connection.execute(sql, (now_s - KEPT_S,)).fetchone() is not None


def expire(connection: sqlite3.Connection, schema: Schema, *, now_s: int) -> None:
    """Remove what has been in the bin for longer than fifteen days."""
    sql = "SELECT DISTINCT root_id FROM sandbox_recycled WHERE deleted_s < ?"
    for (root_id,) in connection.execute(sql, (now_s - KEPT_S,)).fetchall():
        remove_for_good(connection, schema, root_id)


def last_removed(connection: sqlite3.Connection, object_name: str) -> str | None:
    """Return the latest id of an object whose record was removed for good."""
    sql = "SELECT value FROM sandbox_meta WHERE key = ?"
    row = connection.execute(sql, (LAST_ID + object_name,)).fetchone()
    return None if row is None else str(row[0])


def was_removed(connection: sqlite3.Connection, item: ObjectType, record_id: str) -> bool:
    """Return whether an id that has no record was that of one removed for good."""
    sql = f'SELECT MAX("Id") FROM {quoted(item.name)}'
    (last,) = connection.execute(sql).fetchone()
    known = [number_of(i) for i in (last, last_removed(connection, item.name)) if i]
    return number_of(record_id) <= max(known, default=0)


def clear(connection: sqlite3.Connection) -> None:
    """Forget everything, as after a reset."""
    connection.execute("DELETE FROM sandbox_meta WHERE key LIKE ?", (LAST_ID + "%",))
    connection.execute("DELETE FROM sandbox_recycled")
    connection.execute("DELETE FROM sandbox_emptied")


def _remove(connection: sqlite3.Connection, schema: Schema, ids: Sequence[str]) -> None:
    by_prefix: dict[str, list[str]] = {}
    for record_id in ids:
        by_prefix.setdefault(record_id[:3], []).append(record_id)
    for prefix, chosen in by_prefix.items():
        name = schema.by_prefix[prefix].name
        # Ids are given once: the next one follows the last even where that is gone.
        connection.execute(
            "INSERT INTO sandbox_meta (key, value) VALUES (?, ?) ON CONFLICT (key) "
            "DO UPDATE SET value = MAX(value, excluded.value)",
            (LAST_ID + name, max(chosen)),
        )
        table = quoted(name)
        sql = (
            f'DELETE FROM {table} WHERE "IsDeleted" = 1 '
            'AND "Id" IN (SELECT value FROM json_each(?))'
        )
        connection.execute(sql, (json_list(chosen),))
