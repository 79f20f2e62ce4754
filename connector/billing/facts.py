"""The five fact streams of a foreign billing system (design D14), and how a fact is read.

A fact comes as plain values under our field names. What cannot be read exactly is broken and says
why; nothing is rounded, guessed or left out silently.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from connector.errors import InvalidInput
from connector.kernel.money import minor_digits

TEXT_LENGTH_MAX = 4_000
_MONEY_DIGITS = 4  # places an amount on a document is kept with
_EXACT_DIGITS = 9
_LARGEST = Decimal(10) ** 14
_FLAGS = {"true": "true", "t": "true", "1": "true", "false": "false", "f": "false", "0": "false"}


class Stream(StrEnum):
    """A kind of fact, in the order in which they need each other."""

    ACCOUNT = "account"
    INVOICE = "invoice"
    INVOICE_LINE = "invoice_line"
    PAYMENT = "payment"
    ALLOCATION = "allocation"


class Kind(StrEnum):
    """What a field holds."""

    TEXT = "text"
    CHOICE = "choice"
    CURRENCY = "currency"
    MONEY = "money"  # at the scale of the row's currency
    AMOUNT = "amount"  # up to four places
    EXACT = "exact"  # up to nine places
    INTEGER = "integer"
    DAY = "day"
    INSTANT = "instant"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class FactField:
    """One field of a stream."""

    kind: Kind = Kind.TEXT
    is_required: bool = False
    choices: tuple[str, ...] = ()


_REQUIRED = FactField(is_required=True)
_DRAFT = "draft"

FIELDS: Mapping[Stream, Mapping[str, FactField]] = {
    Stream.ACCOUNT: {
        "key": _REQUIRED,
        "currency": FactField(Kind.CURRENCY, is_required=True),
        "reference": FactField(),  # what an open_account command called it
        "crm_id": FactField(),
        "number": FactField(),
        "email": FactField(),
        "status": FactField(
            Kind.CHOICE,
            choices=("Active", "Collection", "Suspended", "Deactivated", "Final Bill", "Closed"),
        ),
        "opened_at": FactField(Kind.INSTANT),
    },
    Stream.INVOICE: {
        "key": _REQUIRED,
        "account": _REQUIRED,
        "number": _REQUIRED,
        "type": FactField(Kind.CHOICE, choices=("Invoice", "Credit Note", "Debit Note")),
        "state": FactField(Kind.CHOICE, choices=("issued", _DRAFT, "void")),
        "currency": FactField(Kind.CURRENCY, is_required=True),
        "invoice_on": FactField(Kind.DAY, is_required=True),
        "due_on": FactField(Kind.DAY, is_required=True),
        "period_start": FactField(Kind.DAY),
        "period_end": FactField(Kind.DAY),
        "total": FactField(Kind.MONEY, is_required=True),
        "tax": FactField(Kind.MONEY, is_required=True),
        "posted_at": FactField(Kind.INSTANT),
        "corrects": FactField(),
        "reason": FactField(),
    },
    Stream.INVOICE_LINE: {
        "key": _REQUIRED,
        "invoice": _REQUIRED,
        "line_no": FactField(Kind.INTEGER, is_required=True),
        "kind": FactField(
            Kind.CHOICE,
            choices=("Recurring", "One-time", "Usage", "Proration", "Discount", "Fee", "Credit"),
        ),
        "description": _REQUIRED,
        "amount": FactField(Kind.AMOUNT, is_required=True),
        "tax_amount": FactField(Kind.AMOUNT),
        "quantity": FactField(Kind.EXACT),
        "unit_price": FactField(Kind.EXACT),
        "service_from": FactField(Kind.DAY),
        "service_to": FactField(Kind.DAY),
        "command": FactField(),  # the key of the command whose charge it is
        "service": FactField(),  # our service number
        "product": FactField(),  # our product key
        "accounting_code": FactField(),
    },
    Stream.PAYMENT: {
        "key": _REQUIRED,
        "account": _REQUIRED,
        "number": _REQUIRED,
        "received_on": FactField(Kind.DAY, is_required=True),
        "amount": FactField(Kind.MONEY, is_required=True),
        "currency": FactField(Kind.CURRENCY, is_required=True),
        "method": FactField(),
        "state": FactField(
            Kind.CHOICE, choices=("Processed", "Pending", "Failed", "Reversed", "Refunded")
        ),
        "reference": FactField(),
    },
    Stream.ALLOCATION: {
        "key": _REQUIRED,
        "invoice": _REQUIRED,
        "payment": FactField(),
        "credit_note": FactField(),
        "amount": FactField(Kind.AMOUNT, is_required=True),
        "applied_at": FactField(Kind.INSTANT, is_required=True),
        "is_reversed": FactField(Kind.FLAG),
    },
}


class BrokenFact(InvalidInput):
    """A row of a foreign billing system cannot be read."""

    code = "billing.broken_fact"
    remedy = "Correct the row in the billing system, or the mapping file."


@dataclass(frozen=True, slots=True)
class Fact:
    """A row as the mapping reads it: texts by our field names, or the reason why it is broken."""

    key: str
    content: Mapping[str, str]
    reason: str | None

    @property
    def is_draft(self) -> bool:
        """Whether the billing system has not issued it yet."""
        return self.content.get("state") == _DRAFT


def read_fact(stream: Stream, key: str, values: Mapping[str, str | None]) -> Fact:
    """Check the values of a row; the first that cannot be read makes the fact broken.

    What could be read stays in the content, so that a broken line still names its invoice.
    """
    content: dict[str, str] = {}
    reason: str | None = None
    for name, field in FIELDS[stream].items():
        value = values.get(name)
        try:
            read = _read(name, field, value, values.get("currency"))
        except InvalidInput as error:
            reason = reason or error.message
            continue
        if read is not None:
            content[name] = read
    return Fact(key=key, content=content, reason=reason)


def _read(name: str, field: FactField, value: str | None, currency: str | None) -> str | None:
    if value is None or value == "":
        if field.is_required:
            raise BrokenFact(f"{name} is empty.")
        return None
    if len(value) > TEXT_LENGTH_MAX:
        raise BrokenFact(f"{name} is longer than {TEXT_LENGTH_MAX} characters.")
    match field.kind:
        case Kind.CHOICE if value not in field.choices:
            known = ", ".join(field.choices)
            raise BrokenFact(f"{name} is '{value}', which is none of {known}.")
        case Kind.CURRENCY:
            minor_digits(value)
        case Kind.MONEY:
            return _number(name, value, minor_digits(currency or ""))
        case Kind.AMOUNT:
            return _number(name, value, _MONEY_DIGITS)
        case Kind.EXACT:
            return _number(name, value, _EXACT_DIGITS)
        case Kind.INTEGER:
            return _number(name, value, 0)
        case Kind.DAY:
            return _day(name, value)
        case Kind.INSTANT:
            return _instant(name, value)
        case Kind.FLAG:
            if value.lower() not in _FLAGS:
                raise BrokenFact(f"{name} is '{value}', which is neither true nor false.")
            return _FLAGS[value.lower()]
        case _:
            pass
    return value


def _number(name: str, value: str, digits: int) -> str:
    try:
        number = Decimal(value)
    except ArithmeticError:
        raise BrokenFact(f"{name} is '{value}', which is no number.") from None
    if not number.is_finite() or abs(number) >= _LARGEST:
        raise BrokenFact(f"{name} is {value}, which cannot be kept.")
    kept = number.quantize(Decimal(1).scaleb(-digits)) if _places(number) <= digits else None
    if kept is None:
        raise BrokenFact(f"{name} is {value}; it may have {digits} places.")
    return f"{kept:f}"


def _places(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _day(name: str, value: str) -> str:
    """A date; of an instant the day it names, for systems that keep days as midnights."""
    try:
        return date.fromisoformat(value[:10]).isoformat()
    except ValueError:
        raise BrokenFact(f"{name} is '{value}', which is no date.") from None


def _instant(name: str, value: str) -> str:
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        raise BrokenFact(f"{name} is '{value}', which is no time.") from None
    # A time without a zone is UTC; the view can say otherwise (AT TIME ZONE).
    return instant.isoformat() if instant.tzinfo else f"{instant.isoformat()}+00:00"
