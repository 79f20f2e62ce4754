"""Setting money against invoices: as told first, then the oldest debt."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import structlog
from sqlalchemy import Connection, text

from connector.kernel.money import round_to_currency
from connector.ledger import chart
from connector.ledger.journal import Entry, Posting, post

log = structlog.get_logger(__name__)

_OPEN_DOCUMENTS = text(
    "SELECT i.id, i.billing_account_id, i.brand_id, i.type, i.number, i.currency, i.invoice_on, "
    "       i.due_on, i.corrects_invoice_id, v.balance "
    "  FROM invoice i JOIN v_invoice_balance v ON v.invoice_id = i.id "
    " WHERE i.billing_account_id = ANY(:ids) AND i.state = 'finalised' AND v.balance <> 0 "
    " ORDER BY i.id"
)

_UNAPPLIED_PAYMENTS = text(
    "SELECT p.id, p.billing_account_id, p.brand_id, p.currency, p.number, p.received_on, "
    "       u.unapplied, t.id AS told_invoice_id "
    "  FROM payment p JOIN v_payment_unapplied u ON u.payment_id = p.id "
    "  LEFT JOIN invoice t ON t.number = p.told_invoice AND t.type = 'Invoice' "
    "       AND t.billing_account_id = p.billing_account_id "
    " WHERE p.billing_account_id = ANY(:ids) AND u.unapplied > 0 ORDER BY p.id"
)

_INSERT = text(
    "INSERT INTO allocation (invoice_id, payment_id, credit_invoice_id, amount, applied_at) "
    "SELECT a.invoice_id, a.payment_id, a.credit_id, a.amount, :now "
    "  FROM unnest(CAST(:invoices AS bigint[]), CAST(:payments AS bigint[]), "
    "              CAST(:credits AS bigint[]), CAST(:amounts AS numeric[])) "
    "       WITH ORDINALITY AS a(invoice_id, payment_id, credit_id, amount, position) "
    " ORDER BY a.position RETURNING id, invoice_id, payment_id, amount"
)

_LOCK = text("SELECT id FROM billing_account WHERE id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE")


@dataclass(frozen=True, slots=True)
class OpenInvoice:
    """An invoice that is not paid in full."""

    id: int
    due_on: date
    balance: Decimal


@dataclass(frozen=True, slots=True)
class Source:
    """Money to be set against invoices: what is left of a payment or of a credit note."""

    id: int
    is_credit: bool
    on: date
    unapplied: Decimal
    told_invoice_id: int | None = None


@dataclass(frozen=True, slots=True)
class Application:
    """An amount of a source set against an invoice."""

    invoice_id: int
    source: Source
    amount: Decimal


def plan_applications(
    invoices: Sequence[OpenInvoice], sources: Sequence[Source]
) -> tuple[Application, ...]:
    """Share sources out to open invoices of one payer and currency.

    Credit notes go before payments, older before newer. Each pays the invoice it was told (for a
    credit note the one it corrects), then the oldest due date first. What finds no open invoice
    stays unapplied.
    """
    left = {invoice.id: invoice.balance for invoice in invoices}
    oldest_first = sorted(invoices, key=lambda invoice: (invoice.due_on, invoice.id))
    applications = []
    for source in sorted(sources, key=lambda one: (not one.is_credit, one.on, one.id)):
        rest = source.unapplied
        told = [invoice for invoice in oldest_first if invoice.id == source.told_invoice_id]
        others = [invoice for invoice in oldest_first if invoice.id != source.told_invoice_id]
        for invoice in (*told, *others):
            amount = min(rest, left[invoice.id])
            if amount > 0:
                applications.append(Application(invoice.id, source, amount))
                left[invoice.id] -= amount
                rest -= amount
    return tuple(applications)


def allocate_open(*, tx: Connection, billing_account_ids: Sequence[int], now: datetime) -> int:
    """Set all unapplied money of the payers against their open invoices; return how many times.

    Set-based for any number of payers; what moves from a payment is posted to the journal.
    """
    ids = sorted(set(billing_account_ids))
    if not ids:
        return 0
    tx.execute(_LOCK, {"ids": ids})
    invoices: dict[int, list[OpenInvoice]] = {}
    sources: dict[int, list[Source]] = {}
    facts: dict[int, tuple[int, str, str]] = {}
    for row in tx.execute(_OPEN_DOCUMENTS, {"ids": ids}):
        balance = round_to_currency(row.balance, row.currency)
        if row.type == "Credit Note":
            source = Source(row.id, True, row.invoice_on, -balance, row.corrects_invoice_id)
            sources.setdefault(row.billing_account_id, []).append(source)
        else:
            facts[row.id] = (row.brand_id, row.currency, row.number)
            open_invoice = OpenInvoice(row.id, row.due_on, balance)
            invoices.setdefault(row.billing_account_id, []).append(open_invoice)
    for row in tx.execute(_UNAPPLIED_PAYMENTS, {"ids": ids}):
        unapplied = round_to_currency(row.unapplied, row.currency)
        source = Source(row.id, False, row.received_on, unapplied, row.told_invoice_id)
        sources.setdefault(row.billing_account_id, []).append(source)
    applications = [
        application
        for payer, open_invoices in invoices.items()
        for application in plan_applications(open_invoices, sources.get(payer, ()))
    ]
    return _record(tx, applications, facts, now=now)


def _record(
    tx: Connection,
    applications: Sequence[Application],
    facts: dict[int, tuple[int, str, str]],
    *,
    now: datetime,
) -> int:
    if not applications:
        return 0
    rows = tx.execute(
        _INSERT,
        {
            "now": now,
            "invoices": [one.invoice_id for one in applications],
            "payments": [None if one.source.is_credit else one.source.id for one in applications],
            "credits": [one.source.id if one.source.is_credit else None for one in applications],
            "amounts": [one.amount for one in applications],
        },
    ).all()
    posted_on = {
        (one.invoice_id, one.source.id): one.source.on
        for one in applications
        if not one.source.is_credit
    }
    entries = []
    for row in rows:
        if row.payment_id is None:
            continue  # a credit note and its invoice are both receivables: nothing moves
        brand_id, currency, number = facts[row.invoice_id]
        entries.append(
            Entry(
                brand_id=brand_id,
                document_type="allocation",
                document_id=row.id,
                posted_on=max(posted_on[row.invoice_id, row.payment_id], now.date()),
                currency=currency,
                text=f"Payment set against {number}",
                postings=(
                    Posting(chart.CUSTOMER_CREDITS, row.amount),
                    Posting(chart.RECEIVABLES, -row.amount),
                ),
            )
        )
    post(tx=tx, entries=entries, now=now)
    log.info("money.allocated", applications=len(applications))
    return len(applications)
