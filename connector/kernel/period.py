"""Half-open spans of calendar days, and billing boundaries computed from an anchor day."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from connector.errors import InvalidInput


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
    """Return the anchor day in that month, or the month's last day when it is shorter."""
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    return date(year, month, min(anchor_day, monthrange(year, month)[1]))


def billing_month(day: date, anchor_day: int) -> Period:
    """Return the monthly billing period that contains the day.

    Every boundary is computed from the anchor day itself, never from the boundary before, so the
    31st stays a 31st after February (design 7, domain 3.4 golden 4).
    """
    start = anchored(day.year, day.month, anchor_day)
    if start > day:
        start = anchored(day.year, day.month - 1, anchor_day)
    return Period(start, anchored(start.year, start.month + 1, anchor_day))


def next_month(period: Period, anchor_day: int) -> Period:
    """Return the billing month that follows."""
    if period.end is None:
        raise InvalidInput("A period without an end has no next one.")
    return billing_month(period.end, anchor_day)


def add_months(day: date, months: int) -> date:
    """Return the same day of the month some months later, or that month's last day."""
    return anchored(day.year, day.month + months, day.day)


def local_date(instant: datetime, timezone: str) -> date:
    """Return the calendar day of an instant where the customer lives."""
    return instant.astimezone(ZoneInfo(timezone)).date()


def local_midnight(day: date, timezone: str) -> datetime:
    """Return the instant at which the day begins where the customer lives."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(timezone))
