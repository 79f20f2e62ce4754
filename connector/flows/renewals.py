"""Terms that have ended are moved on; a service that expires ends, and so does its billing."""

from dataclasses import dataclass
from datetime import date, datetime

import structlog
from sqlalchemy import Connection

from connector.billing.commands import end_service_billing
from connector.errors import StateConflict
from connector.flows.renewal_price import renew_price
from connector.flows.rules import DeliveryRules
from connector.inventory.changes import apply_due_changes, end_service
from connector.inventory.renewals import Expiring, Renewed, expiring_services, renew_due_terms
from connector.inventory.states import ServiceState
from connector.ordering.policy import RenewalPrice
from connector.store.engine import Store

log = structlog.get_logger(__name__)

# A service that rested for years catches up term by term; the rest is left to the next run.
_MISSED_TERMS = 120


@dataclass(frozen=True, slots=True)
class RenewalReport:
    """How many terms were moved on, how many services ended with theirs, and how many could not.

    Why one could not is in the log. One that could not end is tried again by the next run; one
    that could not be billed at the price of its new term keeps the price it had.
    """

    renewed: int
    expired: int
    failed: int = 0


def renew_terms(*, store: Store, rules: DeliveryRules, now: datetime) -> RenewalReport:
    """Move on every term whose last day is over (domain 3.3, RENEW); again, it changes nothing.

    Changes whose day has come are applied first: what was ordered wins over what renews by
    itself. Days that nobody ran are made up for, each dated as it was due. What the next term costs
    says the policy (`renewal_price`).
    """
    today = rules.policy.today(now)
    with store.transaction() as tx:
        apply_due_changes(tx=tx, today=today, now=now)
        renewed = failed = 0
        for _ in range(_MISSED_TERMS):
            moved = renew_due_terms(tx=tx, today=today, now=now)
            if not moved:
                break
            renewed += len(moved)
            if rules.policy.renewal_price is RenewalPrice.CATALOGUE:
                failed += sum(not _reprice(tx, one, now) for one in moved)
        expiring = expiring_services(tx=tx, today=today)
        expired = sum(_expire(tx, one, today, now) for one in expiring)
    return RenewalReport(renewed, expired, failed + len(expiring) - expired)


def _reprice(tx: Connection, renewed: Renewed, now: datetime) -> bool:
    """Give a renewed service its price in the catalogue; return whether it could."""
    try:
        with tx.begin_nested():
            renew_price(tx=tx, renewed=renewed, now=now)
    except StateConflict as error:  # of one service, which keeps its price
        log.error("service.price_not_renewed", service_id=renewed.service_id, reason=str(error))
        return False
    return True


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
