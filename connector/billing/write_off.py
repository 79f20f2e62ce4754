"""Writing off: what nobody will pay any more leaves the receivables as a loss."""

from datetime import datetime
from decimal import Decimal

import structlog
from sqlalchemy import text

from connector.billing.invoices import UnknownInvoice
from connector.errors import StateConflict
from connector.kernel.money import round_to_currency
from connector.ledger import chart
from connector.ledger.journal import Entry, Posting, post
from connector.store.engine import Store

log = structlog.get_logger(__name__)

_LOCK = text(
    "SELECT i.id, i.brand_id, i.type, i.system, i.currency "
    "  FROM invoice i JOIN billing_account b ON b.id = i.billing_account_id "
    " WHERE i.number = :number AND i.state = 'finalised' FOR NO KEY UPDATE OF b"
)
# After the lock, in a statement of its own: what was paid while we waited counts.
_BALANCE = text("SELECT balance FROM v_invoice_balance WHERE invoice_id = :id")
_INSERT = text(
    "INSERT INTO write_off (invoice_id, amount, reason, written_off_on, created_at) "
    "VALUES (:invoice_id, :amount, :reason, :on, :now) RETURNING id"
)


class NothingToWriteOff(StateConflict):
    """Nothing is open on the document, or it is none that can be written off."""

    code = "billing.nothing_to_write_off"


def write_off_invoice(*, store: Store, number: str, reason: str, now: datetime) -> Decimal:
    """Write off what is open on an invoice; return how much.

    The whole open amount, tax included, becomes a loss: an authority that gives tax back on bad
    debts is asked for it elsewhere. The invoice stays as it is and shows as written off. Money that
    comes in later is a credit of the customer.

    Raises:
        UnknownInvoice: There is no finalised document with this number.
        NothingToWriteOff: Nothing is open on it, it is a credit note, or another billing system
            issued it.
    """
    with store.transaction() as tx:
        invoice = tx.execute(_LOCK, {"number": number}).one_or_none()
        if invoice is None:
            raise UnknownInvoice(f"There is no invoice {number}.")
        if invoice.system != "builtin":
            raise NothingToWriteOff(
                f"The billing system {invoice.system} issued {number}.",
                remedy="Write it off there.",
            )
        balance = tx.execute(_BALANCE, {"id": invoice.id}).scalar_one()
        amount = round_to_currency(balance, invoice.currency)
        if invoice.type == "Credit Note" or amount <= 0:
            raise NothingToWriteOff(
                f"Nothing is owed on {number}.", remedy="Look at it: l2c invoices show."
            )
        values = {"invoice_id": invoice.id, "amount": amount, "reason": reason}
        written_off = tx.scalar(_INSERT, values | {"on": now.date(), "now": now})
        assert written_off is not None
        entry = Entry(
            brand_id=invoice.brand_id,
            document_type="write_off",
            document_id=written_off,
            posted_on=now.date(),
            currency=invoice.currency,
            text=f"Written off: {number}",
            postings=(Posting(chart.BAD_DEBTS, amount), Posting(chart.RECEIVABLES, -amount)),
        )
        post(tx=tx, entries=[entry], now=now)
    log.info("invoice.written_off", invoice_id=invoice.id)
    return amount
