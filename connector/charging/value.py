"""What a charge is worth: exact shares of billing periods, rounded only where a line is made."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from connector.catalog.pricing.discounts import Discount as PercentOff
from connector.catalog.pricing.document import Pricing
from connector.catalog.pricing.price import Adjustments, unrounded_price
from connector.catalog.pricing.steps import Step
from connector.catalog.pricing.units import PerUnit
from connector.charging.policy import Basis
from connector.errors import InvalidInput
from connector.kernel.money import Rounding, minor_digits, of_units, rounded_to
from connector.kernel.period import Cycle, Interval, Period

FIXED_MONTH_DAYS = 30
TEXTS_KEPT = 16_384  # many customers pay the same price
PERIODS_MAX = 1_200  # a century of months: more is a date that cannot be meant


@dataclass(frozen=True, slots=True)
class Discount:
    """Less for the days of a window: a percentage of the price, or an amount each period."""

    window: Period
    percent: Decimal = Decimal(0)
    amount: Decimal = Decimal(0)
    name: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100 or self.amount < 0:
            raise InvalidInput(
                f"{self.percent} % and {self.amount} are no discount.",
                remedy="A discount is 0 to 100 percent, or an amount from zero on.",
            )

    def off(self, whole: Fraction, share: Fraction) -> Fraction:
        """Return what it takes off a share of a price."""
        return (whole * Fraction(self.percent) / 100 + Fraction(self.amount)) * share


@dataclass(frozen=True, slots=True)
class Price:
    """What one billing period of a charge costs.

    Discounts are taken off first, each from the list price; then the minimum counts (domain 3.4,
    golden 16). A price model prices the whole quantity; without one each unit costs `unit_price`.
    """

    quantity: Decimal
    unit_price: Decimal
    discount_percent: Decimal = Decimal(0)
    discounts: tuple[Discount, ...] = ()
    minimum: Decimal = Decimal(0)
    pricing: Pricing | None = None

    @property
    def floor(self) -> Decimal:
        """What a period costs at least, whoever says so."""
        return self.minimum if self.pricing is None else max(self.minimum, self.pricing.minimum)

    @property
    def net_unit_price(self) -> Fraction:
        """The price of one unit after the discount that holds for good, exact.

        Under a price model units have no price of their own: the whole quantity is the unit.
        """
        if self.pricing is not None:
            return self.per_period
        if not self.discount_percent:
            return Fraction(self.unit_price)
        return Fraction(self.unit_price) * (1 - Fraction(self.discount_percent) / 100)

    @property
    def per_period(self) -> Fraction:
        """The price of a whole billing period before dated discounts, exact."""
        return self.priced()[1]

    def priced(self) -> tuple[Sequence[Step], Fraction]:
        """Return the steps of the price of a whole billing period and their sum, exact.

        The one place where a price model is asked: the catalogue's pricing function.
        """
        if self.pricing is not None:
            return self.pricing.unrounded(self.quantity, percent_off=self.discount_percent)
        off = (PercentOff(percent=self.discount_percent),) if self.discount_percent else ()
        steps, whole = unrounded_price(
            model=PerUnit(self.unit_price),
            quantity=self.quantity,
            adjustments=Adjustments(discounts=off),
        )
        return steps, Fraction(whole)


def share_of_period(period: Period, served: Period, basis: Basis, cycle: Cycle) -> Fraction:
    """Return which part of a billing period's price the served days cost.

    Shares of a period that is split anywhere sum to one, whatever the basis: a share is the
    difference of two values of one falling function of the day (domain 3.4, golden 9).
    """
    days = period.intersection(served)
    if days is None:
        return Fraction(0)
    if days == period:
        return Fraction(1)
    assert days.end is not None
    return _left_of(period, days.start, basis, cycle) - _left_of(period, days.end, basis, cycle)


def days_of_period(period: Period, basis: Basis, every: Interval) -> int:
    """Return how many days the basis counts in a billing period; a week has seven."""
    fixed = basis is Basis.FIXED_30 and every.months
    return FIXED_MONTH_DAYS * every.months if fixed else period.days


def _left_of(period: Period, day: date, basis: Basis, cycle: Cycle) -> Fraction:
    """Return the part of the period's price that the days from `day` to its end cost."""
    assert period.end is not None
    if day <= period.start:
        return Fraction(1)
    left = (period.end - day).days
    if basis is Basis.FULL:
        return Fraction(1 if left > 0 else 0)
    if basis is Basis.NONE or left <= 0:
        return Fraction(0)
    if basis is Basis.FIXED_30:
        whole = days_of_period(period, basis, cycle.every)
        if not cycle.every.months:
            return Fraction(left, whole)
        month = Cycle(Interval.MONTH, cycle.anchored_on).period_of(day)
        assert month.end is not None
        # By months, so that no long or short month inside the period shifts the others.
        months = _months_between(month.end, period.end)
        in_month = min(FIXED_MONTH_DAYS, (month.end - day).days)
        if month.start == day:
            in_month = FIXED_MONTH_DAYS
        return Fraction(months * FIXED_MONTH_DAYS + in_month, whole)
    if basis is Basis.EACH_MONTH and cycle.every.months:
        month = Cycle(Interval.MONTH, cycle.anchored_on).period_of(day)
        assert month.end is not None
        months = _months_between(month.end, period.end)
        return (months + Fraction((month.end - day).days, month.days)) / cycle.every.months
    return Fraction(left, period.days)


def _months_between(start: date, end: date) -> int:
    return (end.year - start.year) * 12 + end.month - start.month


def value_of(price: Price, period: Period, served: Period, basis: Basis, cycle: Cycle) -> Fraction:
    """Return what the served days of a billing period cost, exact and unrounded."""
    share = share_of_period(period, served, basis, cycle)
    whole = price.per_period
    value = whole if share == 1 else whole * share
    if not price.discounts and not price.floor:
        return value
    for discount in price.discounts:
        days = served.intersection(discount.window)
        if days is not None:
            value -= discount.off(whole, share_of_period(period, days, basis, cycle))
    return max(value, Fraction(price.floor) * share, Fraction(0))


def periods_of(served: Period, *, until: date, cycle: Cycle) -> tuple[Period, ...]:
    """Return the billing periods that hold a served day and begin before `until`.

    The billing period is fixed first and the served days second, so a denominator never comes
    from the start of a service (design 7).

    Raises:
        InvalidInput: There are more than a century of months.
    """
    periods: list[Period] = []
    period = cycle.period_of(served.start)
    while period.start < until and (served.end is None or period.start < served.end):
        if len(periods) == PERIODS_MAX:
            raise InvalidInput(
                f"A charge from {served.start} has more than {PERIODS_MAX} periods before {until}.",
                remedy="Correct the day on which it starts.",
            )
        periods.append(period)
        period = cycle.following(period)
    return tuple(periods)


def rounded(value: Fraction, currency: str, mode: Rounding = Rounding.HALF_UP) -> Decimal:
    """Round an exact value to the currency's places; negatives mirror positives."""
    return rounded_to(value, minor_digits(currency), mode)


@lru_cache(maxsize=TEXTS_KEPT)
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
