"""How the console writes amounts, days, quantities and states."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal

from babel.numbers import format_decimal

MINUS = "\N{MINUS SIGN}"

# state -> the tone that icon and colour follow; one meaning everywhere
TONES = {
    "done": {
        "Completed", "Closed Won", "Paid", "In Service", "In Sync", "Processed", "in step",
        "Credited", "Applied", "Skipped",
    },
    "running": {"In Progress", "Ready", "Issued", "Partially Paid", "pending", "Waiting"},
    "needs-someone": {"On Hold", "Partial", "Conflict", "parked", "Pending Cancel"},
    "broken": {"Error", "failed", "Failed"},
    "closed": {"Canceled", "Canceled By User", "Order Canceled", "Expired", "Void"},
}  # fmt: skip
ICONS = {
    "done": "\N{CHECK MARK}",
    "running": "\N{BLACK RIGHT-POINTING TRIANGLE}",
    "needs-someone": "!",
    "broken": "\N{MULTIPLICATION X}",
    "closed": "\N{EN DASH}",
    "planned": "\N{WHITE CIRCLE}",
}


def amount(value: Decimal | None) -> str:
    """Write an amount with two places at least and a true minus sign."""
    if value is None:
        return ""
    written = str(format_decimal(abs(value), format="#,##0.00##", locale="en"))
    return f"{MINUS}{written}" if value < 0 else written


def exact(value: Decimal) -> str:
    """Write an amount that is not rounded to its currency yet, with four places."""
    return str(format_decimal(value, format="#,##0.0000", locale="en")).replace("-", MINUS)


def price(value: Decimal | None) -> str:
    """Write a unit price with every place it has."""
    return (
        "" if value is None else str(format_decimal(value, format="#,##0.00#######", locale="en"))
    )


def quantity(value: Decimal | int | None) -> str:
    """Write a quantity without needless places."""
    if value is None:
        return ""
    written = str(format_decimal(abs(Decimal(value)), format="#,##0.######", locale="en"))
    return f"{MINUS}{written}" if value < 0 else written


def day(value: date | None) -> str:
    """Write a calendar day."""
    return f"{value:%d %b %Y}" if value is not None else ""


def span(first: date, end: date) -> str:
    """Write a span of days with its last day, never an exclusive end."""
    last = end - timedelta(days=1)
    if last <= first:
        return day(first)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}\N{EN DASH}{last:%d %b %Y}"
    return f"{first:%d %b}\N{EN DASH}{last:%d %b %Y}"


def instant(value: datetime | None) -> str:
    """Write an instant in UTC."""
    return f"{value:%d %b %Y %H:%M} UTC" if value is not None else ""


def tone(state: str) -> str:
    """Return the tone of a state; what has not begun is planned."""
    return next((name for name, states in TONES.items() if state in states), "planned")


def icon(state: str) -> str:
    """Return the sign that goes with a state, so that colour never stands alone."""
    return ICONS[tone(state)]


FILTERS: dict[str, Callable[..., str]] = {
    "amount": amount,
    "exact": exact,
    "price": price,
    "quantity": quantity,
    "day": day,
    "instant": instant,
    "tone": tone,
    "icon": icon,
    "span_to": span,
}
