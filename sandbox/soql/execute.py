"""Runs plans: pages, locators, child rows, JSON records."""

import itertools
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .. import clock
from ..errors import ApiError
from ..ids import checksum
from ..records.transaction import json_list
from ..schema.model import Schema
from ..storage.database import Database
from .filters import DayBound, Params
from .planner import Plan, Shape, plan_query

DEFAULT_BATCH = 2_000
MIN_BATCH = 200
MAX_LOCATORS = 200
LOCATOR_LIFE_S = 2 * 24 * 3_600
PLANS = 1_024
NO_LIMIT = -1


@dataclass(frozen=True, slots=True)
class Cursor:
    """A query whose further pages are still to be read: its ids are pinned."""

    plan: Plan
    ids: tuple[str, ...]
    user_id: str
    expires_s: float


class QueryEngine:
    """Answers queries for one org."""

    def __init__(self, schema: Schema, database: Database) -> None:
        self._schema = schema
        self._database = database
        self._cursors: OrderedDict[str, Cursor] = OrderedDict()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._plan = lru_cache(maxsize=PLANS)(self._make_plan)

    def _make_plan(self, text: str, include_deleted: bool) -> Plan:
        return plan_query(text, self._schema, include_deleted=include_deleted)

    def forget_cursors(self) -> None:
        """Drop all locators, as after a reset."""
        with self._lock:
            self._cursors.clear()

    def query(
        self, text: str, *, base: str, user_id: str, include_deleted: bool, batch: int
    ) -> dict[str, Any]:
        """Return the first page of a query as the API shows it.

        Args:
            text: SOQL.
            base: `/services/data/vNN.0`, for addresses in the answer.
            user_id: Who asks; locators are answered to them alone.
            include_deleted: Whether the recycle bin counts (queryAll).
            batch: Rows per page, 200 to 2,000.
        """
        plan = self._plan(text, include_deleted)
        with self._database.read() as connection:
            runner = _Runner(connection, self._schema, base)
            if plan.is_count:
                return {"totalSize": runner.count(plan), "done": True, "records": []}
            if plan.is_aggregate:
                return _aggregate_page(plan, runner)
            rows = runner.rows(plan, most=batch + 1)
            if len(rows) <= batch:
                records = runner.records(plan, rows)
                return {"totalSize": len(records), "done": True, "records": records}
            ids = runner.ids(plan)
            records = runner.records(plan, rows[:batch])
        locator = self._remember(plan, ids, user_id)
        return {
            "totalSize": len(ids),
            "done": False,
            "nextRecordsUrl": f"{base}/query/{locator}-{batch}",
            "records": records,
        }

    def more(self, locator: str, *, base: str, user_id: str, batch: int) -> dict[str, Any]:
        """Return a further page.

        Raises:
            ApiError: INVALID_QUERY_LOCATOR for an unknown, foreign or expired locator.
        """
        name, _, position = locator.partition("-")
        with self._lock:
            cursor = self._cursors.get(name)
        valid = cursor is not None and position.isascii() and position.isdigit()
        if cursor is None or not valid or cursor.user_id != user_id:
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        start = int(position)
        if cursor.expires_s < clock.monotonic_s() or start >= len(cursor.ids):
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        ids = cursor.ids[start : start + batch]
        with self._database.read() as connection:
            runner = _Runner(connection, self._schema, base)
            records = runner.records(cursor.plan, runner.rows_of(cursor.plan, ids))
        done = start + batch >= len(cursor.ids)
        page: dict[str, Any] = {"totalSize": len(cursor.ids), "done": done}
        if not done:
            page["nextRecordsUrl"] = f"{base}/query/{name}-{start + batch}"
        return page | {"records": records}

    def _remember(self, plan: Plan, ids: Sequence[str], user_id: str) -> str:
        with self._lock:
            core = f"01gSb0{next(self._numbers):09d}"
            name = core + checksum(core)
            expires = clock.monotonic_s() + LOCATOR_LIFE_S
            self._cursors[name] = Cursor(plan, tuple(ids), user_id, expires)
            while len(self._cursors) > MAX_LOCATORS:
                self._cursors.popitem(last=False)
        return name


def _aggregate_page(plan: Plan, runner: "_Runner") -> dict[str, Any]:
    rows = runner.rows(plan, most=DEFAULT_BATCH + 1)
    if len(rows) > DEFAULT_BATCH:
        message = "Aggregate query does not support queryMore(), use LIMIT"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", message)
    records = [
        {"attributes": {"type": "AggregateResult"}}
        | {
            name: row[index] if decode is None else decode(row[index])
            for name, index, decode in plan.shape.columns
        }
        for row in rows
    ]
    return {"totalSize": len(records), "done": True, "records": records}


class _Runner:
    """Runs the SQL of one request on one connection."""

    def __init__(self, connection: sqlite3.Connection, schema: Schema, base: str) -> None:
        self._connection = connection
        self._schema = schema
        self._base = f"{base}/sobjects/"
        self._today = clock.now().date()

    def _bound(self, params: Params) -> Params:
        return [p.value(self._today) if isinstance(p, DayBound) else p for p in params]

    def _all(self, sql: str, params: Params) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, self._bound(params)).fetchall()
        except sqlite3.OperationalError as error:
            # Too deep, too many parameters, a sum beyond 64 bits: queries nobody can answer.
            raise ApiError(
                400, "QUERY_TOO_COMPLICATED", f"the query is too complex: {error}"
            ) from (error)

    def _where(self, plan: Plan) -> str:
        return f" WHERE {plan.where_sql}" if plan.where_sql else ""

    def count(self, plan: Plan) -> int:
        """Return the number of rows of a COUNT() query."""
        limit = NO_LIMIT if plan.limit is None else plan.limit
        inner = f"SELECT 1 FROM {plan.from_sql}{self._where(plan)} LIMIT ? OFFSET ?"
        sql = f"SELECT COUNT(*) FROM ({inner})"
        return int(self._all(sql, [*plan.params, limit, plan.offset])[0][0])

    def rows(self, plan: Plan, *, most: int) -> list[tuple[Any, ...]]:
        """Return at most so many rows."""
        limit = most if plan.limit is None else min(most, plan.limit)
        sql = (
            f"SELECT {plan.select_sql} FROM {plan.from_sql}{self._where(plan)}"
            f"{plan.tail_sql}{plan.order_sql} LIMIT ? OFFSET ?"
        )
        return self._all(sql, [*plan.params, *plan.tail_params, limit, plan.offset])

    def ids(self, plan: Plan) -> list[str]:
        """Return the ids of all rows in order."""
        limit = NO_LIMIT if plan.limit is None else plan.limit
        sql = (
            f"SELECT {plan.id_sql} FROM {plan.from_sql}{self._where(plan)}"
            f"{plan.order_sql} LIMIT ? OFFSET ?"
        )
        return [row[0] for row in self._all(sql, [*plan.params, limit, plan.offset])]

    def rows_of(self, plan: Plan, ids: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return the rows of pinned ids, in their order, as they are now."""
        sql = (
            f"SELECT {plan.select_sql} FROM {plan.from_sql} "
            f"WHERE {plan.id_sql} IN (SELECT value FROM json_each(?)) AND {plan.alive_sql}"
        )
        found = {row[plan.shape.id_column]: row for row in self._all(sql, [json_list(ids)])}
        return [found[i] for i in ids if i in found]

    def records(self, plan: Plan, rows: Sequence[tuple[Any, ...]]) -> list[dict[str, Any]]:
        """Return rows as JSON records with their children."""
        records = [self._record(plan.shape, row) for row in rows]
        for child in plan.children:
            ids = [row[plan.shape.id_column] for row in rows]
            found = self._children(child.plan, ids)
            for record, record_id in zip(records, ids, strict=True):
                own = found.get(record_id)
                record[child.relationship] = own and {
                    "totalSize": len(own),
                    "done": True,
                    "records": own,
                }
        return records

    def _children(self, plan: Plan, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        where = f"{plan.reference_sql} IN (SELECT value FROM json_each(?))"
        if plan.where_sql:
            where += f" AND {plan.where_sql}"
        window = f"ROW_NUMBER() OVER (PARTITION BY {plan.reference_sql}{plan.order_sql})"
        sql = (
            f"SELECT {plan.select_sql}, {plan.reference_sql}, {window} AS place "
            f"FROM {plan.from_sql} WHERE {where}"
        )
        last = plan.offset + plan.limit if plan.limit is not None else None
        bounds = "place > ?" if last is None else "place > ? AND place <= ?"
        params = [json_list(ids), *plan.params, plan.offset, *([] if last is None else [last])]
        rows = self._all(f"SELECT * FROM ({sql}) WHERE {bounds} ORDER BY place", params)
        found: dict[str, list[dict[str, Any]]] = {}
        for row, record in zip(rows, self.records(plan, rows), strict=True):
            found.setdefault(row[-2], []).append(record)
        return found

    def _record(self, shape: Shape, row: tuple[Any, ...]) -> dict[str, Any]:
        record_id = row[shape.id_column]
        item = shape.item or self._schema.of_id(record_id)
        name = item.name if item is not None else "Name"
        record: dict[str, Any] = {
            "attributes": {"type": name, "url": f"{self._base}{name}/{record_id}"}
        }
        if not shape.parents and not shape.addresses:
            for key, index, decode in shape.columns:
                record[key] = row[index] if decode is None else decode(row[index])
            return record
        for key in shape.order:
            record[key] = None
        for key, index, decode in shape.columns:
            record[key] = row[index] if decode is None else decode(row[index])
        for key, parts in shape.addresses:
            record[key] = address_json({part: row[index] for part, index in parts})
        for key, parent in shape.parents.items():
            if row[parent.id_column] is not None:
                record[key] = self._record(parent, row)
        return record


def address_json(parts: dict[str, str | None]) -> dict[str, Any] | None:
    """Return a compound address, or None where every part is empty."""
    if not any(parts.values()):
        return None
    return {
        "city": parts.get("city"),
        "country": parts.get("country"),
        "geocodeAccuracy": None,
        "latitude": None,
        "longitude": None,
        "postalCode": parts.get("postalCode"),
        "state": parts.get("state"),
        "street": parts.get("street"),
    }
