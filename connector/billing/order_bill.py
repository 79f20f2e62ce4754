"""The bill on the day of an order, for payers whose policy does not wait for the bill day."""

from dataclasses import replace
from datetime import date, datetime, timedelta

import structlog
from sqlalchemy import text

from connector.billing import queries
from connector.billing.allocate import allocate_open
from connector.billing.compose import compose
from connector.billing.earned_discounts import with_earned_discounts
from connector.billing.finalise import finalise
from connector.charging.policy import Partials
from connector.errors import InvalidInput
from connector.kernel.period import local_date
from connector.store.engine import Store

log = structlog.get_logger(__name__)

_HORIZON = timedelta(days=366)  # what begins later cannot be in the period that is running
_TIMEZONE = text("SELECT timezone FROM billing_account WHERE id = :id")


def bill_order(
    *, store: Store, billing_account_id: int, now: datetime, on: date | None = None
) -> tuple[str, ...]:
    """Invoice now what an order of the day made due; return the numbers of the documents.

    Without a day it is the payer's today, in the payer's time zone.

    That is the part of the period that is running and what was sold once, and everything else
    that is due: the next bill run finds it booked. Nothing is invoiced when no charge of the payer
    has the policy `invoice_partials_on: on_order`, or when nothing is due, so a repetition is
    harmless.

    Raises:
        InvalidInput: There is no such billing account, or the day lies ahead.
        NoTaxRate: A line's tax is not known.
    """
    with store.transaction() as tx:
        timezone = tx.scalar(_TIMEZONE, {"id": billing_account_id})
        if timezone is None:
            raise InvalidInput(f"There is no billing account {billing_account_id}.")
        today = local_date(now, timezone)
        on = on or today
        if on > today:
            raise InvalidInput(f"An order of {on} cannot be invoiced on {today}.")
        books = queries.load_books(tx, ids=[billing_account_id], horizon=on + _HORIZON)
        (book,) = books
        if not any(
            charge.policy.invoice_partials_on is Partials.ON_ORDER for charge in book.charges
        ):
            return ()
        (book,) = with_earned_discounts(tx, books=books, billed_to=on, keep=True)
        taxes = queries.load_taxes(tx, ids=[billing_account_id])
        drafts = compose(book.payer, book.charges, book.booked, taxes, on, on_order=True)
        key = queries.free_order_key(tx, billing_account_id=billing_account_id, on=on)
        documents = [
            replace(draft, run_key=f"{key}:{draft.run_key.split(':', 3)[3]}") for draft in drafts
        ]
        ids = queries.insert_drafts(tx, documents=documents, bill_run_id=None, now=now)
        done = finalise(tx=tx, drafts=list(zip(ids, documents, strict=True)), now=now)
        allocate_open(tx=tx, billing_account_ids=[billing_account_id], now=now)
    log.info("order.billed", billing_account_id=billing_account_id, documents=len(done))
    return tuple(one.number for one in done)
