"""The only place of the local org that reads a clock."""

import time
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> datetime:
    """Return the present moment, UTC."""
    return datetime.now(UTC)


def epoch_s() -> int:
    """Return the whole seconds since 1970, UTC, as record stamps are stored."""
    return int(time.time())


def monotonic_s() -> float:
    """Return a steadily growing number of seconds, for waiting and expiry."""
    return time.monotonic()


def from_epoch(seconds: int) -> datetime:
    """Return the moment of a stored stamp (years 1 to 9999)."""
    return EPOCH + timedelta(seconds=seconds)


def epoch_ms() -> int:
    """Return the whole milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def pause(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)
