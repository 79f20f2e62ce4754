"""Reading invoices, credit notes and payments, for people and for programs."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from connector.errors import StateConflict

LIST_MAX = 1_000

_LIST = text(
    "SELECT i.id, i.number, i.type, a.name AS customer, b.number AS billing_account, i.currency, "
    "       i.invoice_on, i.due_on, i.total, v.paid, v.credited, v.balance, v.status "
    "  FROM invoice i JOIN v_invoice_balance v ON v.invoice_id = i.id "
    "  JOIN billing_account b ON b.id = i.billing_account_id JOIN account a ON a.id = b.account_id "
    " WHERE (CAST(:account AS text) IS NULL OR b.number = :account) "
    "   AND (CAST(:number AS text) IS NULL OR i.number = :number) "
    " ORDER BY i.invoice_on DESC, i.id DESC LIMIT :limit"
)
_LINES = text(
    "SELECT line_no, kind, description, section, quantity, unit, unit_price, amount, cost, "
    "       tax_category, tax_percent, tax_amount, taxes, service_from, service_to, "
    "       accounting_code, explanation "
    "  FROM invoice_line WHERE invoice_id = :id ORDER BY line_no"
)
_PDF = text(
    "SELECT d.content FROM invoice_document d JOIN invoice i ON i.id = d.invoice_id "
    " WHERE i.number = :number AND d.media_type = 'application/pdf'"
)
_PAYMENTS = text(
    "SELECT p.number, p.source, p.reference, b.number AS billing_account, a.name AS customer, "
    "       p.received_on, p.amount, p.currency, p.method, p.state, u.applied, u.unapplied, "
    "       p.told_invoice, p.hold_reason "
    "  FROM payment p JOIN v_payment_unapplied u ON u.payment_id = p.id "
    "  LEFT JOIN billing_account b ON b.id = p.billing_account_id "
    "  LEFT JOIN account a ON a.id = b.account_id "
    " WHERE NOT :held_only OR p.billing_account_id IS NULL "
    " ORDER BY p.received_on DESC, p.id DESC LIMIT :limit"
)
_ACCOUNT = text("SELECT id FROM billing_account WHERE number = :number")


class UnknownInvoice(StateConflict):
    """There is no finalised document with this number."""

    code = "billing.unknown_invoice"
    remedy = "List them: l2c invoices list."


class UnknownAccount(StateConflict):
    """There is no billing account with this number."""

    code = "billing.unknown_account"
    remedy = "Invoices name it: l2c invoices list."


@dataclass(frozen=True, slots=True)
class InvoiceSummary:
    """A document and what is open on it."""

    id: int
    number: str | None
    type: str
    customer: str
    billing_account: str
    currency: str
    invoice_on: date
    due_on: date
    total: Decimal
    paid: Decimal
    credited: Decimal
    balance: Decimal
    status: str


def list_invoices(
    *, tx: Connection, account_number: str | None = None, limit: int = LIST_MAX
) -> list[InvoiceSummary]:
    """Return documents, newest first, of one billing account or of all."""
    values = {"account": account_number, "number": None, "limit": min(limit, LIST_MAX)}
    return [InvoiceSummary(**row._mapping) for row in tx.execute(_LIST, values)]


def invoice_by_number(*, tx: Connection, number: str) -> InvoiceSummary:
    """Return one document.

    Raises:
        UnknownInvoice: There is none with this number.
    """
    row = tx.execute(_LIST, {"account": None, "number": number, "limit": 1}).one_or_none()
    if row is None:
        raise UnknownInvoice(f"There is no invoice or credit note {number}.")
    return InvoiceSummary(**row._mapping)


def invoice_lines(*, tx: Connection, invoice_id: int) -> list[dict[str, Any]]:
    """Return the lines of a document with their explanations."""
    return [dict(row._mapping) for row in tx.execute(_LINES, {"id": invoice_id})]


def invoice_pdf(*, tx: Connection, number: str) -> bytes:
    """Return the PDF of a document.

    Raises:
        UnknownInvoice: There is no such document, or its PDF is not rendered yet.
    """
    content = tx.scalar(_PDF, {"number": number})
    if content is None:
        raise UnknownInvoice(
            f"There is no PDF of {number}.", remedy="The next bill run renders what is missing."
        )
    return bytes(content)


def list_payments(
    *, tx: Connection, held_only: bool = False, limit: int = LIST_MAX
) -> list[dict[str, Any]]:
    """Return payments, newest first, with what is left of them; or only those held."""
    values = {"held_only": held_only, "limit": min(limit, LIST_MAX)}
    return [dict(row._mapping) for row in tx.execute(_PAYMENTS, values)]


def billing_account_id(*, tx: Connection, number: str) -> int:
    """Return the id of a billing account.

    Raises:
        UnknownAccount: There is none with this number.
    """
    found: int | None = tx.scalar(_ACCOUNT, {"number": number})
    if found is None:
        raise UnknownAccount(f"There is no billing account {number}.")
    return found
