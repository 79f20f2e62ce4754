"""The way out: what the push queue owes, sent as changed fields, parents before children.

The current state goes out, never the change (design D2): sending twice is harmless, order does not
matter, and a crash at any point means that some keys are still in the queue. No transaction is open
while the org is asked.
"""

import time
from datetime import datetime

import structlog

from connector.adapters.salesforce.client import ROWS_PER_CALL, OrgClient
from connector.store.engine import Store
from connector.sync.budget.usage import record_calls
from connector.sync.mapping.currencies import with_currencies
from connector.sync.mapping.definition import Mappings
from connector.sync.push import queue
from connector.sync.push.one_pass import PushPass
from connector.sync.push.outcome import Outcomes
from connector.sync.push.pace import Pace
from connector.sync.push.report import Halt, PushReport

__all__ = ["Halt", "PushReport", "push_pending", "push_until_quiet", "rows_within"]

log = structlog.get_logger(__name__)

ROWS_PER_PASS = 20_000
BULK_FROM = 20_000


def rows_within(calls: int | None) -> int:
    """Return how many rows one pass may send with so many calls; None is no limit of calls."""
    if calls is None:
        return ROWS_PER_PASS
    return max(1, min(ROWS_PER_PASS, calls * ROWS_PER_CALL))


def push_pending(
    *,
    store: Store,
    org: OrgClient,
    mappings: Mappings,
    now: datetime,
    limit: int = ROWS_PER_PASS,
    bulk_from: int = BULK_FROM,
    pace: Pace | None = None,
) -> PushReport:
    """Send what is due, up to `limit` rows; what cannot go yet stays in the queue.

    An entity of which at least `bulk_from` rows are due goes out whole, as Bulk API jobs. `pace`
    is what former passes learnt of locks. An org that does not answer ends the pass: the report
    says so, nothing is lost.

    Raises:
        Misconfigured: The connector may not log in to the org.
    """
    with queue.sole_pusher(store) as may_push:
        if not may_push:
            return PushReport(is_busy=True)
        with store.read() as tx:
            mappings = with_currencies(tx, mappings)
        one = PushPass(
            store=store,
            org=org,
            mappings=mappings,
            now=now,
            budget=limit,
            bulk_from=bulk_from,
            pace=pace or Pace(),
            outcomes=Outcomes(mappings, now),
        )
        report = one.run()
        if report.api_calls:
            with store.transaction() as tx:
                record_calls(tx=tx, calls=report.api_calls, limit=org.limit_info, now=now)
    if report.has_moved or report.halts or report.interrupted:
        log.info(
            "push.done",
            written=report.written,
            dead=report.dead,
            waiting=report.waiting,
            api_calls=report.api_calls,
            interrupted=report.interrupted,
        )
    return report


def push_until_quiet(
    *,
    store: Store,
    org: OrgClient,
    mappings: Mappings,
    now: datetime,
    passes: int = 200,
    patience_s: float = 0,
    bulk_from: int = BULK_FROM,
) -> PushReport:
    """Repeat passes until nothing can be sent any more, at most `passes` times.

    With patience, keys that wait for a later try, another process that is pushing, and an org that
    does not answer are waited for, that long in all. After a refusal for the day nothing is asked
    again; after one for too many calls at once, later and later.
    """
    total, pace = PushReport(), Pace()
    patience_left_s = patience_s
    refusals = 0
    for _ in range(passes):
        report = push_pending(
            store=store, org=org, mappings=mappings, now=now, bulk_from=bulk_from, pace=pace
        )
        total = total.plus(report)
        if report.has_moved and not report.interrupted:
            continue
        refusals += report.limit is not None
        pause_s = _pause_s(store, report, refusals=refusals)
        if pause_s is None or pause_s > patience_left_s:
            break
        time.sleep(pause_s)
        patience_left_s -= pause_s
    return total


def _pause_s(store: Store, report: PushReport, *, refusals: int) -> float | None:
    if report.limit is not None:
        return None if report.limit == "daily" else 2.0**refusals
    if report.is_busy or report.interrupted:
        return 0.2
    if report.halts:
        return None
    with store.read() as tx:
        pause_s = queue.seconds_to_next(tx)
    # What is due and did not move waits for a parent: no pause brings it.
    return None if pause_s is None else max(pause_s, 0.05)
