"""What is left of the allowances, and how many records there are (fact sheet B.2, J)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..limits import whole_mb
from ..records.room import data_bytes, file_bytes, living
from ..schema.definitions import DEFINITIONS
from .http import Answer, Request

if TYPE_CHECKING:
    from ..org import Org

CUSTOM_PERMISSION_SETS = 1_000


def limits(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /limits."""
    room = {"DataStorageMB": org.room.data_mb, "FileStorageMB": org.room.file_mb}
    most_of = {**org.profile.limits, **room}
    body: dict[str, Any] = {name: _entry(most, most) for name, most in most_of.items()}
    with org.database.read() as connection:
        used = org.bulk.used() | {
            "DataStorageMB": whole_mb(data_bytes(connection, org.schema)),
            "FileStorageMB": whole_mb(file_bytes(connection)),
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
            count = living(connection, item)
            if count:
                counts.append({"count": count, "name": item.name})
    return Answer(200, {"sObjects": counts})
