"""Who is invoiced: one leading billing account per customer, currency and billing system."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Row, and_, case, exists, select, update
from sqlalchemy.dialects.postgresql import insert

from connector.errors import StateConflict
from connector.kernel.money import minor_digits
from connector.kernel.period import Interval
from connector.parties.numbering import reserve
from connector.store.tables.billing import invoice
from connector.store.tables.parties import account, billing_account

log = structlog.get_logger(__name__)

BUILT_IN = "builtin"
_NUMBER_PREFIX = "BA"
FOLLOWED_AT_ONCE_MAX = 10_000
DAYS_OF_A_WEEK = 7
_MONDAY = 1


class UnknownBillingAccount(StateConflict):
    """There is no billing account with this id."""

    code = "parties.unknown_billing_account"


@dataclass(frozen=True, slots=True)
class BillingAccount:
    """Who is invoiced, in which currency and calendar."""

    id: int
    account_id: int
    number: str
    currency: str
    anchor_day: int
    timezone: str
    status: str


@dataclass(frozen=True, slots=True)
class PayerTerms:
    """What a billing account begins with; afterwards each has its own."""

    timezone: str = "Europe/Berlin"
    payment_days: int = 14
    cycle: Interval = Interval.MONTH


def open_billing_account(
    *,
    tx: Connection,
    account_id: int,
    currency: str,
    terms: PayerTerms,
    now: datetime,
    system: str = BUILT_IN,
) -> int:
    """Return the customer's billing account in this currency, opening it when there is none.

    Twice is once, also at the same moment: the table allows one that leads per account, currency
    and system (in a foreign system: one that it has not answered for). Of several there, the oldest
    counts; others were superseded after a merge of two customers.

    Raises:
        UnknownCurrency: The currency is not in ISO 4217.
        UnknownBillingAccount: There is no such customer.
    """
    minor_digits(currency)
    standing = _find(tx, account_id, currency, system)
    if standing is not None:
        return standing
    owner = tx.execute(
        select(account.c.brand_id, account.c.email).where(account.c.id == account_id)
    ).one_or_none()
    if owner is None:
        raise UnknownBillingAccount(f"There is no account {account_id} to open billing for.")
    (reserved,) = reserve(tx=tx, table=billing_account, prefix=_NUMBER_PREFIX, count=1)
    opened = tx.scalar(
        insert(billing_account)
        .values(
            id=reserved.id,
            number=reserved.number,
            brand_id=owner.brand_id,
            account_id=account_id,
            system=system,
            currency=currency,
            timezone=terms.timezone,
            cycle=terms.cycle,
            payment_terms_days=terms.payment_days,
            email=owner.email,
            opened_at=now,
        )
        .on_conflict_do_nothing(
            index_elements=[
                billing_account.c.account_id,
                billing_account.c.currency,
                billing_account.c.system,
            ],
            index_where=and_(
                billing_account.c.foreign_key.is_(None),
                billing_account.c.superseded_by_id.is_(None),
            ),
        )
        .returning(billing_account.c.id)
    )
    if opened is None:
        found = _find(tx, account_id, currency, system)
        assert found is not None
        return found
    tx.execute(
        update(account)
        .where(account.c.id == account_id, account.c.link_state != "Linked")
        .values(link_state="Linked")
    )
    log.info("billing_account.opened", account_id=account_id, billing_account_id=opened)
    return int(opened)


def follow_cycles(*, tx: Connection) -> int:
    """Let payers be billed as often as their customers ask for; return how many change.

    Only who bills is asked: the built-in system. What is charged stays, it comes on other days.
    From weeks to months the weekday becomes a day of the month; to weeks, a later day than a
    weekday has becomes Monday. Whose drafts wait for review follows once they are finalised.
    Ten thousand at a time; the rest is left to the next run.
    """
    asking = tx.scalars(
        select(billing_account.c.id)
        .join(account, account.c.id == billing_account.c.account_id)
        .where(
            billing_account.c.system == BUILT_IN,
            billing_account.c.superseded_by_id.is_(None),
            account.c.billing_cycle.in_([str(one) for one in Interval]),
            account.c.billing_cycle != billing_account.c.cycle,
        )
        .order_by(billing_account.c.id)
        .limit(FOLLOWED_AT_ONCE_MAX)
    ).all()
    if not asking:  # as on most days: no look at the invoices of everybody
        return 0
    asked = account.c.billing_cycle
    is_too_late = and_(asked == Interval.WEEK, billing_account.c.anchor_day > DAYS_OF_A_WEEK)
    has_drafts = exists().where(
        invoice.c.billing_account_id == billing_account.c.id, invoice.c.state == "draft"
    )
    changed: int = tx.execute(
        update(billing_account)
        .where(
            billing_account.c.id.in_(asking),
            account.c.id == billing_account.c.account_id,
            ~has_drafts,
        )
        .values(
            cycle=asked,
            anchor_day=case((is_too_late, _MONDAY), else_=billing_account.c.anchor_day),
        )
    ).rowcount
    if changed:
        log.info("billing_account.cycles_followed", accounts=changed)
    return changed


def billing_account_of(
    *, tx: Connection, account_id: int, currency: str, system: str = BUILT_IN
) -> BillingAccount | None:
    """Return the customer's billing account in a currency and system, or None."""
    row = tx.execute(
        select(billing_account)
        .where(
            billing_account.c.account_id == account_id,
            billing_account.c.currency == currency,
            billing_account.c.system == system,
            billing_account.c.superseded_by_id.is_(None),
        )
        .order_by(billing_account.c.id)
        .limit(1)
    ).one_or_none()
    return None if row is None else _billing_account(row)


def _find(tx: Connection, account_id: int, currency: str, system: str) -> int | None:
    found = billing_account_of(tx=tx, account_id=account_id, currency=currency, system=system)
    return None if found is None else found.id


def _billing_account(row: Row[Any]) -> BillingAccount:
    return BillingAccount(
        id=row.id,
        account_id=row.account_id,
        number=row.number,
        currency=row.currency,
        anchor_day=row.anchor_day,
        timezone=row.timezone,
        status=row.status,
    )
