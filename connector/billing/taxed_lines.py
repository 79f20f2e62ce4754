"""The tax of a document: once per category and rate, shared out to its lines.

What gives an invoice back takes its tax back too, to the last coin: however many documents it
takes, in the end nothing of it is left (domain 3.4, golden 6).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from connector.billing.draft import (
    BillableCharge,
    BookedLine,
    LineDraft,
    Payer,
    TaxedLine,
    TaxShare,
    TaxTotal,
)
from connector.billing.several_taxes import merged, taxes_of, totals_of
from connector.billing.tax import (
    AppliedTax,
    TaxPart,
    TaxSource,
    Treatment,
    share_out,
    tax_in,
    tax_of,
)

Group = tuple[int, AppliedTax]  # invoice and tax
Left = dict[Group, tuple[Decimal, Decimal]]  # amount (with the tax that a price contains) and tax
ZERO = Decimal(0)


def left_of(booked: Sequence[BookedLine]) -> Left:
    """Return what is left of each invoice, category and rate after the credits so far."""
    left: Left = {}
    for line in booked:
        group = (line.invoice_id, _tax_of_booked(line))
        amount, tax = left.get(group, (ZERO, ZERO))
        left[group] = (amount + line.left, tax + line.tax_left)
    return left


def taxed(
    payer: Payer,
    lines: Sequence[LineDraft],
    left: Left,
    taxes: TaxSource,
    section: Callable[[BillableCharge], str],
) -> tuple[tuple[TaxedLine, ...], tuple[TaxTotal, ...]]:
    """Tax lines once per category, rate and treatment, and share the tax out to them.

    Lines that sell are taxed on their sum. Where a category has nothing but credits, the tax is
    what it takes to leave the right tax on what is left of the invoices they give back. What is
    given back is taken off `left`, for the next document.

    Raises:
        NoTaxRate: A line's tax is not known.
        ForeignSurcharge: A fixed amount is in another currency.
    """
    rates = [_rate(payer, line, taxes) for line in lines]
    shares: dict[int, Decimal] = {}
    several: dict[int, tuple[TaxShare, ...]] = {}
    totals: list[TaxTotal] = []
    by_rate: dict[AppliedTax, list[int]] = {}
    for i, rate in enumerate(rates):
        by_rate.setdefault(rate, []).append(i)
    for rate, members in sorted(by_rate.items()):
        group = [lines[i] for i in members]
        if rate.parts:
            each = taxes_of(group, rate, payer.currency)
            totals += totals_of(group, each, rate)
            several |= dict(zip(members, each, strict=True))
            continue
        basis = sum((line.amount for line in group), ZERO)
        given = _given_back(group, left, rate, payer.currency)
        if all(line.credits is not None for line in group):
            tax = sum((one.tax for one in given.values()), ZERO)
            parts = _of_credits(group, given, rate, payer.currency)
        else:
            tax = _tax(basis, rate, payer.currency)
            parts = _mixed(group, given, rate, tax, payer.currency)
        net = basis - tax if rate.treatment is Treatment.INCLUSIVE else basis
        totals.append(TaxTotal(rate.category, rate.percent, net, tax, rate.treatment))
        shares |= dict(zip(members, parts, strict=True))
        for line, part in zip(group, parts, strict=True):
            if line.credits is not None:
                known = (line.credits.invoice_id, rate)
                amount, tax_left = left[known]
                left[known] = (amount + line.amount, tax_left + part)
    shares |= {i: sum((one.tax for one in taxes), ZERO) for i, taxes in several.items()}
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
                taxes=several.get(i, ()),
            )
            for i, line in enumerate(lines)
        ),
        merged(totals),
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
    rate: AppliedTax,
    currency: str,
) -> dict[int, _Given]:
    given: dict[int, _Given] = {}
    for line in lines:
        if line.credits is not None:
            given.setdefault(line.credits.invoice_id, _Given()).amount += line.amount
    for invoice_id, one in given.items():
        amount, tax = left[(invoice_id, rate)]
        stays = amount + one.amount
        one.is_all = stays == 0
        one.tax = _tax(stays, rate, currency) - tax
    return given


def _of_credits(
    lines: Sequence[LineDraft], given: Mapping[int, _Given], rate: AppliedTax, currency: str
) -> list[Decimal]:
    shares: dict[int, Decimal] = {}
    for invoice_id, one in given.items():
        members = [i for i, line in enumerate(lines) if _invoice(line) == invoice_id]
        parts = _shares([lines[i].amount for i in members], rate, currency, one.tax)
        shares |= dict(zip(members, parts, strict=True))
    return [shares[i] for i in range(len(lines))]


def _mixed(
    lines: Sequence[LineDraft],
    given: Mapping[int, _Given],
    rate: AppliedTax,
    tax: Decimal,
    currency: str,
) -> list[Decimal]:
    """Share out the tax of lines that sell and of credits among them.

    Where nothing is left of an invoice, its credits take its last coin; the others bear the rest.
    """
    if not given:
        return list(_shares([line.amount for line in lines], rate, currency, tax))
    emptied = {invoice_id: one for invoice_id, one in given.items() if one.is_all}
    gone = [i for i, line in enumerate(lines) if _invoice(line) in emptied]
    parts = _of_credits([lines[i] for i in gone], emptied, rate, currency)
    shares = dict(zip(gone, parts, strict=True))
    rest = [i for i in range(len(lines)) if i not in shares]
    amounts = [lines[i].amount for i in rest]
    others = _shares(amounts, rate, currency, tax - sum(parts, ZERO))
    shares |= dict(zip(rest, others, strict=True))
    return [shares[i] for i in range(len(lines))]


def _invoice(line: LineDraft) -> int | None:
    return None if line.credits is None else line.credits.invoice_id


def _rate(payer: Payer, line: LineDraft, taxes: TaxSource) -> AppliedTax:
    """Return the tax of a line; a credit takes over that of the line it gives back."""
    if line.credits is not None:
        return _tax_of_booked(line.credits)
    supplied_on = max(line.service_from, line.service_to - timedelta(days=1))
    category = line.charge.tax_category
    return taxes.applied(payer, category, supplied_on, line.charge.tax_country)


def _tax_of_booked(line: BookedLine) -> AppliedTax:
    parts = tuple(TaxPart(one.name, one.percent) for one in line.taxes)
    return AppliedTax(line.tax_category, line.tax_percent, Treatment(line.tax_treatment), parts)


def _tax(amount: Decimal, rate: AppliedTax, currency: str) -> Decimal:
    """Return the tax on an amount, or the tax in it where its price contains it."""
    worked_out = tax_in if rate.treatment is Treatment.INCLUSIVE else tax_of
    return worked_out(amount, rate.percent, currency)


def _shares(
    amounts: Sequence[Decimal], rate: AppliedTax, currency: str, tax: Decimal
) -> tuple[Decimal, ...]:
    contained = rate.treatment is Treatment.INCLUSIVE
    return share_out(amounts, rate.percent, currency, contained=contained, tax=tax)


def _net(line: LineDraft, rate: AppliedTax, share: Decimal) -> LineDraft:
    """Return a line without the tax that its price contains."""
    if rate.treatment is not Treatment.INCLUSIVE:
        return line
    contained = {"text": f"the {rate.percent.normalize():f} % tax in it", "amount": str(-share)}
    parts = [*line.explanation["parts"], contained]
    return replace(
        line, amount=line.amount - share, explanation=line.explanation | {"parts": parts}
    )
