"""How many counted calls we made, and what the org says is left of the day."""

from datetime import datetime

from sqlalchemy import Connection, text

from connector.adapters.salesforce.session import LimitInfo

_RECORD = text("""
    INSERT INTO api_usage AS u (id, calls, used_today, allowed_today, seen_at)
    VALUES (1, :calls, :used, :allowed, :now)
    ON CONFLICT (id) DO UPDATE
       SET calls = u.calls + excluded.calls,
           used_today = coalesce(excluded.used_today, u.used_today),
           allowed_today = coalesce(excluded.allowed_today, u.allowed_today),
           seen_at = excluded.seen_at
""")


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
