"""Longest-prefix match as disjoint ranges of integers, so that an engine can join on equality.

A number of up to 15 digits becomes `digits padded with zeros to 15, times 16, plus its length`. The
length keeps 49 apart from 490: only the latter begins with the prefix 490.
"""

from collections.abc import Iterable
from dataclasses import dataclass

DIGITS_MAX = 15
HEAD_DIGITS = 6
HEAD_SPAN = 16 * 10 ** (DIGITS_MAX - HEAD_DIGITS)  # keys that share their first six digits


@dataclass(frozen=True, slots=True)
class PrefixRange:
    """Every number whose key lies between `low` and `high`, both included, matches the prefix."""

    prefix: str
    low: int
    high: int


def number_key(number: str) -> int:
    """Return the key of a number of 1 to 15 digits."""
    return int(number.ljust(DIGITS_MAX, "0")) * 16 + len(number)


def disjoint_ranges(prefixes: Iterable[str]) -> list[PrefixRange]:
    """Return ranges in which exactly one prefix is the longest match, in ascending order."""
    ranges: list[PrefixRange] = []
    around: list[str] = []  # the prefixes that contain the present one, outermost first
    position = 0

    def emit(until: int) -> None:
        nonlocal position
        if around and position <= until:
            ranges.append(PrefixRange(around[-1], position, until))
        position = until + 1

    for prefix in sorted(prefixes, key=number_key):
        while around and not prefix.startswith(around[-1]):
            emit(_last(around[-1]))
            around.pop()
        emit(number_key(prefix) - 1)
        around.append(prefix)
    while around:
        emit(_last(around[-1]))
        around.pop()
    return ranges


def _last(prefix: str) -> int:
    return int(prefix.ljust(DIGITS_MAX, "9")) * 16 + 15
