"""What is left of the allowances, and how many records there are (fact sheet B.2, J)."""

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..limits import whole_mb
from ..schema.definitions import DEFINITIONS
from ..schema.model import ObjectType, Schema
from ..storage.tables import quoted
from .http import Answer, Request

if TYPE_CHECKING:
    from ..org import Org

RECORD_BYTES = 2_048  # whatever is in it
CUSTOM_PERMISSION_SETS = 1_000
# Set-up and files: their records need no data storage.
FREE = frozenset(
    {
        "ContentDocument",
        "ContentDocumentLink",
        "ContentVersion",
        "Group",
        "GroupMember",
        "PermissionSetAssignment",
        "QueueSobject",
    }
)


def limits(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /limits."""
    body: dict[str, Any] = {name: _entry(most, most) for name, most in org.profile.limits.items()}
    with org.database.read() as connection:
        used = org.bulk.used() | {
            "DataStorageMB": whole_mb(_data_bytes(connection, org.schema)),
            "FileStorageMB": whole_mb(_file_bytes(connection)),
        }
        (sets,) = connection.execute('SELECT COUNT(*) FROM "PermissionSet"').fetchone()
    for name, count in used.items():
        body[name] = _entry(body[name]["Max"], body[name]["Max"] - count)
    for name, (most, left) in org.events.used().items():
        body[name] = _entry(most, left)
    body["PermissionSets"] = _entry(
        body["PermissionSets"]["Max"], body["PermissionSets"]["Max"] - sets
    )
    body["PermissionSets"]["CreateCustom"] = _entry(
        CUSTOM_PERMISSION_SETS, CUSTOM_PERMISSION_SETS - sets
    )
    body["DailyApiRequests"] = _entry(org.meter.most, org.meter.most - org.meter.used)
    return Answer(200, dict(sorted(body.items())))


def _entry(most: int, left: int) -> dict[str, Any]:
    return {"Max": most, "Remaining": max(0, left)}


def _data_bytes(connection: sqlite3.Connection, schema: Schema) -> int:
    """Return the data storage in use; what is in the recycle bin needs none."""
    return RECORD_BYTES * sum(_alive(connection, item) for item in schema if _is_stored(item))


def _is_stored(item: ObjectType) -> bool:
    return item.createable and item.deletable and not item.event and item.name not in FREE


def _alive(connection: sqlite3.Connection, item: ObjectType) -> int:
    sql = f'SELECT COUNT(*) FROM {quoted(item.name)} WHERE "IsDeleted" = 0'
    return int(connection.execute(sql).fetchone()[0])


def _file_bytes(connection: sqlite3.Connection) -> int:
    sql = 'SELECT COALESCE(SUM("ContentSize"), 0) FROM "ContentVersion" WHERE "IsDeleted" = 0'
    return int(connection.execute(sql).fetchone()[0])


def record_count(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /limits/recordCount; empty objects are left out."""
    wanted = request.query.get("sObjects")
    names = (
        wanted.split(",")
        if wanted
        else [item.name for item in org.schema if item.name not in DEFINITIONS]
    )
    counts = []
    with org.database.read() as connection:
        for item in (org.schema.find(name.strip()) for name in names):
            if item is None:
                continue
            count = _alive(connection, item)
            if count:
                counts.append({"count": count, "name": item.name})
    return Answer(200, {"sObjects": counts})
