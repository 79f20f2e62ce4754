"""The storage of the org: what takes it, what is left of it, and who finds none (fact sheet J)."""

import sqlite3
from collections.abc import Sequence

from ..limits import MB
from ..schema.model import ObjectType, Schema
from ..storage.tables import quoted
from .draft import Draft

RECORD_BYTES = 2_048  # whatever is in it
FILES = "ContentVersion"
# Set-up and files: their records need no data storage.
FREE = frozenset(
    {
        "ContentDocument",
        "ContentDocumentLink",
        FILES,
        "Group",
        "GroupMember",
        "PermissionSetAssignment",
        "QueueSobject",
    }
)


class Room:
    """Refuses new records and files for which no storage is left.

    Records are counted when those known to fit are used up, not at every save: what was deleted
    or undone since the last count gives its room back then.
    """

    def __init__(self, schema: Schema, *, data_mb: int, file_mb: int) -> None:
        self._schema = schema
        self._fitting = 0
        self.data_mb = data_mb
        self.file_mb = file_mb

    def set(self, *, data_mb: int, file_mb: int) -> None:
        """Change what there is."""
        self.data_mb, self.file_mb = data_mb, file_mb
        self._fitting = 0

    def check(
        self, connection: sqlite3.Connection, item: ObjectType, drafts: Sequence[Draft]
    ) -> None:
        """Refuse the drafts of new records that do not fit, the last ones first."""
        if item.name == FILES:
            self._check_files(connection, drafts)
        elif _is_stored(item):
            self._check_records(connection, drafts)

    def _check_records(self, connection: sqlite3.Connection, drafts: Sequence[Draft]) -> None:
        if len(drafts) > self._fitting:
            left = self.data_mb * MB - data_bytes(connection, self._schema)
            self._fitting = max(0, left // RECORD_BYTES)
        for draft in drafts[self._fitting :]:
            _refuse(draft)
        self._fitting -= min(self._fitting, len(drafts))

    def _check_files(self, connection: sqlite3.Connection, drafts: Sequence[Draft]) -> None:
        left = self.file_mb * MB - file_bytes(connection)
        for draft in drafts:
            left -= draft.new["ContentSize"] or 0
            if left < 0:
                _refuse(draft)


def _refuse(draft: Draft) -> None:
    draft.refuse("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded")


def data_bytes(connection: sqlite3.Connection, schema: Schema) -> int:
    """Return the data storage in use; what is in the recycle bin needs none."""
    return RECORD_BYTES * sum(living(connection, item) for item in schema if _is_stored(item))


def _is_stored(item: ObjectType) -> bool:
    return item.createable and item.deletable and not item.event and item.name not in FREE


def living(connection: sqlite3.Connection, item: ObjectType) -> int:
    """Return how many records of an object are not deleted."""
    sql = f'SELECT COUNT(*) FROM {quoted(item.name)} WHERE "IsDeleted" = 0'
    return int(connection.execute(sql).fetchone()[0])


def file_bytes(connection: sqlite3.Connection) -> int:
    """Return the size of all versions of all files."""
    sql = f'SELECT COALESCE(SUM("ContentSize"), 0) FROM "{FILES}" WHERE "IsDeleted" = 0'
    return int(connection.execute(sql).fetchone()[0])
