"""Arithmetic that loses nothing: a result is exact, or the calculation fails loudly."""

from decimal import (
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)
from fractions import Fraction

# A decimal where the value ends, a fraction where it does not (a margin divides).
Exact = Decimal | Fraction

ZERO = Decimal(0)
DIGITS_MAX = 4_000  # more than any calculation within the limits of `reading` can need

# Decimal arithmetic under this context raises where it would have to round.
EXACT = Context(
    prec=DIGITS_MAX,
    rounding=ROUND_HALF_UP,
    traps=[Inexact, InvalidOperation, DivisionByZero, Overflow],
)


def digits(value: Decimal) -> str:
    """Write a decimal as it stands, without exponent: 12.50 is "12.50"."""
    text = str(value)  # half the time of format(); has an exponent only for tiny and huge values
    return format(value, "f") if "E" in text else text


def plain(value: Decimal) -> str:
    """Write a decimal without zeros at its end: 12.50 is "12.5", and no zero has a minus."""
    if not value:
        return "0"
    text = digits(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def exact_text(value: Exact) -> str:
    """Write an exact value for programs: "12.5", or "9200/9" where no decimal is exact."""
    if isinstance(value, Decimal):
        return plain(value)
    twos, fives, rest = 0, 0, value.denominator
    while rest % 2 == 0:
        twos, rest = twos + 1, rest // 2
    while rest % 5 == 0:
        fives, rest = fives + 1, rest // 5
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    places = max(twos, fives)
    units = value.numerator * 10**places // value.denominator
    return plain(Decimal(units).scaleb(-places, EXACT))
