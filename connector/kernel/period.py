"""Half-open spans of calendar days, and billing boundaries computed from an anchor day."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from connector.errors import InvalidInput

_CHECK_THE_YEAR = "Check the years of the dates, and the months between them."


@dataclass(frozen=True, slots=True)
class Period:
    """The days from `start` up to, not including, `end`; an `end` of None has no end.

    Raises:
        InvalidInput: The end lies before the start.
    """

    start: date
    end: date | None

    def __post_init__(self) -> None:
        if self.end is not None and self.end < self.start:
            raise InvalidInput(f"A period cannot end ({self.end}) before it starts ({self.start}).")

    @property
    def days(self) -> int:
        """Number of calendar days in it.

        Raises:
            InvalidInput: The period has no end.
        """
        if self.end is None:
            raise InvalidInput(f"The period from {self.start} has no end, so no number of days.")
        return (self.end - self.start).days

    def intersection(self, other: "Period") -> "Period | None":
        """Return the days in both, or None when there are none."""
        start = max(self.start, other.start)
        ends = [end for end in (self.end, other.end) if end is not None]
        end = min(ends) if ends else None
        if end is not None and end <= start:
            return None
        return Period(start, end)

    def contains(self, day: date) -> bool:
        """Tell whether the day lies in the period."""
        return self.start <= day and (self.end is None or day < self.end)

    def __str__(self) -> str:
        return f"{self.start}..{self.end or ''}"


def anchored(year: int, month: int, anchor_day: int) -> date:
    """Return the anchor day in that month, or the month's last day when it is shorter.

    Raises:
        InvalidInput: The calendar does not go so far.
    """
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    if not MINYEAR <= year <= MAXYEAR:
        raise InvalidInput(f"The calendar has no year {year}.", remedy=_CHECK_THE_YEAR)
    return date(year, month, min(anchor_day, monthrange(year, month)[1]))


class Interval(StrEnum):
    """How long a billing period is."""

    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    HALF_YEAR = "half_year"
    YEAR = "year"

    @property
    def months(self) -> int:
        """How many calendar months it has; a week has none."""
        return _MONTHS[self]

    @property
    def per_year(self) -> int:
        """How many of them make a year, a week counted as one of 52."""
        return 12 // self.months if self.months else 52


_MONTHS = {
    Interval.WEEK: 0,
    Interval.MONTH: 1,
    Interval.QUARTER: 3,
    Interval.HALF_YEAR: 6,
    Interval.YEAR: 12,
}
_WEEK = timedelta(days=7)
_JANUARY_31_DAYS = (2000, 1)  # a month and year in which any anchor day exists
_MONDAY = date(2000, 1, 3)
PERIODS_KEPT = 65_536  # a bill run asks for the same few periods a million times


@dataclass(frozen=True, slots=True)
class Cycle:
    """Billing periods that follow each other, counted from a day on which one begins.

    Every boundary is computed from that day itself, never from the boundary before, so a 31st
    stays a 31st after February (design 7, domain 3.4 golden 4).
    """

    every: Interval
    anchored_on: date

    @classmethod
    def calendar(cls, every: Interval, anchor_day: int) -> "Cycle":
        """Return periods that begin on a day of the month, or a weekday (Monday is 1).

        Quarters, halves and years are counted from January.

        Raises:
            InvalidInput: There is no such day.
        """
        last = 7 if every is Interval.WEEK else 31
        if not 1 <= anchor_day <= last:
            raise InvalidInput(f"{anchor_day} is no day on which a {every} can begin.")
        if every is Interval.WEEK:
            return cls(every, _MONDAY + timedelta(days=anchor_day - 1))
        return cls(every, date(*_JANUARY_31_DAYS, anchor_day))

    def period_of(self, day: date) -> Period:
        """Return the period that contains the day.

        Raises:
            InvalidInput: The day is so far away that the calendar does not hold its period.
        """
        return _period_of(self.every, self.anchored_on, day)

    def following(self, period: Period) -> Period:
        """Return the period that comes next."""
        if period.end is None:
            raise InvalidInput("A period without an end has no next one.")
        return self.period_of(period.end)

    def boundary_from(self, day: date) -> date:
        """Return the day itself when a period begins on it, else the end of its period."""
        period = self.period_of(day)
        assert period.end is not None
        return day if period.start == day else period.end


@lru_cache(maxsize=PERIODS_KEPT)
def _period_of(every: Interval, first: date, day: date) -> Period:
    if not MINYEAR < day.year < MAXYEAR:
        raise InvalidInput(f"{day} is too far away for a billing period.", remedy=_CHECK_THE_YEAR)
    if every is Interval.WEEK:
        start = first + (day - first) // _WEEK * _WEEK
        return Period(start, start + _WEEK)
    months = (day.year - first.year) * 12 + day.month - first.month
    count = months // every.months
    if _boundary(every, first, count) > day:
        count -= 1
    return Period(_boundary(every, first, count), _boundary(every, first, count + 1))


def _boundary(every: Interval, first: date, count: int) -> date:
    return anchored(first.year, first.month + count * every.months, first.day)


def billing_month(day: date, anchor_day: int) -> Period:
    """Return the monthly billing period that contains the day."""
    return Cycle.calendar(Interval.MONTH, anchor_day).period_of(day)


def next_month(period: Period, anchor_day: int) -> Period:
    """Return the billing month that follows."""
    return Cycle.calendar(Interval.MONTH, anchor_day).following(period)


def add_months(day: date, months: int) -> date:
    """Return the same day of the month some months later, or that month's last day."""
    return anchored(day.year, day.month + months, day.day)


def local_date(instant: datetime, timezone: str) -> date:
    """Return the calendar day of an instant where the customer lives."""
    return instant.astimezone(ZoneInfo(timezone)).date()


def local_midnight(day: date, timezone: str) -> datetime:
    """Return the instant at which the day begins where the customer lives."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(timezone))
