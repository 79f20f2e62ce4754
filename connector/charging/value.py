"""What a charge is worth: exact shares of billing months, rounded only where a line is made."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from connector.catalog.pricing.discounts import Discount
from connector.catalog.pricing.price import Adjustments, unrounded_price
from connector.catalog.pricing.units import PerUnit
from connector.charging.policy import Basis
from connector.errors import InvalidInput
from connector.kernel.money import minor_digits, of_units, rounded_to
from connector.kernel.period import Period, billing_month, next_month

FIXED_MONTH_DAYS = 30
MONTHS_MAX = 1_200  # a century: more is a date that cannot be meant


@dataclass(frozen=True, slots=True)
class Price:
    """What one billing month of a charge costs."""

    quantity: Decimal
    unit_price: Decimal
    discount_percent: Decimal = Decimal(0)

    @property
    def net_unit_price(self) -> Fraction:
        """The price of one unit after the discount, exact."""
        if not self.discount_percent:
            return Fraction(self.unit_price)
        return Fraction(self.unit_price) * (1 - Fraction(self.discount_percent) / 100)

    @property
    def monthly(self) -> Fraction:
        """The price of a whole billing month, exact, by the catalogue's pricing function."""
        off = (Discount(percent=self.discount_percent),) if self.discount_percent else ()
        _, monthly = unrounded_price(
            model=PerUnit(self.unit_price),
            quantity=self.quantity,
            adjustments=Adjustments(discounts=off),
        )
        return Fraction(monthly)


def share_of_month(month: Period, served: Period, basis: Basis) -> Fraction:
    """Return which part of a billing month's price the served days cost.

    Shares of a month that is split anywhere sum to one, whatever the basis: a share is the
    difference of two values of one falling function of the day (domain 3.4, golden 9).
    """
    days = month.intersection(served)
    if days is None:
        return Fraction(0)
    assert days.end is not None
    return _left_of(month, days.start, basis) - _left_of(month, days.end, basis)


def _left_of(month: Period, day: date, basis: Basis) -> Fraction:
    """Return the part of the month's price that the days from `day` to its end cost."""
    assert month.end is not None
    if day <= month.start:
        return Fraction(1)
    left = (month.end - day).days
    if basis is Basis.FIXED_30:
        return min(Fraction(1), Fraction(left, FIXED_MONTH_DAYS))
    if basis is Basis.FULL:
        return Fraction(1 if left else 0)
    if basis is Basis.NONE:
        return Fraction(0)
    return Fraction(left, month.days)


def value_of(price: Price, month: Period, served: Period, basis: Basis) -> Fraction:
    """Return what the served days of a billing month cost, exact and unrounded."""
    share = share_of_month(month, served, basis)
    return price.monthly if share == 1 else price.monthly * share


def months_of(served: Period, *, until: date, anchor_day: int) -> tuple[Period, ...]:
    """Return the billing months that hold a served day and begin before `until`.

    The billing month is fixed first and the served days second, so a denominator never comes from
    the start of a service (design 7).

    Raises:
        InvalidInput: There are more than a century of them.
    """
    months: list[Period] = []
    month = billing_month(served.start, anchor_day)
    while month.start < until and (served.end is None or month.start < served.end):
        if len(months) == MONTHS_MAX:
            raise InvalidInput(
                f"A charge from {served.start} has more than {MONTHS_MAX} months before {until}.",
                remedy="Correct the day on which it starts.",
            )
        months.append(month)
        month = next_month(month, anchor_day)
    return tuple(months)


def rounded(value: Fraction, currency: str) -> Decimal:
    """Round an exact value to the currency's places, half away from zero."""
    return rounded_to(value, minor_digits(currency))


def exact_text(value: Fraction) -> str:
    """Write an exact value for people: as a decimal when it ends, else as a fraction too.

    `200/3` becomes "66.666667 (200/3)".
    """
    scaled = value * 10**9
    if scaled.denominator == 1:
        return format(_plain(of_units(int(scaled), 9)), "f")
    digits = rounded_to(value, 6)
    return f"{digits} ({value.numerator}/{value.denominator})"


def _plain(amount: Decimal) -> Decimal:
    """Drop trailing zeros, but keep two decimal places as people write money."""
    trimmed = amount.normalize()
    exponent = trimmed.as_tuple().exponent
    assert isinstance(exponent, int)
    return trimmed if exponent <= -2 else amount.quantize(Decimal("0.01"))
