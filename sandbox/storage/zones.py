"""Time zones of users: local clocks from stored seconds and back."""

import sqlite3
from datetime import UTC, date, datetime, time, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from ..clock import EPOCH

DAY_S = 86_400
QUARTER_HOUR_S = 900  # zones change their offset at quarters of an hour
FIRST_YEAR, LAST_YEAR = 2, 9_998


@lru_cache(maxsize=128)
def zone_of(name: str | None) -> tzinfo:
    """Return a time zone by its name; UTC where there is no such zone."""
    return ZoneInfo(name) if name is not None and is_zone(name) else UTC


@lru_cache(maxsize=128)
def is_zone(name: str) -> bool:
    """Return whether there is a time zone of this name."""
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        return False
    return True


@lru_cache(maxsize=65_536)
def _offset_s(quarter: int, name: str) -> int:
    moment = datetime.fromtimestamp(quarter * QUARTER_HOUR_S, zone_of(name))
    offset = moment.utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def local_seconds(seconds: int | None, name: str) -> int | None:
    """Return the clock of a zone at a stored moment, as if it were UTC; for SQL."""
    if seconds is None:
        return None
    try:
        return seconds + _offset_s(seconds // QUARTER_HOUR_S, name)
    except (OverflowError, ValueError, OSError):
        return seconds


def start_of_day_s(day: date, zone: tzinfo) -> int:
    """Return when a day begins in a zone, in seconds since 1970."""
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        return (day - EPOCH.date()).days * DAY_S
    return int((datetime.combine(day, time(), zone) - EPOCH).total_seconds())


def add_functions(connection: sqlite3.Connection) -> None:
    """Teach a connection `local_seconds(seconds, zone)`."""
    connection.create_function("local_seconds", 2, local_seconds, deterministic=True)
