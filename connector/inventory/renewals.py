"""Terms that have ended: the next one begins, month to month, or the service is to end.

Set-based: what one round finds due is moved on by one statement (domain 3.3, RENEW).
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import structlog
from sqlalchemy import Connection, text

log = structlog.get_logger(__name__)

RENEW = "RENEW"
EXPIRES = "Expires"
DUE_LIMIT = 10_000
# A service that rested for years catches up term by term; the rest is left to the next run.
_MISSED_TERMS = 120

_RENEW = text(
    "WITH due AS (SELECT id, current_term_start_on AS was_from, current_term_end_on AS was_to, "
    "                    term_months AS was_months, "
    "                    CASE renewal_type WHEN 'Same term' THEN term_months ELSE 0 END AS months "
    "               FROM service "
    "              WHERE state = 'In Service' AND renewal_type <> 'Expires' "
    "                AND current_term_end_on < :today "
    "              ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED), "
    "moved AS (UPDATE service s SET term_months = due.months, "
    "                 current_term_start_on = due.was_to + 1, "
    "                 current_term_end_on = CASE WHEN due.months > 0 THEN (due.was_to + 1 "
    "                     + make_interval(months => due.months) - interval '1 day')::date END "
    "            FROM due WHERE s.id = due.id "
    "          RETURNING s.id, s.current_term_start_on, s.current_term_end_on, s.term_months) "
    "INSERT INTO service_change (service_id, type, effective_on, old, new, state, applied_at) "
    "SELECT due.id, :type, moved.current_term_start_on, "
    "       jsonb_build_object('term_months', due.was_months, 'term_end_on', due.was_to), "
    "       jsonb_build_object('term_months', moved.term_months, "
    "                          'term_end_on', moved.current_term_end_on), 'Applied', :now "
    "  FROM due JOIN moved ON moved.id = due.id"
)
_EXPIRING = text(
    "SELECT id, created_by_line_id, current_term_end_on FROM service "
    " WHERE state = 'In Service' AND renewal_type = 'Expires' AND current_term_end_on < :today "
    " ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED"
)


@dataclass(frozen=True, slots=True)
class Expiring:
    """A service whose term was its last; `ends_on` is its first day without service."""

    service_id: int
    order_line_id: int
    ends_on: date


def renew_due_terms(*, tx: Connection, today: date, now: datetime) -> int:
    """Move on the terms whose last day lies before today; return how many were.

    A service that renews for the same term begins it again on the day after; any other runs from
    month to month, without an end. The price stays. What somebody else has in hand, and what is
    suspended, is left to a later run, which begins the term on the same day.
    """
    renewed = 0
    values = {"today": today, "now": now, "type": RENEW, "limit": DUE_LIMIT}
    for _ in range(_MISSED_TERMS):
        moved = tx.execute(_RENEW, values).rowcount
        if not moved:
            break
        renewed += moved
    log.info("service.terms_renewed", terms=renewed, today=str(today))
    return renewed


def expiring_services(*, tx: Connection, today: date) -> tuple[Expiring, ...]:
    """Return, and keep others from, the services whose last term has ended before today."""
    rows = tx.execute(_EXPIRING, {"today": today, "limit": DUE_LIMIT})
    return tuple(
        Expiring(row.id, row.created_by_line_id, row.current_term_end_on + timedelta(days=1))
        for row in rows
    )
