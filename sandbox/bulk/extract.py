"""Works off a query job: the rows of a query as CSV (fact sheet E.4)."""

import sqlite3
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any

import orjson

from .. import clock
from ..errors import ApiError
from ..records.transaction import Actor
from ..schema.model import FieldType, Schema
from ..soql.ast import Call, FieldGroup, SelectItem, TypeOf
from ..soql.parser import parse
from ..soql.planner import LAST_VERSION, Plan, plan_query
from ..soql.select import Column
from . import store
from .errors import exceeded_quota, feature_not_enabled
from .ingest import StoppedError
from .job import Job, State
from .text import written

if TYPE_CHECKING:
    from ..org import Org

PAGE = 2_000
RESULT = "result"
MS = 1_000
# Pages are read as the newest version does, whose cursors neither end early nor push others out.
BASE = f"/services/data/v{LAST_VERSION}.0"


def plan_bulk(schema: Schema, text: str, *, include_deleted: bool) -> Plan:
    """Return the plan of a query that Bulk API takes.

    Raises:
        ApiError: What SOQL refuses, or FEATURENOTENABLED for what it cannot do in bulk.
    """
    query = parse(text)
    aggregates = bool(query.group_by) or any(
        isinstance(s, SelectItem) and isinstance(s.expression, Call) for s in query.select
    )
    if aggregates or query.having is not None or query.children:
        raise feature_not_enabled("Aggregate Relationships not supported in Bulk Query")
    if query.offset:
        raise feature_not_enabled("OFFSET clause not supported in Bulk Query")
    if any(isinstance(s, TypeOf) for s in query.select):
        raise feature_not_enabled("TYPEOF clause not supported in Bulk Query")
    if any(isinstance(s, FieldGroup) for s in query.select):
        raise feature_not_enabled("FIELDS function not supported in Bulk Query")
    plan = plan_query(text, schema, include_deleted=include_deleted)
    for column in plan.columns:
        kind = column.field.type if column.field is not None else None
        if kind is FieldType.ADDRESS:
            raise feature_not_enabled("Selecting compound data not supported in Bulk Query")
        if kind is FieldType.BASE64:
            raise feature_not_enabled("Selecting binary data not supported in Bulk Query")
    return plan


def header_line(plan: Plan, job: Job) -> str:
    """Return the first line of every page of results."""
    names = [".".join((*column.parents, column.name)) for column in plan.columns]
    return written(iter([names]), job)[0]


def extract(org: "Org", job: Job, actor: Actor) -> None:
    """Write all rows of a query job.

    Raises:
        ApiError: The query cannot be answered.
        StoppedError: Somebody else ended the job.
    """
    began_s = clock.monotonic_s()
    schema = actor.view or org.schema
    plan = plan_bulk(schema, job.query or "", include_deleted=job.operation == "queryAll")
    with org.database.write() as connection:
        _check_running(connection, job)
        # After an interruption everything is read anew: a page of ids did not outlive it.
        store.delete_lines(connection, job.id, RESULT)
        job.processed = job.parts = 0
        store.save(connection, job)
    for records in _pages(org, job, actor):
        rows = ([_text(_value(record, c), c) for c in plan.columns] for record in records)
        lines = written(rows, job)
        if not org.bulk.result_bytes.count(sum(len(line.encode()) for line in lines)):
            raise exceeded_quota("Daily limit of Bulk API 2.0 query results exceeded.")
        with org.database.write() as connection:
            _check_running(connection, job)
            store.put_lines(connection, job, RESULT, lines)
            job.processed += len(lines)
            job.changed_s = clock.epoch_s()
            job.total_ms = int((clock.monotonic_s() - began_s) * MS)
            store.save(connection, job)
        clock.pause(0)


def _check_running(connection: sqlite3.Connection, job: Job) -> None:
    current = store.find(connection, job.id, is_query=True)
    if current is None or current.state is not State.IN_PROGRESS:
        raise StoppedError


def _pages(org: "Org", job: Job, actor: Actor) -> Iterator[Sequence[dict[str, Any]]]:
    page = org.queries.query(
        job.query or "",
        base=BASE,
        user_id=job.user_id,
        include_deleted=job.operation == "queryAll",
        batch=PAGE,
        view=actor.view,
    )
    for _ in chain([0], range(page["totalSize"])):
        yield page["records"]
        if page["done"]:
            return
        locator = page["nextRecordsUrl"].rsplit("/", 1)[1]
        page = org.queries.more(locator, base=BASE, user_id=job.user_id, batch=PAGE)
    raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")


def _value(record: dict[str, Any] | None, column: Column) -> Any:
    for name in column.parents:
        record = record.get(name) if record is not None else None
    return record.get(column.name) if record is not None else None


def _text(value: Any, column: Column) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, orjson.Fragment):
        return orjson.dumps(value).decode()
    if isinstance(value, float):
        text = repr(value)
        return f"{Decimal(text):f}" if "e" in text else text
    kind = column.field.type if column.field is not None else None
    text = str(value)
    return text.removesuffix("+0000") + "Z" if kind is FieldType.DATETIME else text
