"""Query locators: which records a query found, for its further pages (fact sheet C.8)."""

import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from .. import clock
from ..errors import ApiError
from ..ids import checksum
from .planner import Plan

LIFE_S = 2 * 24 * 3_600
# Before version 56 a user had ten open cursors of fifteen minutes each.
UNLIMITED_SINCE = 56
OLD_LIFE_S = 15 * 60
OLD_MOST = 10
MOST_IDS = 5_000_000
MOST_CURSORS = 50_000
ID_LENGTH = 18


@dataclass(frozen=True, slots=True)
class Cursor:
    """A query whose further pages are still to be read: its ids are pinned."""

    plan: Plan
    packed: str  # ids of 18 characters, one after the other: a million of them in 18 MB
    user_id: str
    expires_s: float
    counts: bool  # toward the ten of its user

    def __len__(self) -> int:
        return len(self.packed) // ID_LENGTH

    def ids(self, start: int, count: int) -> list[str]:
        """Return some of the ids."""
        begin, end = start * ID_LENGTH, min(len(self.packed), (start + count) * ID_LENGTH)
        return [self.packed[at : at + ID_LENGTH] for at in range(begin, end, ID_LENGTH)]


class Cursors:
    """The open cursors of an org; they do not outlive the process."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Cursor] = OrderedDict()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._pinned = 0

    def forget(self) -> None:
        """Drop all cursors."""
        with self._lock:
            self._open.clear()
            self._pinned = 0

    def add(
        self, plan: Plan, ids: Iterable[str], *, user_id: str, version: int, is_child: bool
    ) -> str:
        """Pin ids and return the locator; the oldest cursors go where there are too many."""
        packed = "".join(ids)
        counts = version < UNLIMITED_SINCE and not is_child
        life_s = OLD_LIFE_S if version < UNLIMITED_SINCE else LIFE_S
        cursor = Cursor(plan, packed, user_id, clock.epoch_s() + life_s, counts)
        with self._lock:
            core = f"01gSb0{next(self._numbers):09d}"
            name = core + checksum(core)
            self._open[name] = cursor
            self._pinned += len(cursor)
            if counts:
                self._trim(user_id)
            while self._pinned > MOST_IDS or len(self._open) > MOST_CURSORS:
                if len(self._open) == 1:
                    break
                self._drop(next(iter(self._open)))
        return name

    def _trim(self, user_id: str) -> None:
        own = [n for n, c in self._open.items() if c.counts and c.user_id == user_id]
        for name in own[:-OLD_MOST]:
            self._drop(name)

    def _drop(self, name: str) -> None:
        self._pinned -= len(self._open.pop(name))

    def find(self, locator: str, *, user_id: str) -> tuple[str, Cursor, int]:
        """Return the name of a locator, its cursor and the position it stands for.

        Raises:
            ApiError: INVALID_QUERY_LOCATOR for an unknown, foreign or expired locator.
        """
        name, _, position = locator.partition("-")
        with self._lock:
            cursor = self._open.get(name)
            if cursor is not None and cursor.expires_s <= clock.epoch_s():
                self._drop(name)
                cursor = None
        numeric = position.isascii() and position.isdigit() and len(position) < 12
        if cursor is None or not numeric or cursor.user_id != user_id:
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        if int(position) >= len(cursor):
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return name, cursor, int(position)
