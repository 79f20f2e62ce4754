"""Finalising: gapless numbers, immutability, and what a document does to the accounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
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
class Unnumbered:
    """A draft in the store, by what its number and its journal entry follow from."""

    invoice_id: int
    type: str
    invoice_prefix: str
    brand_id: int
    invoice_on: date
    currency: str
    total: Decimal
    tax: Decimal
    revenue: tuple[tuple[str, Decimal], ...]  # by account code, before tax

    @property
    def series(self) -> str:
        """The number series: one per issuer and kind of document."""
        is_credit = self.type == "Credit Note"
        return f"{self.invoice_prefix}-CN" if is_credit else self.invoice_prefix


@dataclass(frozen=True, slots=True)
class Finalised:
    """A document with its number."""

    invoice_id: int
    number: str


def finalise(
    *, tx: Connection, drafts: Sequence[tuple[int, DocumentDraft]], now: datetime
) -> list[Finalised]:
    """Number drafts that were just computed; see `finalise_stored`."""
    unnumbered = [_unnumbered(invoice_id, document) for invoice_id, document in drafts]
    return finalise_stored(tx=tx, drafts=unnumbered, now=now)


def finalise_stored(
    *, tx: Connection, drafts: Sequence[Unnumbered], now: datetime
) -> list[Finalised]:
    """Number drafts and make them immutable, and post their journal entries.

    Numbers have no gap: the row of the series is locked until the transaction ends, and a
    transaction that fails gives its numbers back.
    """
    numbered = _number(tx, drafts)
    if not numbered:
        return []
    tx.execute(
        _FINALISE,
        {
            "now": now,
            "ids": [draft.invoice_id for draft, _ in numbered],
            "series": [draft.series for draft, _ in numbered],
            "numbers": [number for _, number in numbered],
        },
    )
    post(tx=tx, entries=[_entry(draft, number) for draft, number in numbered], now=now)
    return [Finalised(draft.invoice_id, number) for draft, number in numbered]


def _unnumbered(invoice_id: int, document: DocumentDraft) -> Unnumbered:
    revenue: dict[str, Decimal] = {}
    for taxed in document.lines:
        code = taxed.line.charge.accounting_code
        revenue[code] = revenue.get(code, Decimal(0)) + taxed.line.amount
    return Unnumbered(
        invoice_id,
        document.type,
        document.payer.invoice_prefix,
        document.payer.brand_id,
        document.invoice_on,
        document.payer.currency,
        document.total,
        document.tax,
        tuple(sorted(revenue.items())),
    )


def _number(tx: Connection, drafts: Sequence[Unnumbered]) -> list[tuple[Unnumbered, str]]:
    by_series: dict[str, list[Unnumbered]] = {}
    for draft in drafts:
        by_series.setdefault(draft.series, []).append(draft)
    numbered: list[tuple[Unnumbered, str]] = []
    for series in sorted(by_series):  # always in one order, so two runs cannot lock each other out
        members = by_series[series]
        last = tx.execute(_NEXT_NUMBERS, {"series": series, "count": len(members)}).scalar_one()
        first = last - len(members) + 1
        numbered += [
            (draft, f"{series}-{number:0{NUMBER_DIGITS}}")
            for number, draft in enumerate(members, start=first)
        ]
    return numbered


def _entry(draft: Unnumbered, number: str) -> Entry:
    """Receivables against revenue and tax; a credit note mirrors an invoice by its signs."""
    return Entry(
        brand_id=draft.brand_id,
        document_type="credit_note" if draft.type == "Credit Note" else "invoice",
        document_id=draft.invoice_id,
        posted_on=draft.invoice_on,
        currency=draft.currency,
        text=f"{draft.type} {number}",
        postings=(
            Posting(chart.RECEIVABLES, draft.total),
            *(Posting(code, -amount) for code, amount in draft.revenue),
            Posting(chart.TAX, -draft.tax),
        ),
    )
