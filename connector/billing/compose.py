"""Documents of a bill: lines sorted into one invoice and the credit notes, taxed and numbered."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from connector.billing.draft import (
    BillableCharge,
    BookedLine,
    DocumentDraft,
    LineDraft,
    Payer,
    TaxedLine,
    TaxTotal,
)
from connector.billing.due import Calendar
from connector.billing.lines import ForeignChargeCurrency, lines_of
from connector.billing.tax import AppliedTax, TaxSource, Treatment, share_out

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
    documents = []
    if billed:
        documents.append(_document(payer, calendar, billed, taxes, suffix="invoice"))
    for group, reason in ((cancelled, "Cancellation"), (corrected, "Correction")):
        documents += _credit_notes(payer, calendar, group, taxes, reason)
    return tuple(documents)


def _credit_notes(
    payer: Payer, calendar: Calendar, lines: Sequence[LineDraft], taxes: TaxSource, reason: str
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
    taxes: TaxSource,
    *,
    suffix: str,
    corrects: BookedLine | None = None,
    reason: str | None = None,
) -> DocumentDraft:
    taxed, totals = _taxed(payer, _sorted(payer, lines), taxes)
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
        lines=taxed,
        taxes=totals,
        corrects_invoice_id=corrects.invoice_id if corrects else None,
        corrects_number=corrects.invoice_number if corrects else None,
        reason=reason,
    )


_SECTIONS: dict[str, Callable[[BillableCharge], str]] = {
    "site": lambda charge: charge.site,
    "vendor": lambda charge: charge.vendor,
    "service": lambda charge: charge.service_number,
}


def _sorted(payer: Payer, lines: Sequence[LineDraft]) -> list[LineDraft]:
    """Sort by section (what belongs to none comes last), site, service and kind."""
    section = _SECTIONS[payer.invoice_sections]
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
            line.charge.id,
            line.service_from,
        ),
    )


def _taxed(
    payer: Payer, lines: Sequence[LineDraft], taxes: TaxSource
) -> tuple[tuple[TaxedLine, ...], tuple[TaxTotal, ...]]:
    """Tax lines once per category and rate, and share the tax out to them."""
    section = _SECTIONS[payer.invoice_sections]
    rates = [_rate(payer, line, taxes) for line in lines]
    shares: dict[int, Decimal] = {}
    totals = []
    by_rate: dict[AppliedTax, list[int]] = {}
    for i, rate in enumerate(rates):
        by_rate.setdefault(rate, []).append(i)
    for rate, members in sorted(by_rate.items()):
        contained = rate.treatment is Treatment.INCLUSIVE
        amounts = [lines[i].amount for i in members]
        parts = share_out(amounts, rate.percent, payer.currency, contained=contained)
        tax = sum(parts, Decimal(0))
        basis = sum(amounts, Decimal(0)) - (tax if contained else 0)
        totals.append(TaxTotal(rate.category, rate.percent, basis, tax, rate.treatment))
        shares |= dict(zip(members, parts, strict=True))
    return (
        tuple(
            TaxedLine(
                line_no=i + 1,
                line=_net(line, rates[i], shares[i]),
                section=section(line.charge),
                tax_category=rates[i].category,
                tax_percent=rates[i].percent,
                tax_amount=shares[i],
                tax_treatment=rates[i].treatment,
            )
            for i, line in enumerate(lines)
        ),
        tuple(totals),
    )


def _net(line: LineDraft, rate: AppliedTax, share: Decimal) -> LineDraft:
    """Return a line without the tax that its price contains."""
    if rate.treatment is not Treatment.INCLUSIVE:
        return line
    contained = {"text": f"the {rate.percent.normalize():f} % tax in it", "amount": str(-share)}
    parts = [*line.explanation["parts"], contained]
    return replace(
        line, amount=line.amount - share, explanation=line.explanation | {"parts": parts}
    )


def _rate(payer: Payer, line: LineDraft, taxes: TaxSource) -> AppliedTax:
    """Return the tax of a line; a credit takes over that of the line it gives back."""
    credits = line.credits
    if credits is not None:
        treatment = Treatment(credits.tax_treatment)
        return AppliedTax(credits.tax_category, credits.tax_percent, treatment)
    supplied_on = max(line.service_from, line.service_to - timedelta(days=1))
    category = line.charge.tax_category
    return taxes.applied(payer, category, supplied_on, line.charge.tax_country)
