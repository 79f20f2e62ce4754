"""What a simulation shows: its documents as plain values, for JSON, people and checks."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from connector.billing.draft import DocumentDraft, TaxedLine
from connector.simulation.play import Played
from connector.simulation.world import Document


def outcome(played: Played) -> dict[str, Any]:
    """Return everything that came out, dates and exact amounts as they are."""
    world = played.world
    shown: dict[str, Any] = {
        "invoices": [shown_document(one) for one in played.documents],
        "unapplied": [
            {"account": ledger.name, "amount": payment.unapplied}
            for ledger in world.ledgers.values()
            for payment in ledger.payments
            if payment.unapplied
        ],
    }
    if played.drafts:
        shown["drafts"] = [shown_document(one) for one in played.drafts]
    return shown


def shown_document(document: Document) -> dict[str, Any]:
    """Return one document."""
    draft = document.draft
    return {
        "number": document.number,
        "account": document.account,
        "type": draft.type,
        "date": draft.invoice_on,
        "due": draft.due_on,
        "period_start": draft.period_start,
        "period_end": draft.period_end,
        "currency": draft.payer.currency,
        "corrects": draft.corrects_number,
        "reason": draft.reason,
        "lines": [_line(one) for one in draft.lines],
        "tax": _taxes(draft),
        "subtotal": draft.subtotal,
        "total": draft.total,
        "balance": document.balance,
    }


def _line(taxed: TaxedLine) -> dict[str, Any]:
    line = taxed.line
    return {
        "kind": line.kind,
        "service": line.charge.service_number,
        "site": line.charge.site,
        "text": line.description,
        "from": line.service_from,
        "to": line.service_to,
        "quantity": line.quantity,
        "unit": line.unit,
        "unit_price": line.unit_price,
        "amount": line.amount,
        "tax_percent": taxed.tax_percent,
        "tax": taxed.tax_amount,
        "explanation": line.explanation,
    }


def _taxes(draft: DocumentDraft) -> list[dict[str, Any]]:
    return [
        {"category": one.category, "percent": one.percent, "basis": one.basis, "tax": one.tax}
        for one in draft.taxes
    ]


def plain(value: Any, *, key: str = "") -> Any:
    """Return a value for JSON: amounts as text in the places of their currency, days as text."""
    if isinstance(value, Mapping):
        return {str(name): plain(inner, key=name) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, key=key) for inner in value]
    if isinstance(value, date):
        return value.isoformat()
    if not isinstance(value, Decimal):
        return value
    return f"{_trimmed(value) if key in _MEASURES else value:f}"


_MEASURES = {"quantity", "percent", "tax_percent"}


def _trimmed(number: Decimal) -> Decimal:
    trimmed = number.normalize()
    exponent = trimmed.as_tuple().exponent
    return trimmed.quantize(Decimal(1)) if isinstance(exponent, int) and exponent > 0 else trimmed
