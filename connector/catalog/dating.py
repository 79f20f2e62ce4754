"""The rule of dated entries: what has begun is never rewritten, a change closes what was before."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date
from typing import Generic, TypeVar

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Stored(Generic[C]):
    """An entry in the store."""

    id: int
    valid_from: date
    valid_to: date | None
    content: C


@dataclass(frozen=True, slots=True)
class Wanted(Generic[C]):
    """An entry a file asks for."""

    valid_from: date
    valid_to: date | None
    content: C
    line: int


@dataclass(frozen=True, slots=True)
class Closing:
    """A stored entry that ends on a day."""

    id: int
    valid_to: date


@dataclass(frozen=True, slots=True)
class DatedChanges(Generic[C]):
    """What has to be written so that the store says what the file says."""

    opened: tuple[Wanted[C], ...]
    closed: tuple[Closing, ...]
    unchanged: int


def dated_changes(
    stored: Iterable[Stored[C]],
    wanted: Iterable[Wanted[C]],
    refuse: Callable[[Wanted[C], str], Exception],
) -> DatedChanges[C]:
    """Compare the entries of one slot (one product and term, one meter ...) with a file's.

    Raises:
        Exception: What `refuse` makes of it, when the file rewrites an entry that has begun or
            inserts one before it.
    """
    by_day = {entry.valid_from: entry for entry in stored}
    latest = max(by_day, default=None)
    opened: list[Wanted[C]] = []
    closed: list[Closing] = []
    unchanged = 0
    for want in sorted(wanted, key=lambda one: one.valid_from):
        known = by_day.get(want.valid_from)
        if opened and opened[-1].valid_from == want.valid_from:
            raise refuse(want, f"There are two for {want.valid_from}.")
        if known is not None:
            if known.content != want.content:
                raise refuse(want, f"The one from {want.valid_from} is loaded with other values.")
            if want.valid_to is not None and known.valid_to != want.valid_to:
                closed.append(Closing(known.id, want.valid_to))
            else:
                unchanged += 1
            continue
        if latest is not None and want.valid_from < latest:
            raise refuse(want, f"A later one, from {latest}, is loaded already.")
        if opened:
            opened[-1] = _ended(opened[-1], want.valid_from)
        elif latest is not None:
            before = by_day[latest]
            if before.valid_to is None or before.valid_to > want.valid_from:
                closed = [one for one in closed if one.id != before.id]
                closed.append(Closing(before.id, want.valid_from))
        opened.append(want)
    return DatedChanges(opened=tuple(opened), closed=tuple(closed), unchanged=unchanged)


def _ended(entry: Wanted[C], day: date) -> Wanted[C]:
    if entry.valid_to is not None and entry.valid_to <= day:
        return entry
    return replace(entry, valid_to=day)
