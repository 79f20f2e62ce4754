"""What there is: versions, resources, objects (fact sheet B.1 to B.3)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..schema.currencies import with_choices
from ..schema.describe import describe_global, describe_object
from ..schema.model import ObjectType
from .conditions import unless_known, validators
from .extras import recent_items
from .http import Answer, Request
from .rows import object_of, seen_by

if TYPE_CHECKING:
    from ..org import Org

FIRST_VERSION, LAST_VERSION = 50, 67
RESOURCES = (
    "sobjects",
    "query",
    "queryAll",
    "search",
    "parameterizedSearch",
    "limits",
    "composite",
    "recent",
    "actions",
    "jobs",
)
SEASONS = ("Winter", "Spring", "Summer")


def label_of(version: int) -> str:
    """Return the release name of a version: 67 is Summer '26."""
    season = SEASONS[(version - 62) % 3]
    year = 25 + (version - 62) // 3
    return f"{season} '{year:02d}"


def versions() -> list[dict[str, str]]:
    """Return the list of API versions."""
    return [
        {"label": label_of(v), "url": f"/services/data/v{v}.0", "version": f"{v}.0"}
        for v in range(FIRST_VERSION, LAST_VERSION + 1)
    ]


def resources(org: "Org", request: Request) -> Answer:
    """GET /services/data/vNN.0."""
    body = {name: f"{request.base}/{name}" for name in RESOURCES}
    actor = request.me.actor
    body["identity"] = f"{request.origin}/id/{org.organization_id}/{actor.user_id}"
    return Answer(200, body)


def global_describe(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /sobjects."""
    answer = Answer(200, describe_global(seen_by(org, request), base=request.base))
    return unless_known(request, answer, validators(None, "", org.sessions.since_s))


def basic_info(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /sobjects/T."""
    item = object_of(org, found[0], request)
    everything = describe_global(seen_by(org, request), base=request.base)["sobjects"]
    described = next(entry for entry in everything if entry["name"] == item.name)
    recent = recent_items(org, request, only=item)
    return Answer(200, {"objectDescribe": described, "recentItems": recent})


def describe(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /sobjects/T/describe."""
    item = object_of(org, found[0], request)
    types = _record_types(org, item)
    schema = seen_by(org, request)
    with org.database.read() as connection:
        item = with_choices(item, connection)
    body = describe_object(item, schema, base=request.base, record_types=types)
    return unless_known(
        request, Answer(200, body), validators(None, item.name, org.sessions.since_s)
    )


def _record_types(org: "Org", item: ObjectType) -> list[dict[str, Any]]:
    sql = (
        'SELECT "Id", "Name", "DeveloperName", "IsActive" FROM "RecordType" '
        'WHERE "SobjectType" = ? AND "IsDeleted" = 0 ORDER BY "Id"'
    )
    with org.database.read() as connection:
        rows = connection.execute(sql, (item.name,)).fetchall()
    return [
        {"id": i, "name": name, "developer_name": developer, "active": active == 1}
        for i, name, developer, active in rows
    ]
