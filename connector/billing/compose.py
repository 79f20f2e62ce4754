"""Documents of a bill: lines sorted into one invoice and the credit notes, taxed and numbered."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from decimal import Decimal

from connector.billing.draft import (
    BillableCharge,
    BookedLine,
    DocumentDraft,
    LineDraft,
    Payer,
)
from connector.billing.due import Calendar
from connector.billing.lines import ForeignChargeCurrency, lines_of
from connector.billing.tax import TaxSource
from connector.billing.taxed_lines import Left, left_of, taxed

KIND_ORDER = ("Recurring", "Proration", "One-time", "Usage", "Fee", "Discount", "Credit")


def run_key(billing_account_id: int, billed_to: date) -> str:
    """Return what the documents of one payer and one cycle have in common."""
    return f"cycle:{billing_account_id}:{billed_to}"


def compose(
    payer: Payer,
    charges: Sequence[BillableCharge],
    booked: Sequence[BookedLine],
    taxes: TaxSource,
    billed_to: date,
    *,
    on_order: bool = False,
) -> tuple[DocumentDraft, ...]:
    """Return the documents a payer gets: an invoice, and a credit note per corrected invoice.

    On the day of an order that day's own one-time charges are due too, and recurring charges are
    billed up to the end of the period that is running.

    What a cancelled service gives back is a document of its own. Other credits are lines of the
    invoice, unless there would be less than nothing to pay: then they too go on credit notes.

    Raises:
        NoTaxRate: A line's tax is not known.
        ForeignChargeCurrency: A charge is in another currency than the payer's.
    """
    for charge in charges:
        if charge.currency != payer.currency:
            raise ForeignChargeCurrency(
                f"Charge {charge.id} ({charge.description}) is in {charge.currency}, "
                f"billing account {payer.number} in {payer.currency}."
            )
    calendar = Calendar(billed_to, payer.cycle, on_order)
    lines = lines_of(charges, booked, calendar)
    cancelled = [line for line in lines if line.is_cancellation]
    billed = [line for line in lines if not line.is_cancellation]
    corrected: list[LineDraft] = []
    if sum((line.amount for line in billed), Decimal(0)) < 0:
        corrected = [line for line in billed if line.credits is not None]
        billed = [line for line in billed if line.credits is None]
    left = left_of(booked)
    documents = []
    if billed:
        documents.append(_document(payer, calendar, billed, left, taxes, suffix="invoice"))
    for group, reason in ((cancelled, "Cancellation"), (corrected, "Correction")):
        documents += _credit_notes(payer, calendar, group, left, taxes, reason)
    return tuple(documents)


def _credit_notes(
    payer: Payer,
    calendar: Calendar,
    lines: Sequence[LineDraft],
    left: Left,
    taxes: TaxSource,
    reason: str,
) -> list[DocumentDraft]:
    by_invoice: dict[int, list[LineDraft]] = {}
    for line in lines:
        assert line.credits is not None
        by_invoice.setdefault(line.credits.invoice_id, []).append(line)
    return [
        _document(
            payer,
            calendar,
            by_invoice[invoice_id],
            left,
            taxes,
            suffix=f"{reason.lower()}:{invoice_id}",
            corrects=by_invoice[invoice_id][0].credits,
            reason=reason,
        )
        for invoice_id in sorted(by_invoice)
    ]


def _document(
    payer: Payer,
    calendar: Calendar,
    lines: Sequence[LineDraft],
    left: Left,
    taxes: TaxSource,
    *,
    suffix: str,
    corrects: BookedLine | None = None,
    reason: str | None = None,
) -> DocumentDraft:
    section = _section_of(payer)
    with_tax, totals = taxed(payer, _sorted(payer, lines), left, taxes, section)
    advance = calendar.advance
    assert advance.end is not None
    terms = timedelta(days=0 if corrects else payer.payment_terms_days)
    return DocumentDraft(
        payer=payer,
        type="Credit Note" if corrects else "Invoice",
        run_key=f"{run_key(payer.billing_account_id, calendar.billed_to)}:{suffix}",
        invoice_on=calendar.billed_to,
        due_on=calendar.billed_to + terms,
        period_start=advance.start,
        period_end=advance.end,
        lines=with_tax,
        taxes=totals,
        corrects_invoice_id=corrects.invoice_id if corrects else None,
        corrects_number=corrects.invoice_number if corrects else None,
        reason=reason,
    )


SECTIONS: dict[str, Callable[[BillableCharge], str]] = {
    "site": lambda charge: charge.site,
    "vendor": lambda charge: charge.vendor,
    "service": lambda charge: charge.service_number,
}


def _section_of(payer: Payer) -> Callable[[BillableCharge], str]:
    """Return what a line is grouped by: what a reseller pays for, by the reseller's customer."""
    chosen = SECTIONS[payer.invoice_sections]
    return lambda charge: charge.customer or chosen(charge)


def _sorted(payer: Payer, lines: Sequence[LineDraft]) -> list[LineDraft]:
    """Sort by section (what belongs to none comes last), site, service, kind and order line."""
    section = _section_of(payer)
    return sorted(
        lines,
        key=lambda line: (
            section(line.charge) == "",
            section(line.charge),
            line.charge.site == "",
            line.charge.site,
            line.charge.service_number == "",
            line.charge.service_number,
            KIND_ORDER.index(line.kind),
            line.charge.order_line_id or 0,  # as ordered, whatever was delivered first
            line.charge.id,
            line.service_from,
        ),
    )
