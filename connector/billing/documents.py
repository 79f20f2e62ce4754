"""Documents people read: everything a renderer needs, gathered in bulk, and the rendered file."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol

import structlog
from sqlalchemy import Connection, text

from connector.errors import ConnectorError
from connector.store.engine import Store

log = structlog.get_logger(__name__)

PDF = "application/pdf"
CHUNK_DOCUMENTS = 200
CHUNKS_MAX = 5_000  # a million documents in one run

_MISSING = text(
    "SELECT i.id FROM invoice i WHERE i.state = 'finalised' AND NOT EXISTS ("
    "   SELECT 1 FROM invoice_document d WHERE d.invoice_id = i.id AND d.media_type = :media) "
    " AND i.id > :after ORDER BY i.id LIMIT :limit"
)

_DOCUMENTS = text(
    "SELECT i.id AS invoice_id, i.type, i.number, i.currency, i.invoice_on, i.due_on, "
    "       i.period_start, i.period_end, i.subtotal, i.tax, i.total, i.reason, i.posted_at, "
    "       k.number AS corrects_number, k.invoice_on AS corrects_on, "
    "       b.number AS billing_account, a.name AS customer, a.kind AS customer_kind, a.street, "
    "       a.postal_code, a.city, a.country, a.is_tax_exempt, r.name AS brand, r.legal_name, "
    "       r.address, r.tax_number, r.email, r.remit_to, r.colour, r.footer, "
    "       r.invoice_sections "
    "  FROM invoice i JOIN billing_account b ON b.id = i.billing_account_id "
    "  JOIN account a ON a.id = b.account_id JOIN brand r ON r.id = i.brand_id "
    "  LEFT JOIN invoice k ON k.id = i.corrects_invoice_id "
    " WHERE i.id = ANY(:ids) ORDER BY i.id"
)

_LINES = text(
    "SELECT l.invoice_id, l.line_no, l.kind, l.description, l.section, l.quantity, l.unit, "
    "       l.unit_price, l.amount, l.tax_percent, l.service_from, l.service_to, "
    "       coalesce(s.number, '') AS service_number, l.explanation "
    "  FROM invoice_line l LEFT JOIN service s ON s.id = l.service_id "
    " WHERE l.invoice_id = ANY(:ids) ORDER BY l.invoice_id, l.line_no"
)

_TAXES = text(
    "SELECT invoice_id, category, name, percent, treatment, basis, tax FROM invoice_tax "
    " WHERE invoice_id = ANY(:ids) ORDER BY invoice_id, category, name, percent, treatment"
)

_STORE = text(
    "INSERT INTO invoice_document (invoice_id, media_type, sha256, content, rendered_at) "
    "VALUES (:invoice_id, :media_type, :sha256, :content, :rendered_at) ON CONFLICT DO NOTHING"
)


@dataclass(frozen=True, slots=True)
class PrintedLine:
    """A line as people see it."""

    line_no: int
    kind: str
    description: str
    section: str
    service_number: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    amount: Decimal
    tax_percent: Decimal
    service_from: date
    service_to: date
    explanation: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PrintedTax:
    """The tax of one rate, or one of several by its name."""

    category: str
    name: str
    percent: Decimal
    treatment: str
    basis: Decimal
    tax: Decimal


@dataclass(frozen=True, slots=True)
class PrintedDocument:
    """An invoice or credit note with everything that is printed on it."""

    invoice_id: int
    type: str
    number: str
    currency: str
    invoice_on: date
    due_on: date
    period_start: date
    period_end: date
    subtotal: Decimal
    tax: Decimal
    total: Decimal
    reason: str | None
    posted_at: datetime
    corrects_number: str | None
    corrects_on: date | None
    billing_account: str
    customer: str
    customer_kind: str
    street: str | None
    postal_code: str | None
    city: str | None
    country: str | None
    is_tax_exempt: bool
    brand: str
    legal_name: str
    address: str
    tax_number: str
    email: str
    remit_to: str
    colour: str
    footer: str
    invoice_sections: str  # site, vendor, service
    lines: tuple[PrintedLine, ...]
    taxes: tuple[PrintedTax, ...]


class DocumentRenderer(Protocol):
    """Makes the PDF of a document; the same document gives the same bytes."""

    def __call__(self, document: PrintedDocument) -> bytes:
        """Return the rendered file."""


def load_documents(tx: Connection, *, invoice_ids: Sequence[int]) -> list[PrintedDocument]:
    """Return finalised documents with lines and taxes, in three queries."""
    ids = list(invoice_ids)
    lines: dict[int, list[PrintedLine]] = {}
    for row in tx.execute(_LINES, {"ids": ids}):
        values = dict(row._mapping)
        lines.setdefault(values.pop("invoice_id"), []).append(PrintedLine(**values))
    taxes: dict[int, list[PrintedTax]] = {}
    for row in tx.execute(_TAXES, {"ids": ids}):
        values = dict(row._mapping)
        taxes.setdefault(values.pop("invoice_id"), []).append(PrintedTax(**values))
    return [
        PrintedDocument(
            **row._mapping,
            lines=tuple(lines.get(row.invoice_id, ())),
            taxes=tuple(taxes.get(row.invoice_id, ())),
        )
        for row in tx.execute(_DOCUMENTS, {"ids": ids})
    ]


def render_missing(*, store: Store, render: DocumentRenderer, now: datetime) -> int:
    """Render every finalised document that has no PDF yet; return how many.

    Outside any transaction while it renders; safe to run twice at once, because the first one
    stored stays and both have the same bytes.
    """
    rendered = 0
    after = 0
    for _ in range(CHUNKS_MAX):
        with store.read() as tx:
            ids = list(
                tx.scalars(_MISSING, {"media": PDF, "after": after, "limit": CHUNK_DOCUMENTS})
            )
            documents = load_documents(tx, invoice_ids=ids)
        if not documents:
            break
        files = [(document, _rendered(document, render)) for document in documents]
        with store.transaction() as tx:
            _store(
                tx,
                [
                    {
                        "invoice_id": document.invoice_id,
                        "media_type": PDF,
                        "sha256": hashlib.sha256(content).hexdigest(),
                        "content": content,
                        "rendered_at": now,
                    }
                    for document, content in files
                    if content is not None
                ],
            )
        rendered += sum(content is not None for _, content in files)
        after = documents[-1].invoice_id
    log.info("documents.rendered", documents=rendered)
    return rendered


def _rendered(document: PrintedDocument, render: DocumentRenderer) -> bytes | None:
    """Render one document; one that fails is reported and does not hold up the others."""
    try:
        return render(document)
    except ConnectorError as error:
        log.error("document.not_rendered", invoice_id=document.invoice_id, code=error.code)
        return None


def _store(tx: Connection, files: list[dict[str, Any]]) -> None:
    if files:
        tx.execute(_STORE, files)
