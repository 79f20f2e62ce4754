"""Terms that have ended are moved on; a service that expires ends, and so does its billing."""

from dataclasses import dataclass
from datetime import date, datetime

import structlog
from sqlalchemy import Connection

from connector.billing.commands import end_service_billing
from connector.errors import StateConflict
from connector.flows.rules import DeliveryRules
from connector.inventory.changes import apply_due_changes, end_service
from connector.inventory.renewals import Expiring, expiring_services, renew_due_terms
from connector.inventory.states import ServiceState
from connector.store.engine import Store

log = structlog.get_logger(__name__)

# A service that rested for years catches up term by term; the rest is left to the next run.
_MISSED_TERMS = 120


@dataclass(frozen=True, slots=True)
class RenewalReport:
    """How many terms were moved on, how many services ended with theirs, and how many could not.

    Why one could not is in the log; it is tried again by the next run.
    """

    renewed: int
    expired: int
    failed: int = 0


def renew_terms(*, store: Store, rules: DeliveryRules, now: datetime) -> RenewalReport:
    """Move on every term whose last day is over (domain 3.3, RENEW); again, it changes nothing.

    Changes whose day has come are applied first: what was ordered wins over what renews by
    itself. Days that nobody ran are made up for, each dated as it was due.
    """
    today = rules.policy.today(now)
    with store.transaction() as tx:
        apply_due_changes(tx=tx, today=today, now=now)
        renewed = 0
        for _ in range(_MISSED_TERMS):
            moved = renew_due_terms(tx=tx, today=today, now=now)
            if not moved:
                break
            renewed += len(moved)
        expiring = expiring_services(tx=tx, today=today)
        failed = sum(not _expire(tx, one, today, now) for one in expiring)
    return RenewalReport(renewed, len(expiring) - failed, failed)


def _expire(tx: Connection, one: Expiring, today: date, now: datetime) -> bool:
    """End a service and its billing, or neither; return whether it ended."""
    # In the name of the line that sold the service with an end; nobody leaves early.
    try:
        with tx.begin_nested():
            end_service(
                tx=tx,
                service_id=one.service_id,
                order_line_id=one.order_line_id,
                on=one.ends_on,
                today=today,
                now=now,
                state=ServiceState.EXPIRED,
            )
            end_service_billing(
                tx=tx,
                service_id=one.service_id,
                order_line_id=one.order_line_id,
                on=one.ends_on,
                is_fee_waived=True,
                now=now,
            )
    except StateConflict as error:  # of one service; the others still end
        log.error("service.not_expired", service_id=one.service_id, reason=str(error))
        return False
    return True
