"""Exact money: amounts, the one rounding rule, and splits that conserve the total."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from enum import StrEnum
from fractions import Fraction
from functools import cache

from iso4217 import Currency

from connector.errors import InvalidInput

_CONTEXT_SAFE = 10**27  # fewer digits than arithmetic on decimals keeps
_WIDE = Context(prec=200, rounding=ROUND_HALF_UP)  # rounds at the currency, never before


class Rounding(StrEnum):
    """What happens to the part of an amount that is smaller than the smallest coin."""

    HALF_UP = "half_up"  # half of it counts as a whole, away from zero
    HALF_EVEN = "half_even"  # half of it goes to the even neighbour
    DOWN = "down"  # it is dropped, towards zero


class UnknownCurrency(InvalidInput):
    """The currency code is not in ISO 4217."""

    code = "money.unknown_currency"
    remedy = "Use a three-letter ISO 4217 code such as EUR."


class CurrencyMismatch(InvalidInput):
    """Two amounts of different currencies were combined."""

    code = "money.currency_mismatch"
    remedy = "Convert one of them by a named exchange policy first."


@cache
def minor_digits(currency: str) -> int:
    """Return the number of decimal places of the currency (EUR 2, JPY 0, KWD 3).

    Raises:
        UnknownCurrency: The code is not in ISO 4217, or has no minor unit.
    """
    try:
        digits = Currency(currency).exponent
    except ValueError:
        raise UnknownCurrency(f"'{currency}' is not a currency.") from None
    if digits is None:
        raise UnknownCurrency(f"'{currency}' has no minor unit.")
    return int(digits)


@cache
def quantum_of(currency: str) -> Decimal:
    """Return the smallest unit of the currency: 0.01 for EUR, 1 for JPY.

    Raises:
        UnknownCurrency: The code is not in ISO 4217, or has no minor unit.
    """
    return Decimal(1).scaleb(-minor_digits(currency))


def round_to_currency(amount: Decimal, currency: str) -> Decimal:
    """Round to the currency's places, half away from zero, so negatives mirror positives.

    Nothing that rounds to zero keeps a minus sign.
    """
    rounded = amount.quantize(quantum_of(currency), context=_WIDE)
    return rounded if rounded else rounded.copy_abs()


def shown_exactly(amount: Decimal, currency: str) -> str:
    """Write an amount with the decimal places of its currency, or more where it has more.

    An unknown currency has none of its own.
    """
    try:
        places = minor_digits(currency)
    except UnknownCurrency:
        places = 0
    whole, _, part = f"{amount:f}".partition(".")
    part = part.rstrip("0").ljust(places, "0")
    return f"{whole}.{part}" if part else whole


def rounded_to(value: Fraction, places: int, mode: Rounding = Rounding.HALF_UP) -> Decimal:
    """Round to some decimal places, whatever the number of digits; negatives mirror positives."""
    numerator = abs(value.numerator) * 10**places
    units, rest = divmod(numerator, value.denominator)  # whole numbers: quicker than fractions
    if mode is not Rounding.DOWN:
        twice = rest * 2 - value.denominator
        if twice > 0 or (twice == 0 and (mode is Rounding.HALF_UP or units % 2)):
            units += 1
    return of_units(-units if value < 0 else units, places)


def of_units(units: int, places: int) -> Decimal:
    """Return a whole number of the smallest units as a decimal: 1234 units of 2 places is 12.34."""
    if -_CONTEXT_SAFE < units < _CONTEXT_SAFE:
        return Decimal(units).scaleb(-places)
    digits = tuple(int(digit) for digit in str(abs(units)))
    # Built from digits: arithmetic would round to the 28 digits of the decimal context.
    return Decimal((1 if units < 0 else 0, digits, -places))


@dataclass(frozen=True, slots=True)
class Money:
    """An amount at the currency's own scale.

    Raises:
        InvalidInput: The amount has more places than the currency.
    """

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        scaled = round_to_currency(self.amount, self.currency)
        if scaled != self.amount:
            raise InvalidInput(
                f"{self.amount} has more decimal places than {self.currency}.",
                remedy="Round it by round_to_currency() at the place where rounding is due.",
            )
        object.__setattr__(self, "amount", scaled)

    @classmethod
    def zero(cls, currency: str) -> "Money":
        """Return nothing of the currency."""
        return cls(Decimal(0), currency)

    def __add__(self, other: "Money") -> "Money":
        self._require_same_currency(other)
        return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._require_same_currency(other)
        return Money(self.amount - other.amount, self.currency)

    def __neg__(self) -> "Money":
        return Money(-self.amount, self.currency)

    def __str__(self) -> str:
        return f"{self.currency} {self.amount}"

    def _require_same_currency(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise CurrencyMismatch(f"{self} and {other} have different currencies.")


def allocate(total: Decimal, weights: Sequence[Decimal], currency: str) -> tuple[Decimal, ...]:
    """Split a total in proportion to the weights, by largest remainder.

    The parts always sum to the total. The cents left over go to the largest remainders; ties go to
    the lowest position (domain 3.4, golden 7). Zero weights all round give the whole to the first.

    Raises:
        InvalidInput: There is no weight, or a negative one.
    """
    if not weights or any(weight < 0 for weight in weights):
        raise InvalidInput("A split needs at least one weight and none below zero.")
    quantum = quantum_of(currency)
    weight_sum = sum(weights, Decimal(0))
    if weight_sum == 0:
        return (total, *(Decimal(0) for _ in weights[1:]))
    sign = -1 if total < 0 else 1
    units = int((abs(total) / quantum).to_integral_value())
    shares = [divmod(units * weight, weight_sum) for weight in weights]
    parts = [int(whole) for whole, _ in shares]
    left_over = units - sum(parts)
    by_remainder = sorted(range(len(parts)), key=lambda i: (-shares[i][1], i))
    for i in by_remainder[:left_over]:
        parts[i] += 1
    return tuple(sign * part * quantum for part in parts)
