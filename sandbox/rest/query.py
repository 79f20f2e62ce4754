"""Queries and what changed (fact sheet C.8, H.2)."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import clock
from ..errors import ApiError
from ..records.delete_log import begins_s
from ..schema.describe import is_replicateable
from ..schema.model import ObjectType
from ..soql.execute import DEFAULT_BATCH, MIN_BATCH
from ..storage.tables import quoted
from ..storage.values import datetime_json, parse_datetime
from .http import Answer, Request
from .rows import object_of

if TYPE_CHECKING:
    from ..org import Org

BATCH_SIZE = re.compile(r"batchSize\s*=\s*(\d{1,9})")
UPDATED_WINDOW_S = 30 * 24 * 3_600
DELETED_WINDOW_S = 15 * 24 * 3_600
MINUTE_S = 60
MAX_IDS = 600_000


def query(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /query?q=."""
    return _query(org, request, include_deleted=False)


def query_all(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /queryAll?q=, the recycle bin included."""
    return _query(org, request, include_deleted=True)


def _query(org: "Org", request: Request, *, include_deleted: bool) -> Answer:
    text = request.query.get("q")
    if text is None:
        raise ApiError(400, "MALFORMED_QUERY", "A query string has to be specified")
    if request.query.get("columns", "").lower() == "true":
        told = org.queries.columns(
            text,
            base=request.base,
            include_deleted=include_deleted,
            view=request.me.actor.view,
        )
        return Answer(200, told)
    if include_deleted:
        org.expire_recycle_bin()
    page = org.queries.query(
        text,
        base=request.base,
        user_id=request.me.actor.user_id,
        include_deleted=include_deleted,
        view=request.me.actor.view,
        batch=_batch(request),
    )
    return Answer(200, page)


def query_more(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /query/locator."""
    page = org.queries.more(
        found[0], base=request.base, user_id=request.me.actor.user_id, batch=_batch(request)
    )
    return Answer(200, page)


def _batch(request: Request) -> int:
    match = BATCH_SIZE.search(request.headers.get("sforce-query-options", ""))
    if match is None:
        return DEFAULT_BATCH
    return max(MIN_BATCH, min(DEFAULT_BATCH, int(match.group(1))))


def updated(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /sobjects/T/updated?start=&end=."""
    item = _replicateable(org, found[0], request)
    start_s, end_s = _window(request, oldest_s=UPDATED_WINDOW_S)
    sql = (
        f'SELECT "Id" FROM {quoted(item.name)} WHERE "SystemModstamp" >= ? '
        'AND "SystemModstamp" < ? AND "IsDeleted" = 0 ORDER BY "SystemModstamp", "Id" LIMIT ?'
    )
    with org.database.read() as connection:
        rows = connection.execute(sql, (start_s, end_s, MAX_IDS + 1)).fetchall()
    if len(rows) > MAX_IDS:
        raise ApiError(400, "EXCEEDED_ID_LIMIT", "exceeded id limit: 600000")
    covered = datetime_json(org.late.covered_s(end_s))
    return Answer(200, {"ids": [row[0] for row in rows], "latestDateCovered": covered})


def deleted(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /sobjects/T/deleted?start=&end=."""
    item = _replicateable(org, found[0], request)
    start_s, end_s = _window(request, oldest_s=DELETED_WINDOW_S, least_s=MINUTE_S)
    sql = (
        f'SELECT "Id", "SystemModstamp" FROM {quoted(item.name)} WHERE "SystemModstamp" >= ? '
        'AND "SystemModstamp" < ? AND "IsDeleted" = 1 ORDER BY "SystemModstamp", "Id" LIMIT ?'
    )
    with org.database.read() as connection:
        rows = connection.execute(sql, (start_s, end_s, MAX_IDS + 1)).fetchall()
        first = begins_s(connection, start_s=start_s)
    if len(rows) > MAX_IDS:
        raise ApiError(400, "EXCEEDED_ID_LIMIT", "exceeded id limit: 600000")
    records = [{"id": i, "deletedDate": datetime_json(stamp)} for i, stamp in rows]
    body = {
        "deletedRecords": records,
        "earliestDateAvailable": datetime_json(first),
        "latestDateCovered": datetime_json(org.late.covered_s(end_s)),
    }
    return Answer(200, body)


def _replicateable(org: "Org", name: str, request: Request) -> ObjectType:
    item = object_of(org, name, request)
    if not is_replicateable(item):
        message = f"entity type {item.name} does not support replication"
        raise ApiError(400, "INVALID_TYPE_FOR_OPERATION", message)
    return item


def _window(request: Request, *, oldest_s: int, least_s: int = 0) -> tuple[int, int]:
    """Return start and end in whole minutes, the end rounded up to include the present one."""
    bounds = []
    for name in ("start", "end"):
        text = request.query.get(name)
        seconds = parse_datetime(text.replace(" ", "+")) if text else None
        if seconds is None:
            message = f"{name} must be a date and time in ISO 8601 format"
            raise ApiError(400, "INVALID_REPLICATION_DATE", message)
        bounds.append(seconds)
    if 0 <= bounds[1] - bounds[0] < least_s:
        message = "startDate must be at least one minute before endDate"
        raise ApiError(400, "INVALID_REPLICATION_DATE", message)
    start_s, end_s = (bound // MINUTE_S * MINUTE_S for bound in bounds)
    now_s = clock.epoch_s()
    if end_s >= now_s // 60 * 60:
        end_s = max(end_s, now_s) + 1
    if start_s >= end_s:
        message = "startDate must be before endDate"
        raise ApiError(400, "INVALID_REPLICATION_DATE", message)
    if start_s < now_s - oldest_s:
        message = f"startDate cannot be more than {oldest_s // 86_400} days ago"
        raise ApiError(400, "INVALID_REPLICATION_DATE", message)
    return start_s, end_s
