"""Answers queries: pages, locators, what `columns=true` tells."""

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any

from ..errors import ApiError
from ..ids import normalize
from ..schema.model import Schema
from ..storage.database import Database
from .columns import columns_json
from .cursors import Cursors
from .planner import LAST_VERSION, Plan, plan_query
from .runner import Runner

DEFAULT_BATCH = 2_000
MIN_BATCH = 200
PLANS = 1_024
ANY_ID = "000000000000000AAA"  # stands for the id of a query in the plan of all that are like it
_VERSION = re.compile(r"/v(\d{1,3})\.")


class QueryEngine:
    """Answers queries for one org."""

    def __init__(self, schema: Schema, database: Database) -> None:
        self._schema = schema
        self._database = database
        self._cursors = Cursors()
        self._plan = lru_cache(maxsize=PLANS)(self._make_plan)

    def _make_plan(
        self, text: str, include_deleted: bool, version: int, view: Schema | None
    ) -> Plan:
        schema = self._schema if view is None else view
        return plan_query(text, schema, include_deleted=include_deleted, version=version)

    def _plan_of(self, text: str, include_deleted: bool, version: int, view: Schema | None) -> Plan:
        """Return the plan of a query; queries whose only quoted value is an id share one."""
        before, *quoted_and_after = text.split("'")
        if len(quoted_and_after) == 2:
            record_id, after = quoted_and_after
            if len(record_id) == len(ANY_ID) and normalize(record_id) == record_id:
                try:
                    plan = self._plan(f"{before}'{ANY_ID}'{after}", include_deleted, version, view)
                except ApiError:
                    pass  # refused below, with the text as it was sent
                else:
                    if plan.params.count(ANY_ID) == 1:
                        params = [record_id if p == ANY_ID else p for p in plan.params]
                        return replace(plan, params=params)
        return self._plan(text, include_deleted, version, view)

    def forget_cursors(self) -> None:
        """Drop all locators, as after a reset."""
        self._cursors.forget()

    def query(
        self,
        text: str,
        *,
        base: str,
        user_id: str,
        include_deleted: bool,
        batch: int,
        view: Schema | None = None,
    ) -> dict[str, Any]:
        """Return the first page of a query as the API shows it.

        Args:
            text: SOQL.
            base: `/services/data/vNN.0`, for addresses in the answer.
            user_id: Who asks; locators are answered to them alone, days begin where they are.
            include_deleted: Whether the recycle bin counts (queryAll).
            batch: Rows per page, 200 to 2,000.
            view: The schema as the user sees it; None shows all.
        """
        version = _version_of(base)
        plan = self._plan_of(text, include_deleted, version, view)
        pin = self._pinner(user_id, version, is_child=True)
        with self._database.read() as connection:
            runner = Runner(
                connection, self._schema, base=base, user_id=user_id, batch=batch, pin=pin
            )
            if plan.is_count:
                return {"totalSize": runner.count(plan), "done": True, "records": []}
            if plan.is_aggregate:
                return _aggregate_page(plan, runner)
            rows = runner.rows(plan, most=batch + 1)
            place = plan.shape.id_column
            taken = runner.fitting(plan, [row[place] for row in rows])
            if taken == len(rows):
                records = runner.records(plan, rows)
                return {"totalSize": len(records), "done": True, "records": records}
            # Rows that sort alike may come in another order: the page follows the pinned ids.
            ids = runner.ids(plan)
            taken = runner.fitting(plan, ids)
            records = runner.records(plan, runner.rows_of(plan, ids[:taken]))
        locator = self._pinner(user_id, version, is_child=False)(plan, ids)
        return {
            "totalSize": len(ids),
            "done": False,
            "nextRecordsUrl": f"{base}/query/{locator}-{taken}",
            "records": records,
        }

    def more(self, locator: str, *, base: str, user_id: str, batch: int) -> dict[str, Any]:
        """Return a further page.

        Raises:
            ApiError: INVALID_QUERY_LOCATOR for an unknown, foreign or expired locator.
        """
        name, cursor, start = self._cursors.find(locator, user_id=user_id)
        pin = self._pinner(user_id, _version_of(base), is_child=True)
        with self._database.read() as connection:
            runner = Runner(
                connection, self._schema, base=base, user_id=user_id, batch=batch, pin=pin
            )
            ids = cursor.ids(start, batch)
            taken = runner.fitting(cursor.plan, ids)
            rows = runner.rows_of(cursor.plan, ids[:taken])
            records = runner.records(cursor.plan, rows)
        done = start + taken >= len(cursor)
        page: dict[str, Any] = {"totalSize": len(cursor), "done": done}
        if not done:
            page["nextRecordsUrl"] = f"{base}/query/{name}-{start + taken}"
        return page | {"records": records}

    def columns(
        self, text: str, *, base: str, include_deleted: bool, view: Schema | None = None
    ) -> dict[str, Any]:
        """Return what a query would select, without running it (`columns=true`)."""
        return columns_json(self._plan(text, include_deleted, _version_of(base), view))

    def _pinner(self, user_id: str, version: int, *, is_child: bool) -> "_Pinner":
        return _Pinner(self._cursors, user_id, version, is_child)


class _Pinner:
    """Keeps ids for one user."""

    def __init__(self, cursors: Cursors, user_id: str, version: int, is_child: bool) -> None:
        self._cursors = cursors
        self._user_id = user_id
        self._version = version
        self._is_child = is_child

    def __call__(self, plan: Plan, ids: Iterable[str]) -> str:
        return self._cursors.add(
            plan, ids, user_id=self._user_id, version=self._version, is_child=self._is_child
        )


def _version_of(base: str) -> int:
    match = _VERSION.search(base + ".")
    return int(match.group(1)) if match else LAST_VERSION


def _aggregate_page(plan: Plan, runner: Runner) -> dict[str, Any]:
    rows = runner.rows(plan, most=DEFAULT_BATCH + 1)
    if len(rows) > DEFAULT_BATCH:
        message = "Aggregate query does not support queryMore(), use LIMIT"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", message)
    records = runner.aggregates(plan, rows)
    return {"totalSize": len(records), "done": True, "records": records}
