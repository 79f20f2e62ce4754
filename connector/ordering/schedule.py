"""The forecast: when each step of a plan is expected to end, in working days (domain C18)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Step:
    """One step; what has happened (started, ended) binds."""

    id: int
    duration_days: int
    after: tuple[int, ...]
    started_on: date | None = None
    ended_on: date | None = None


def add_working_days(day: date, days: int, working_days: frozenset[int]) -> date:
    """Return the working day that lies so many working days later; 0 leaves the day alone."""
    while days > 0:
        day += timedelta(days=1)
        if day.weekday() in working_days:
            days -= 1
    return day


def forecast(
    steps: Sequence[Step], *, today: date, working_days: frozenset[int]
) -> Mapping[int, date]:
    """Return the expected last day of every open step; predecessors have to come first.

    A step begins when the last of its predecessors ends, but never before today: what has not
    begun yet pushes everything behind it, and so does what should have ended by now.
    """
    ends: dict[int, date] = {}
    expected: dict[int, date] = {}
    for step in steps:
        if step.ended_on is not None:
            ends[step.id] = step.ended_on
            continue
        before = [ends[one] for one in step.after if one in ends]
        starts_on = step.started_on or max([today, *before])
        ends[step.id] = max(today, add_working_days(starts_on, step.duration_days, working_days))
        expected[step.id] = ends[step.id]
    return expected
