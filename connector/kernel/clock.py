"""The only place where the wall clock is read.

Business dates come from a `Clock` that an interface reads once and passes down as `now`. Sync never
uses it: sync compares the org's own timestamps (design D10, D17).
"""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from connector.errors import InvalidInput


class Clock(Protocol):
    """Tells the present instant, in UTC."""

    def now(self) -> datetime:
        """Return the present instant."""


class SystemClock:
    """The wall clock."""

    def now(self) -> datetime:
        """Return the present instant, to the microsecond."""
        return datetime.now(UTC)


class MovableClock:
    """A business clock for demos and simulations: it stands still until it is moved on."""

    def __init__(self, start: datetime) -> None:
        self._now = start.astimezone(UTC)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the instant it was last moved to."""
        with self._lock:
            return self._now

    def move_to(self, instant: datetime) -> None:
        """Move on to an instant.

        Raises:
            InvalidInput: The instant lies in the clock's past.
        """
        with self._lock:
            if instant < self._now:
                raise InvalidInput(f"The clock shows {self._now}; it cannot go back to {instant}.")
            self._now = instant.astimezone(UTC)

    def advance(self, step: timedelta) -> None:
        """Move on by a step."""
        self.move_to(self.now() + step)


def monotonic_s() -> float:
    """Return seconds for measuring durations; its zero means nothing."""
    return time.monotonic()
