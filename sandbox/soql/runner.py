"""Runs the SQL of plans and makes JSON records of the rows."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

from .. import clock
from ..errors import ApiError
from ..records.transaction import json_list
from ..schema.currencies import CURRENCY_TYPE, SELECT, USER_CURRENCY
from ..schema.model import Schema
from ..storage.zones import zone_of
from .filters import DayBound, Myself, Params, RateOf, Viewer
from .operands import ZONE
from .planner import ChildPlan, Plan
from .scope import RATE
from .select import Shape
from .show import address_json

NO_LIMIT = -1
# Rows of subqueries within subqueries that one answer shows; beyond, they come in pages.
NESTED_ROWS = 50_000
LATE = (DayBound, Myself, RateOf)
Rows = Sequence[tuple[Any, ...]]
Pin = Callable[[Plan, Iterable[str]], str]


class Runner:
    """Runs the SQL of one request on one connection.

    Args:
        connection: To read from.
        schema: Of the org.
        base: `/services/data/vNN.0`, for addresses in the answer.
        user_id: Who asks.
        batch: Rows on a page.
        pin: Keeps the ids of a subquery with more rows and returns the locator.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        schema: Schema,
        *,
        base: str,
        user_id: str,
        batch: int,
        pin: Pin,
    ) -> None:
        self._connection = connection
        self._schema = schema
        self._base = base
        self._user_id = user_id
        self._batch = batch
        self._pin = pin

    @cached_property
    def _viewer(self) -> Viewer:
        sql = 'SELECT "TimeZoneSidKey" FROM "User" WHERE "Id" = ?'
        row = self._connection.execute(sql, (self._user_id,)).fetchone()
        zone = zone_of(row[0] if row else None)
        currency, rates = self._currencies()
        return Viewer(
            user_id=self._user_id,
            zone_name=str(zone),
            zone=zone,
            now=clock.now(),
            currency=currency,
            rates=rates,
        )

    def _currencies(self) -> tuple[str | None, dict[str, int]]:
        """Return the user's currency, and the rates of all active ones."""
        if self._schema.find(CURRENCY_TYPE) is None:
            return None, {}
        found = self._connection.execute(SELECT).fetchall()
        sql = f'SELECT "{USER_CURRENCY}" FROM "User" WHERE "Id" = ?'
        own = self._connection.execute(sql, (self._user_id,)).fetchone()
        corporate = found[0][0] if found else None
        rates = {code: rate for code, active, _, rate in found if active == 1}
        return (own[0] if own and own[0] else corporate), rates

    def _all(self, sql: str, params: Params) -> list[tuple[Any, ...]]:
        if ZONE in sql:
            sql = sql.replace(ZONE, f"'{self._viewer.zone_name}'")
        if RATE in sql:
            rate = self._viewer.rates.get(self._viewer.currency or "")
            sql = sql.replace(RATE, "NULL" if rate is None else str(rate))
        bound = [p.value(self._viewer) if isinstance(p, LATE) else p for p in params]
        try:
            return self._connection.execute(sql, bound).fetchall()
        except (sqlite3.OperationalError, sqlite3.DataError, OverflowError) as error:
            # Too deep, too many parameters, a sum beyond 64 bits: queries nobody can answer.
            raise ApiError(
                400, "QUERY_TOO_COMPLICATED", f"the query is too complex: {error}"
            ) from error

    def _where(self, plan: Plan) -> str:
        return f" WHERE {plan.where_sql}" if plan.where_sql else ""

    # --- rows ---

    def count(self, plan: Plan) -> int:
        """Return the number of rows of a COUNT() query."""
        limit = NO_LIMIT if plan.limit is None else plan.limit
        inner = f"SELECT 1 FROM {plan.from_sql}{self._where(plan)} LIMIT ? OFFSET ?"
        sql = f"SELECT COUNT(*) FROM ({inner})"
        return int(self._all(sql, [*plan.params, limit, plan.offset])[0][0])

    def rows(self, plan: Plan, *, most: int) -> list[tuple[Any, ...]]:
        """Return at most so many rows."""
        limit = most if plan.limit is None else min(most, plan.limit)
        source = f"FROM {plan.from_sql}{self._where(plan)}"
        if plan.sets:
            parts = (f"SELECT {part.select_sql} {source}{part.tail_sql}" for part in plan.sets)
            sql = f"SELECT * FROM ({' UNION ALL '.join(parts)})"
            params = [p for part in plan.sets for p in (*plan.params, *part.tail_params)]
        else:
            sql = f"SELECT {plan.select_sql} {source}{plan.tail_sql}"
            params = [*plan.params, *plan.tail_params]
        return self._all(f"{sql}{plan.order_sql} LIMIT ? OFFSET ?", [*params, limit, plan.offset])

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

    # --- children ---

    def fitting(self, plan: Plan, ids: Sequence[str]) -> int:
        """Return how many records fit on a page: child rows count too, but one always fits."""
        if not plan.children:
            return min(len(ids), self._batch)
        shown = ids[: self._batch]
        totals = [self._totals(child.plan, shown) for child in plan.children]
        used = 0
        for number, record_id in enumerate(shown):
            used += 1 + sum(min(found.get(record_id, 0), self._batch) for found in totals)
            if number and used > self._batch:
                return number
        return len(shown)

    def _totals(self, plan: Plan, ids: Sequence[str]) -> dict[str, int]:
        """Return the number of child rows of each parent that has any."""
        sql = (
            f"SELECT {plan.reference_sql}, COUNT(*) FROM {plan.from_sql} "
            f"WHERE {self._below(plan)} GROUP BY 1"
        )
        found = {}
        for parent_id, count in self._all(sql, [json_list(ids), *plan.params]):
            total = max(0, count - plan.offset)
            total = total if plan.limit is None else min(total, plan.limit)
            if total:
                found[parent_id] = total
        return found

    def _below(self, plan: Plan) -> str:
        where = f"{plan.reference_sql} IN (SELECT value FROM json_each(?))"
        return f"{where} AND {plan.where_sql}" if plan.where_sql else where

    def _numbered(self, plan: Plan, columns: str) -> str:
        """Return SQL of child rows with their place among the children of their parent."""
        order = (
            f"{plan.order_sql}, {plan.id_sql}" if plan.order_sql else (f" ORDER BY {plan.id_sql}")
        )
        window = f"ROW_NUMBER() OVER (PARTITION BY {plan.reference_sql}{order})"
        return (
            f"SELECT * FROM (SELECT {columns}, {plan.reference_sql}, {window} AS place "
            f"FROM {plan.from_sql} WHERE {self._below(plan)}) WHERE place > ? AND place <= ? "
            "ORDER BY place"
        )

    def _results(
        self, child: ChildPlan, ids: Sequence[str], *, nested: bool
    ) -> dict[str, dict[str, Any]]:
        """Return the query result of each parent that has children."""
        plan = child.plan
        totals = self._totals(plan, ids)
        if not totals:
            return {}
        shown = self._batch
        if nested and sum(totals.values()) > NESTED_ROWS:
            shown = max(1, min(shown, NESTED_ROWS // len(totals)))
        sql = self._numbered(plan, plan.select_sql)
        params = [json_list(list(totals)), *plan.params, plan.offset]
        most = shown if plan.limit is None else min(shown, plan.limit)
        rows = self._all(sql, [*params, plan.offset + most])
        found: dict[str, list[dict[str, Any]]] = {parent: [] for parent in totals}
        for row, record in zip(rows, self.records(plan, rows, nested=True), strict=True):
            found[row[-2]].append(record)
        locators = self._locators(plan, [p for p, total in totals.items() if total > shown])
        results = {}
        for parent, records in found.items():
            result: dict[str, Any] = {"totalSize": totals[parent], "done": parent not in locators}
            if parent in locators:
                result["nextRecordsUrl"] = f"{self._base}/query/{locators[parent]}-{shown}"
            results[parent] = result | {"records": records}
        return results

    def _locators(self, plan: Plan, parents: Sequence[str]) -> dict[str, str]:
        """Pin the children of parents that have more than are shown."""
        if not parents:
            return {}
        last = 2**62 if plan.limit is None else plan.offset + plan.limit
        params = [json_list(parents), *plan.params, plan.offset, last]
        found: dict[str, list[str]] = {}
        for record_id, parent, _ in self._all(self._numbered(plan, plan.id_sql), params):
            found.setdefault(parent, []).append(record_id)
        return {parent: self._pin(plan, ids) for parent, ids in found.items()}

    # --- records ---

    def records(self, plan: Plan, rows: Rows, *, nested: bool = False) -> list[dict[str, Any]]:
        """Return rows as JSON records with their children."""
        records = [self._record(plan.shape, row) for row in rows]
        for child in plan.children:
            ids = [row[plan.shape.id_column] for row in rows]
            found = self._results(child, ids, nested=nested)
            for record, record_id in zip(records, ids, strict=True):
                record[child.relationship] = found.get(record_id)
        return records

    def aggregates(self, plan: Plan, rows: Rows) -> list[dict[str, Any]]:
        """Return rows of an aggregate query."""
        return [
            {"attributes": {"type": "AggregateResult"}}
            | {
                name: row[index] if decode is None else decode(row[index])
                for name, index, decode in plan.shape.columns
            }
            for row in rows
        ]

    def _record(self, shape: Shape, row: tuple[Any, ...]) -> dict[str, Any]:
        record_id = row[shape.id_column]
        item = shape.item or self._schema.of_id(record_id)
        name = item.name if item is not None else "Name"
        url = f"{self._base}/sobjects/{name}/{record_id}"
        record: dict[str, Any] = {"attributes": {"type": name, "url": url}}
        if shape.is_flat:
            for key, index, decode in shape.columns:
                record[key] = row[index] if decode is None else decode(row[index])
            return record
        for key in shape.order:
            record[key] = None
        for key, index, decode in shape.columns:
            record[key] = row[index] if decode is None else decode(row[index])
        for key, index in shape.blobs:
            record[key] = f"{url}/{key}" if row[index] else None
        for key, parts in shape.addresses:
            record[key] = address_json({part: row[index] for part, index in parts})
        for key, parent in shape.parents.items():
            inner = self._variant(parent, row[parent.id_column])
            if inner is not None:
                record[key] = self._record(inner, row)
        return record

    def _variant(self, shape: Shape, record_id: str | None) -> Shape | None:
        """Return the shape of a parent; None where there is no parent, or no branch for it."""
        if record_id is None or shape.variants is None:
            return None if record_id is None else shape
        item = self._schema.of_id(record_id)
        found = shape.variants.get(item.name) if item is not None else None
        return found or shape.variants.get("")
