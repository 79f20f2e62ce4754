"""The forecast: when each step of a plan is expected to end, in working days (domain C18)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `ended_on` is set once it has happened, and then binds."""

    id: int
    duration_days: int
    after: tuple[int, ...]
    ended_on: date | None = None
    is_open: bool = True


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
    begun yet pushes everything behind it.
    """
    ends: dict[int, date] = {}
    expected: dict[int, date] = {}
    for step in steps:
        if step.ended_on is not None:
            ends[step.id] = step.ended_on
            continue
        starts_on = max([today, *(ends[before] for before in step.after if before in ends)])
        if not step.is_open:
            ends[step.id] = starts_on
            continue
        ends[step.id] = add_working_days(starts_on, step.duration_days, working_days)
        expected[step.id] = ends[step.id]
    return expected
