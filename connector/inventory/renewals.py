"""Terms that have ended: the next one begins, month to month, or the service is to end.

Set-based: what one round finds due is moved on by one statement (domain 3.3, RENEW).
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import Connection, cast, select, text, update
from sqlalchemy.dialects.postgresql import JSONB

from connector.inventory.changes import digits
from connector.store.tables.inventory import service, service_change

log = structlog.get_logger(__name__)

RENEW = "RENEW"
DUE_LIMIT = 10_000

# A service that an order is about to end, or whose end is dated, begins no other term: it would
# leave that one early, and pay for it. When the order is canceled, the next run catches up.
# Each end is computed from the day the terms are counted from, never from the end before: a term
# from 31 January is followed by one from 28 February and one from 31 March.
_RENEW = text("""
    WITH due AS (
        SELECT s.id, s.current_term_end_on AS was_to, s.current_term_end_on + 1 AS next_from,
               s.term_months AS was_months,
               coalesce(s.term_anchor_on, s.current_term_start_on) AS anchor,
               CASE s.renewal_type WHEN 'Same term' THEN s.term_months ELSE 0 END AS months
          FROM service s
         WHERE s.state = 'In Service' AND s.renewal_type <> 'Expires'
           AND s.current_term_end_on < :today
           AND NOT EXISTS (
               SELECT FROM order_line l
                 JOIN work_order w ON w.order_line_id = l.id
                 JOIN task t ON t.work_order_id = w.id
                WHERE l.target_service_id = s.id AND l.request_type IN ('CANCEL', 'REPLACE')
                  AND t.state NOT IN ('Completed', 'Skipped', 'Canceled'))
           AND NOT EXISTS (
               SELECT FROM service_change c
                WHERE c.service_id = s.id AND c.type = 'CANCEL' AND c.state = 'Scheduled')
         ORDER BY s.id LIMIT :limit FOR UPDATE OF s SKIP LOCKED),
    counted AS (
        SELECT due.*, passed, anchor + make_interval(months => passed) = next_from AS is_regular
          FROM due, LATERAL (
               SELECT ((date_part('year', next_from) - date_part('year', anchor)) * 12
                       + date_part('month', next_from) - date_part('month', anchor))::int AS passed
               ) since),
    dated AS (
        SELECT counted.*, CASE WHEN is_regular THEN anchor ELSE next_from END AS from_on,
               CASE WHEN is_regular THEN passed ELSE 0 END + months AS far
          FROM counted),
    moved AS (
        UPDATE service s
           SET term_months = dated.months, term_anchor_on = dated.from_on,
               current_term_start_on = dated.next_from,
               current_term_end_on = CASE WHEN dated.months > 0 THEN
                   (from_on + make_interval(months => far) - interval '1 day')::date END
          FROM dated WHERE s.id = dated.id
        RETURNING s.id, s.current_term_start_on, s.current_term_end_on, s.term_months)
    INSERT INTO service_change (service_id, type, effective_on, old, new, state, applied_at)
    SELECT due.id, :type, moved.current_term_start_on,
           jsonb_build_object('term_months', due.was_months, 'term_end_on', due.was_to),
           jsonb_build_object('term_months', moved.term_months,
                              'term_end_on', moved.current_term_end_on), 'Applied', :now
      FROM due JOIN moved ON moved.id = due.id ORDER BY due.id
    RETURNING id, service_id, effective_on, (new ->> 'term_months')::int AS months
""")
_EXPIRING = text(
    "SELECT id, created_by_line_id, current_term_end_on FROM service "
    " WHERE state = 'In Service' AND renewal_type = 'Expires' AND current_term_end_on < :today "
    " ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED"
)


@dataclass(frozen=True, slots=True)
class Renewed:
    """A term that was moved on: the change that says so, and the new term's first day."""

    change_id: int
    service_id: int
    on: date
    months: int


@dataclass(frozen=True, slots=True)
class Expiring:
    """A service whose term was its last; `ends_on` is its first day without service."""

    service_id: int
    order_line_id: int
    ends_on: date


def renew_due_terms(*, tx: Connection, today: date, now: datetime) -> tuple[Renewed, ...]:
    """Move on the terms whose last day lies before today, each by one; return them.

    A service that renews for the same term begins it again on the day after; any other runs from
    month to month, without an end. What somebody else has in hand, is suspended or is leaving is
    left to a later run, which begins the term on the same day. Terms that were missed come round
    by round: call it until nothing is due.
    """
    values = {"today": today, "now": now, "type": RENEW, "limit": DUE_LIMIT}
    rows = tx.execute(_RENEW, values)
    renewed = tuple(Renewed(row.id, row.service_id, row.effective_on, row.months) for row in rows)
    log.info("service.terms_renewed", terms=len(renewed), today=str(today))
    return renewed


def set_price(
    *,
    tx: Connection,
    renewed: Renewed,
    mr_price: Decimal,
    mr_cost: Decimal,
    pricing: dict[str, Any] | None,
) -> None:
    """Give a service the price of its new term; the change that renewed it tells both prices."""
    own = service.c.id == renewed.service_id
    before = tx.execute(select(service.c.mr_price, service.c.mr_cost).where(own)).one()
    tx.execute(
        update(service).where(own).values(mr_price=mr_price, mr_cost=mr_cost, pricing=pricing)
    )
    old = {"mr_price": digits(before.mr_price), "mr_cost": digits(before.mr_cost)}
    new: dict[str, Any] = {"mr_price": digits(mr_price), "mr_cost": digits(mr_cost)}
    if pricing is not None:
        new["pricing"] = pricing
    tx.execute(
        update(service_change)
        .where(service_change.c.id == renewed.change_id)
        .values(
            old=service_change.c.old.op("||")(cast(old, JSONB)),
            new=service_change.c.new.op("||")(cast(new, JSONB)),
        )
    )


def expiring_services(*, tx: Connection, today: date) -> tuple[Expiring, ...]:
    """Return, and keep others from, the services whose last term has ended before today.

    One that an order is about to end expires as well: that order finds it ended.
    """
    rows = tx.execute(_EXPIRING, {"today": today, "limit": DUE_LIMIT})
    return tuple(
        Expiring(row.id, row.created_by_line_id, row.current_term_end_on + timedelta(days=1))
        for row in rows
    )
