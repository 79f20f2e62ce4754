"""The tax of a document: once per category and rate, shared out to its lines.

What gives an invoice back takes its tax back too, to the last coin: however many documents it
takes, in the end nothing of it is left (domain 3.4, golden 6).
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

from connector.billing.draft import BookedLine, LineDraft, Payer, TaxedLine, TaxTotal
from connector.billing.tax import TaxTable, share_out, tax_of

Rate = tuple[str, Decimal]  # category, percent
Group = tuple[int, str, Decimal]  # invoice, category, percent
Left = dict[Group, tuple[Decimal, Decimal]]  # amount and tax
ZERO = Decimal(0)


def left_of(booked: Sequence[BookedLine]) -> Left:
    """Return what is left of each invoice, category and rate after the credits so far."""
    left: Left = {}
    for line in booked:
        group = (line.invoice_id, line.tax_category, line.tax_percent)
        amount, tax = left.get(group, (ZERO, ZERO))
        left[group] = (amount + line.left, tax + line.tax_left)
    return left


def taxed(
    payer: Payer, lines: Sequence[LineDraft], left: Left, taxes: TaxTable
) -> tuple[tuple[TaxedLine, ...], tuple[TaxTotal, ...]]:
    """Tax lines once per category and rate, and share the tax out to them.

    Lines that sell are taxed on their sum. Where a category has nothing but credits, the tax is
    what it takes to leave the right tax on what is left of the invoices they give back. What is
    given back is taken off `left`, for the next document.

    Raises:
        NoTaxRate: A line's tax is not known.
    """
    rates = [_rate(payer, line, taxes) for line in lines]
    shares: dict[int, Decimal] = {}
    totals = []
    for rate in sorted(set(rates)):
        members = [i for i, one in enumerate(rates) if one == rate]
        group = [lines[i] for i in members]
        basis = sum((line.amount for line in group), ZERO)
        given = _given_back(group, left, rate, payer.currency)
        if all(line.credits is not None for line in group):
            tax = sum((one.tax for one in given.values()), ZERO)
            parts = _of_credits(group, given, rate, payer.currency)
        else:
            tax = tax_of(basis, rate[1], payer.currency)
            parts = _mixed(group, given, rate, tax, payer.currency)
        totals.append(TaxTotal(*rate, basis, tax))
        shares |= dict(zip(members, parts, strict=True))
        for line, part in zip(group, parts, strict=True):
            if line.credits is not None:
                known = (line.credits.invoice_id, *rate)
                amount, tax_left = left[known]
                left[known] = (amount + line.amount, tax_left + part)
    return (
        tuple(
            TaxedLine(
                line_no=i + 1,
                line=line,
                section=line.charge.site,
                tax_category=rates[i][0],
                tax_percent=rates[i][1],
                tax_amount=shares[i],
            )
            for i, line in enumerate(lines)
        ),
        tuple(totals),
    )


class _Given:
    """What a document gives back of an invoice in one category and rate; all below zero."""

    def __init__(self) -> None:
        self.amount = ZERO
        self.tax = ZERO
        self.is_all = False


def _given_back(
    lines: Sequence[LineDraft],
    left: Left,
    rate: Rate,
    currency: str,
) -> dict[int, _Given]:
    given: dict[int, _Given] = {}
    for line in lines:
        if line.credits is not None:
            given.setdefault(line.credits.invoice_id, _Given()).amount += line.amount
    for invoice_id, one in given.items():
        amount, tax = left[(invoice_id, *rate)]
        stays = amount + one.amount
        one.is_all = stays == 0
        one.tax = tax_of(stays, rate[1], currency) - tax
    return given


def _of_credits(
    lines: Sequence[LineDraft], given: Mapping[int, _Given], rate: Rate, currency: str
) -> list[Decimal]:
    shares: dict[int, Decimal] = {}
    for invoice_id, one in given.items():
        members = [i for i, line in enumerate(lines) if _invoice(line) == invoice_id]
        parts = share_out([lines[i].amount for i in members], rate[1], currency, tax=one.tax)
        shares |= dict(zip(members, parts, strict=True))
    return [shares[i] for i in range(len(lines))]


def _mixed(
    lines: Sequence[LineDraft],
    given: Mapping[int, _Given],
    rate: Rate,
    tax: Decimal,
    currency: str,
) -> list[Decimal]:
    """Share out the tax of lines that sell and of credits among them.

    Where nothing is left of an invoice, its credits take its last coin; the others bear the rest.
    """
    if not given:
        return list(share_out([line.amount for line in lines], rate[1], currency))
    emptied = {invoice_id: one for invoice_id, one in given.items() if one.is_all}
    gone = [i for i, line in enumerate(lines) if _invoice(line) in emptied]
    parts = _of_credits([lines[i] for i in gone], emptied, rate, currency)
    shares = dict(zip(gone, parts, strict=True))
    rest = [i for i in range(len(lines)) if i not in shares]
    amounts = [lines[i].amount for i in rest]
    shares |= dict(
        zip(rest, share_out(amounts, rate[1], currency, tax=tax - sum(parts, ZERO)), strict=True)
    )
    return [shares[i] for i in range(len(lines))]


def _invoice(line: LineDraft) -> int | None:
    return None if line.credits is None else line.credits.invoice_id


def _rate(payer: Payer, line: LineDraft, taxes: TaxTable) -> Rate:
    """Return category and rate; a credit takes over those of the line it gives back."""
    if line.credits is not None:
        return line.credits.tax_category, line.credits.tax_percent
    supplied_on = max(line.service_from, line.service_to - timedelta(days=1))
    category = line.charge.tax_category
    return category, taxes.percent(payer, category, supplied_on, line.charge.tax_country)
