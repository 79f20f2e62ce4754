"""Finalising: gapless numbers, immutability, and what a document does to the accounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from connector.billing.draft import DocumentDraft
from connector.ledger import chart
from connector.ledger.journal import Entry, Posting, post

NUMBER_DIGITS = 6

_NEXT_NUMBERS = text(
    "INSERT INTO number_series (series, last_number) VALUES (:series, :count) "
    "ON CONFLICT (series) DO UPDATE "
    "   SET last_number = number_series.last_number + excluded.last_number RETURNING last_number"
)

_FINALISE = text(
    "UPDATE invoice i SET state = 'finalised', series = n.series, number = n.number, "
    "       posted_at = :now "
    "  FROM unnest(CAST(:ids AS bigint[]), CAST(:series AS text[]), CAST(:numbers AS text[])) "
    "       AS n(id, series, number) "
    " WHERE i.id = n.id AND i.state = 'draft'"
)


@dataclass(frozen=True, slots=True)
class Finalised:
    """A document with its number."""

    invoice_id: int
    number: str
    document: DocumentDraft


def finalise(
    *, tx: Connection, drafts: Sequence[tuple[int, DocumentDraft]], now: datetime
) -> list[Finalised]:
    """Number drafts and make them immutable, and post their journal entries.

    Numbers have no gap: the row of the series is locked until the transaction ends, and a
    transaction that fails gives its numbers back.
    """
    finalised = _number(tx, drafts)
    if not finalised:
        return []
    tx.execute(
        _FINALISE,
        {
            "now": now,
            "ids": [one.invoice_id for one in finalised],
            "series": [series_of(one.document) for one in finalised],
            "numbers": [one.number for one in finalised],
        },
    )
    post(tx=tx, entries=[_entry(one) for one in finalised], now=now)
    return finalised


def series_of(document: DocumentDraft) -> str:
    """Return the number series: one per issuer and kind of document."""
    prefix = document.payer.invoice_prefix
    return f"{prefix}-CN" if document.type == "Credit Note" else prefix


def _number(tx: Connection, drafts: Sequence[tuple[int, DocumentDraft]]) -> list[Finalised]:
    by_series: dict[str, list[tuple[int, DocumentDraft]]] = {}
    for invoice_id, document in drafts:
        by_series.setdefault(series_of(document), []).append((invoice_id, document))
    finalised: list[Finalised] = []
    for series in sorted(by_series):  # always in one order, so two runs cannot lock each other out
        members = by_series[series]
        last = tx.execute(_NEXT_NUMBERS, {"series": series, "count": len(members)}).scalar_one()
        first = last - len(members) + 1
        for number, (invoice_id, document) in enumerate(members, start=first):
            finalised.append(Finalised(invoice_id, f"{series}-{number:0{NUMBER_DIGITS}}", document))
    return finalised


def _entry(one: Finalised) -> Entry:
    """Receivables against revenue and tax; a credit note mirrors an invoice by its signs."""
    document = one.document
    revenue: dict[str, Decimal] = {}
    for taxed in document.lines:
        code = taxed.line.charge.accounting_code
        revenue[code] = revenue.get(code, Decimal(0)) + taxed.line.amount
    return Entry(
        brand_id=document.payer.brand_id,
        document_type="credit_note" if document.type == "Credit Note" else "invoice",
        document_id=one.invoice_id,
        posted_on=document.invoice_on,
        currency=document.payer.currency,
        text=f"{document.type} {one.number}",
        postings=(
            Posting(chart.RECEIVABLES, document.total),
            *(Posting(code, -amount) for code, amount in sorted(revenue.items())),
            Posting(chart.TAX, -document.tax),
        ),
    )
