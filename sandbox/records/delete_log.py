"""The log of deleted records, and its purge (fact sheet H.2).

The log is the recycle bin: what is purged is gone from `queryAll` and `/deleted` alike, and a
caller who asks for a time before the purge is told to read everything anew.
"""

import sqlite3

from ..errors import ApiError
from ..schema.model import Schema
from ..storage.tables import quoted
from ..storage.values import datetime_json

KEY = "delete_log_begins"


def begins_s(connection: sqlite3.Connection, *, start_s: int) -> int:
    """Return since when deleted records are known.

    Raises:
        ApiError: INVALID_REPLICATION_DATE where the log was purged after `start_s`.
    """
    sql = "SELECT value FROM sandbox_meta WHERE key = ?"
    row = connection.execute(sql, (KEY,)).fetchone()
    if row is None:
        founded = connection.execute('SELECT MIN("CreatedDate") FROM "Organization"').fetchone()
        return int(founded[0])
    purged_s = int(row[0])
    if start_s < purged_s:
        message = (
            "the delete log was purged: startDate is before the earliest date available, "
            f"{datetime_json(purged_s)}"
        )
        raise ApiError(400, "INVALID_REPLICATION_DATE", message)
    return purged_s


def purge(connection: sqlite3.Connection, schema: Schema, *, before_s: int) -> int:
    """Remove deleted records for good and return how many there were."""
    gone = 0
    for item in schema:
        sql = f'DELETE FROM {quoted(item.name)} WHERE "IsDeleted" = 1 AND "SystemModstamp" < ?'
        gone += connection.execute(sql, (before_s,)).rowcount
    forget(connection)
    sql = "INSERT INTO sandbox_meta (key, value) VALUES (?, ?)"
    connection.execute(sql, (KEY, str(before_s)))
    return gone


def forget(connection: sqlite3.Connection) -> None:
    """Begin the log with the founding of the org again."""
    connection.execute("DELETE FROM sandbox_meta WHERE key = ?", (KEY,))
