"""When the day's calls will be used up if it goes on as in the last hours."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

LOOK_BACK = timedelta(hours=3)
_SHORTEST = timedelta(minutes=10)
_FURTHEST = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Sample:
    """The org's own count at an instant."""

    at: datetime
    used: int
    allowed: int


def exhausted_at(samples: Sequence[Sample]) -> datetime | None:
    """Return when nothing will be left, by a straight line through the last hours.

    The org's count is of a rolling day, so old calls falling out of it are in the line. None when
    it does not grow, when less than ten minutes are known, or when it is more than a week away.
    """
    if not samples:
        return None
    last = max(samples, key=lambda one: one.at)
    first = min((one for one in samples if last.at - one.at <= LOOK_BACK), key=lambda one: one.at)
    passed, grown = last.at - first.at, last.used - first.used
    left = last.allowed - last.used
    if left <= 0:
        return last.at
    if passed < _SHORTEST or grown <= 0:
        return None
    lasts_s = passed.total_seconds() * left / grown
    if lasts_s > _FURTHEST.total_seconds():
        return None
    return last.at + timedelta(seconds=lasts_s)
