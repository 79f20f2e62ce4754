"""How many counted calls we made, for what, and what the org says is left of the day.

Kept for a day: one row per lane and hour, one sample of the org's count per five minutes. Times are
the store's, as with all pauses of sync.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, text

from connector.adapters.salesforce.session import LimitInfo
from connector.sync.budget.forecast import Sample, exhausted_at
from connector.sync.budget.lanes import DEFAULT_SHARES, Budget, Hold, Lane

_RECORD = text("""
    INSERT INTO api_usage AS u (id, calls, used_today, allowed_today, seen_at)
    VALUES (1, :calls, :used, :allowed, :now)
    ON CONFLICT (id) DO UPDATE
       SET calls = u.calls + excluded.calls,
           used_today = coalesce(excluded.used_today, u.used_today),
           allowed_today = coalesce(excluded.allowed_today, u.allowed_today),
           seen_at = excluded.seen_at
""")
_SPEND = text("""
    INSERT INTO api_lane_hour AS h (lane, hour, calls, last_at)
    VALUES (:lane, date_trunc('hour', now()), :calls, now())
    ON CONFLICT (lane, hour) DO UPDATE
       SET calls = h.calls + excluded.calls, last_at = excluded.last_at
""")
_SEE = text("""
    INSERT INTO api_usage AS u (id, used_today, allowed_today, seen_at)
    VALUES (1, :used, :allowed, now())
    ON CONFLICT (id) DO UPDATE
       SET used_today = excluded.used_today, allowed_today = excluded.allowed_today,
           seen_at = excluded.seen_at
""")
_SAMPLE = text("""
    INSERT INTO api_sample (at, used, allowed)
    VALUES (date_bin('5 minutes', now(), 'epoch'), :used, :allowed)
    ON CONFLICT (at) DO UPDATE SET used = excluded.used, allowed = excluded.allowed
""")
_FORGET = (
    text("DELETE FROM api_sample WHERE at < now() - interval '24 hours'"),
    text("DELETE FROM api_lane_hour WHERE hour < now() - interval '25 hours'"),
)
_USAGE = text("""
    SELECT used_today, allowed_today, held_for, held_until, now() AS read_at FROM api_usage
""")
_SPENT = text("""
    SELECT lane, sum(calls) AS calls, max(last_at) AS last_at FROM api_lane_hour
     WHERE hour > now() - interval '24 hours' GROUP BY lane
""")
_SAMPLES = text("SELECT at, used, allowed FROM api_sample WHERE at > now() - interval '4 hours'")
_NOW = text("SELECT now()")


def record_calls(*, tx: Connection, calls: int, limit: LimitInfo | None, now: datetime) -> None:
    """Add calls to the count and keep the org's own figure, as its last answer told it."""
    tx.execute(
        _RECORD,
        {
            "calls": calls,
            "used": limit.used if limit else None,
            "allowed": limit.allowed if limit else None,
            "now": now,
        },
    )


def spend(*, tx: Connection, lane: Lane, calls: int, limit: LimitInfo | None) -> None:
    """Book calls on a lane and keep the org's own figure for the forecast."""
    if calls:
        tx.execute(_SPEND, {"lane": lane.value, "calls": calls})
    if limit is not None:
        figures = {"used": limit.used, "allowed": limit.allowed}
        tx.execute(_SEE, figures)
        tx.execute(_SAMPLE, figures)
    for statement in _FORGET:
        tx.execute(statement)


def read_budget(
    tx: Connection, *, shares: Mapping[Lane, int] = DEFAULT_SHARES
) -> tuple[Budget, datetime]:
    """Return how the day's calls stand, and the store's present instant."""
    usage = tx.execute(_USAGE).one_or_none()
    if usage is None:
        return Budget(shares=shares), tx.execute(_NOW).scalar_one()
    lanes = {Lane(row.lane): row for row in tx.execute(_SPENT)}
    samples = [Sample(row.at, row.used, row.allowed) for row in tx.execute(_SAMPLES)]
    budget = Budget(
        used=usage.used_today,
        allowed=usage.allowed_today,
        spent={lane: int(row.calls) for lane, row in lanes.items()},
        last_call_at={lane: row.last_at for lane, row in lanes.items()},
        shares=shares,
        forecast_at=exhausted_at(samples),
        held_for=Hold(usage.held_for) if usage.held_for else None,
        held_until=usage.held_until,
    )
    return budget, usage.read_at
