"""The only place of the local org that reads a clock.

One process has one time. It is the machine's, or stands still and moves by command only
(`--clock manual`), so that thirty days of silence can be rehearsed in a second.
"""

import threading
import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = 1_000
LATEST_MS = 95_617_583_999_000  # the last second of the year 4999


class _Manual:
    """The moment at which time stands, in milliseconds since 1970; None while it runs."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.at_ms: int | None = None


_manual = _Manual()


def stand_still() -> None:
    """Stop the time at the present second; from here it moves by command only."""
    with _manual.lock:
        if _manual.at_ms is None:
            _manual.at_ms = int(time.time()) * MS


def run() -> None:
    """Follow the machine's clock again."""
    with _manual.lock:
        _manual.at_ms = None


def is_manual() -> bool:
    """Return whether the time stands still."""
    return _manual.at_ms is not None


def move_to(at_ms: int) -> None:
    """Set a clock that stands still, in milliseconds since 1970.

    Raises:
        ValueError: The clock runs, or would go back, or beyond the years an org knows.
    """
    with _manual.lock:
        if _manual.at_ms is None:
            raise ValueError("the clock is the machine's; start the org with --clock manual")
        if at_ms < _manual.at_ms:
            raise ValueError("the clock cannot go back")
        if at_ms > LATEST_MS:
            raise ValueError("the clock ends with the year 4999")
        _manual.at_ms = at_ms


def epoch_ms() -> int:
    """Return the whole milliseconds since 1970, UTC."""
    at_ms = _manual.at_ms
    return time.time_ns() // 1_000_000 if at_ms is None else at_ms


def epoch_s() -> int:
    """Return the whole seconds since 1970, UTC, as record stamps are stored."""
    return epoch_ms() // MS


def now() -> datetime:
    """Return the present moment, UTC."""
    return EPOCH + timedelta(milliseconds=epoch_ms())


def monotonic_s() -> float:
    """Return a steadily growing number of seconds, for waiting and expiry."""
    at_ms = _manual.at_ms
    return time.monotonic() if at_ms is None else at_ms / MS


def from_epoch(seconds: int) -> datetime:
    """Return the moment of a stored stamp (years 1 to 9999)."""
    return EPOCH + timedelta(seconds=seconds)


def pause(seconds: float) -> None:
    """Wait, in the machine's time even where the org's stands still."""
    time.sleep(seconds)
