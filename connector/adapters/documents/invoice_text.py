"""What stands on an invoice, as text ready for print."""

from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from connector.billing.documents import PrintedDocument, PrintedLine, PrintedTax
from connector.billing.named_discounts import discounts_by_name, discounts_in
from connector.kernel.money import minor_digits

MINUS = "\u2212"
NO_BREAK = "\u00a0"
NO_SECTION = {
    "site": "Not tied to a site",
    "vendor": "Of no vendor",
    "service": "Not tied to a service",
}
SUMMARY_LINES_MAX = 8


def printed(document: PrintedDocument) -> dict[str, Any]:
    """Return the data of the invoice template."""
    is_credit = document.type == "Credit Note"
    money = _Money(document.currency)
    return {
        "language": "en",
        "title": f"{document.type} {document.number}",
        "number": document.number,
        "currency": document.currency,
        "colour": document.colour,
        "issuer": {
            "name": document.brand,
            "legal_name": document.legal_name,
            "address": document.address,
            "tax_number": document.tax_number,
            "email": document.email,
            "footer": document.footer,
        },
        "customer": _address(document),
        "facts": _facts(document),
        "headline": _headline(document, money, is_credit=is_credit),
        "summary": [[title, money(amount)] for title, amount in _summary(document)],
        "discounts_title": "Discounts in these amounts"
        + (", with their tax" if "inclusive" in {tax.treatment for tax in document.taxes} else ""),
        "discounts": [
            [one.name, money(one.amount)]
            for one in discounts_by_name(line.explanation for line in document.lines)
        ],
        "subtotal": money(document.subtotal),
        "tax": money(document.tax),
        "total": money(document.total),
        "taxes": [
            {
                "label": " ".join(part for part in (tax.name or "Tax", _rate(tax)) if part),
                "category": tax.name or tax.category.capitalize(),
                "percent": _rate(tax),
                "basis": money(tax.basis),
                "tax": money(tax.tax),
            }
            for tax in document.taxes
        ],
        "sections": [
            {
                "title": title,
                "lines": [_line(line, money) for line in lines],
                "subtotal": money(sum((line.amount for line in lines), Decimal(0))),
            }
            for title, lines in _sections(document)
        ],
        "notes": _notes(document),
        "questions": f"Questions? Write to {document.email}." if document.email else "",
    }


class _Money:
    """Writes amounts with the places of a currency and a proper minus sign."""

    def __init__(self, currency: str) -> None:
        self._places = minor_digits(currency)

    def __call__(self, amount: Decimal) -> str:
        return f"{amount:,.{self._places}f}".replace("-", MINUS)


def _address(document: PrintedDocument) -> list[str]:
    city = " ".join(part for part in (document.postal_code, document.city) if part)
    lines = (document.customer, document.street, city, document.country)
    return [line for line in lines if line]


def _facts(document: PrintedDocument) -> list[list[str]]:
    facts = [
        ["Number", document.number],
        ["Date", day_text(document.invoice_on)],
        ["Customer number", document.billing_account],
    ]
    if document.type == "Credit Note":
        if document.corrects_number and document.corrects_on:
            corrected = f"{document.corrects_number} of {day_text(document.corrects_on)}"
            facts.append(["Corrects invoice", corrected])
        if document.reason:
            facts.append(["Reason", document.reason])
    else:
        facts.append(["Due", day_text(document.due_on)])
        facts.append(["Billed in advance", span_text(document.period_start, document.period_end)])
    return facts


def _headline(document: PrintedDocument, money: _Money, *, is_credit: bool) -> dict[str, str]:
    amount = f"{document.currency}{NO_BREAK}{money(document.total)}"
    if is_credit:
        note = "We set it against your open invoices."
        return {"label": "In your favour", "note": note, "amount": amount}
    note = f"Please pay by {day_text(document.due_on)}, quoting {document.number}."
    return {"label": "To pay", "note": note, "amount": amount}


def _summary(document: PrintedDocument) -> list[tuple[str, Decimal]]:
    """Return the net amount of each section; of many the largest, and the rest in one line."""
    rows = [
        (title, sum((line.amount for line in lines), Decimal(0)))
        for title, lines in _sections(document)
    ]
    if len(rows) <= SUMMARY_LINES_MAX:
        return rows
    largest = sorted(rows, key=lambda row: -abs(row[1]))[: SUMMARY_LINES_MAX - 1]
    kept = [row for row in rows if row in largest]
    rest = sum((amount for _, amount in rows), Decimal(0)) - sum(
        (amount for _, amount in kept), Decimal(0)
    )
    return [*kept, (f"{len(rows) - len(kept)} other {document.invoice_sections}s", rest)]


def _sections(document: PrintedDocument) -> list[tuple[str, list[PrintedLine]]]:
    return [
        (section or NO_SECTION[document.invoice_sections], list(members))
        for section, members in groupby(document.lines, key=lambda line: line.section)
    ]


def _line(line: PrintedLine, money: _Money) -> dict[str, str]:
    return {
        "no": str(line.line_no),
        "what": line.description,
        "detail": _detail(line, money),
        "quantity": f"{_number(line.quantity)} {line.unit}".strip(),
        "unit_price": _price(line.unit_price, money),
        "tax": _percent(line.tax_percent),
        "amount": money(line.amount),
    }


def _detail(line: PrintedLine, money: _Money) -> str:
    """Say when, on which service, how usage came to its amount, and which discounts are in it."""
    parts = [span_text(line.service_from, line.service_to)]
    if line.service_number:
        parts.append(line.service_number)
    inputs = line.explanation.get("inputs", {})
    if line.explanation.get("kind") == "usage" and "units" in inputs:
        used = (
            f"{_number(Decimal(inputs['units']))} {inputs['unit']} in {inputs['records']} records"
        )
        if Decimal(inputs["included_units"]):
            used += f", {_number(Decimal(inputs['included_units']))} included"
        parts.append(used)
    credited = line.explanation.get("credits")
    if credited:
        parts.append(f"from {credited['invoice']} line {credited['line']}")
    parts += [f"{one.name} {money(one.amount)}" for one in discounts_in(line.explanation)]
    return " · ".join(parts)


_TAX_NOTES = {
    "inclusive": "Prices contain the tax; the lines show them without.",
    "exempt": "Exempt from tax.",
    "reverse_charge": "Reverse charge: the customer owes the tax.",
}


def _notes(document: PrintedDocument) -> list[str]:
    notes = []
    if document.remit_to and document.type != "Credit Note":
        notes.append(f"Pay to: {document.remit_to}")
    treatments = {tax.treatment for tax in document.taxes}
    if document.is_tax_exempt:
        treatments.add("exempt")
    return notes + [text for treatment, text in _TAX_NOTES.items() if treatment in treatments]


def day_text(day: date) -> str:
    """Write a day: "1 Jul 2026"."""
    return f"{day.day} {day:%b %Y}"


def span_text(start: date, end: date) -> str:
    """Write the days from `start` to before `end` with the last day included: "16–30 Jun 2026"."""
    last = max(start, end - timedelta(days=1))
    if last == start:
        return day_text(start)
    if (start.year, start.month) == (last.year, last.month):
        return f"{start.day}–{day_text(last)}"
    if start.year == last.year:
        return f"{start.day} {start:%b} – {day_text(last)}"
    return f"{day_text(start)} – {day_text(last)}"


def _percent(percent: Decimal) -> str:
    return f"{_number(percent)}{NO_BREAK}%"


def _rate(tax: PrintedTax) -> str:
    """Write the rate; a named tax without one is a fixed amount."""
    return "" if tax.name and not tax.percent else _percent(tax.percent)


def _price(price: Decimal, money: _Money) -> str:
    """Show at least the currency's places, and more only where the price has them."""
    shown = Decimal(money(price).replace(",", "").replace(MINUS, "-"))
    return money(price) if shown == price else _number(price)


def _number(number: Decimal) -> str:
    text = f"{number:,f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace("-", MINUS)
