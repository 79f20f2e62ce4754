"""What leaving a contract early costs: a table of bands, as data (domain 3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from connector.errors import InvalidInput
from connector.kernel.period import Cycle, Interval, Period, anchored


@dataclass(frozen=True, slots=True)
class Band:
    """From this month of the term on, each remaining month costs this part of its price."""

    from_month: int
    percent: Decimal


@dataclass(frozen=True, slots=True)
class EarlyTermination:
    """The bands, what is added once, and what it costs at most.

    Raises:
        InvalidInput: The bands do not begin with the first month, or go back.
    """

    bands: tuple[Band, ...]
    flat: Decimal = Decimal(0)
    cap: Decimal | None = None

    def __post_init__(self) -> None:
        begins = [band.from_month for band in self.bands]
        if not begins or begins[0] != 1 or begins != sorted(set(begins)):
            raise InvalidInput(
                f"The bands of an early termination begin at the months {begins}.",
                remedy="The first band begins with month 1, each other one later.",
            )

    def percent(self, month: int) -> Decimal:
        """Return the percentage of a month of the term, counted from 1."""
        return next(band.percent for band in reversed(self.bands) if band.from_month <= month)


def early_termination_fee(
    *,
    rule: EarlyTermination,
    monthly: Fraction,
    term_from: date,
    term_months: int,
    ends_on: date,
) -> Fraction:
    """Return what the rest of a term costs when it ends on a day, exact and unrounded.

    Each remaining month counts at the percentage of the band it lies in, a month that was begun
    by its remaining days. Nothing is due once the term is over, not even the flat part.
    """
    rest = Fraction(0)
    remains = Fraction(0)
    for number, month in enumerate(_months(term_from, term_months), start=1):
        left = month.intersection(Period(ends_on, None))
        if left is not None:
            share = Fraction(left.days, month.days)
            remains += share
            rest += share * monthly * Fraction(rule.percent(number)) / 100
    if not remains:
        return Fraction(0)
    rest += Fraction(rule.flat)
    return rest if rule.cap is None else min(rest, Fraction(rule.cap))


def term_end(term_from: date, term_months: int) -> date:
    """Return the first day after a term: 24 months from 15 June end before 15 June."""
    return anchored(term_from.year, term_from.month + term_months, term_from.day)


def _months(term_from: date, term_months: int) -> Sequence[Period]:
    cycle = Cycle(Interval.MONTH, term_from)
    months = [cycle.period_of(term_from)]
    while len(months) < term_months:
        months.append(cycle.following(months[-1]))
    return months
