"""Date literals such as THIS_MONTH or LAST_N_DAYS:7 as half-open ranges of days (C.5)."""

import re
from datetime import date, timedelta

MAX_COUNT = 100_000
_COUNTED = re.compile(
    r"(LAST_N|NEXT_N|N)_(DAY|WEEK|MONTH|QUARTER|YEAR|FISCAL_QUARTER|FISCAL_YEAR)S(_AGO)?:(\d{1,6})\Z"
)
_PLAIN = re.compile(r"(THIS|LAST|NEXT)_(WEEK|MONTH|QUARTER|YEAR|FISCAL_QUARTER|FISCAL_YEAR)\Z")
_SHIFT = {"THIS": 0, "LAST": -1, "NEXT": 1}
FIRST_YEAR, LAST_YEAR = 1, 9_998


def days_of(word: str, *, today: date) -> tuple[date, date] | None:
    """Return the first day and the day after the last, or None for an unknown word."""
    one = timedelta(days=1)
    simple = {
        "TODAY": (today, today + one),
        "YESTERDAY": (today - one, today),
        "TOMORROW": (today + one, today + 2 * one),
        "LAST_90_DAYS": (today - 90 * one, today + one),
        "NEXT_90_DAYS": (today + one, today + 91 * one),
    }
    if word in simple:
        return simple[word]
    plain = _PLAIN.match(word)
    if plain:
        unit = plain.group(2).removeprefix("FISCAL_")
        shift = _SHIFT[plain.group(1)]
        return _start(today, unit, shift), _start(today, unit, shift + 1)
    counted = _COUNTED.match(word)
    if counted is None:
        return None
    kind, unit = counted.group(1), counted.group(2).removeprefix("FISCAL_")
    count = min(int(counted.group(4)), MAX_COUNT)
    if kind == "N":
        if not counted.group(3):
            return None
        return _start(today, unit, -count), _start(today, unit, 1 - count)
    if counted.group(3):
        return None
    if kind == "LAST_N":
        end = today + one if unit == "DAY" else _start(today, unit, 0)
        return _start(today, unit, -count), end
    begin = today + one if unit == "DAY" else _start(today, unit, 1)
    return begin, _start(today, unit, count + 1)


def ends_now(word: str) -> bool:
    """Return whether a literal ends with the current second: LAST_N_DAYS:n (C.5)."""
    return word.startswith("LAST_N_DAYS:")


def _start(today: date, unit: str, shift: int) -> date:
    """Return the first day of the period that lies `shift` periods from today."""
    if unit == "DAY":
        return _plus_days(today, shift)
    if unit == "WEEK":
        # Weeks begin on Sunday in the en_US locale.
        sunday = _plus_days(today, -((today.weekday() + 1) % 7))
        return _plus_days(sunday, 7 * shift)
    months = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}[unit]
    index = (today.year * 12 + today.month - 1) // months * months + shift * months
    year, month = divmod(index, 12)
    if not FIRST_YEAR <= year <= LAST_YEAR:
        return date.min if year < FIRST_YEAR else date.max
    return date(year, month + 1, 1)


def _plus_days(day: date, count: int) -> date:
    try:
        return day + timedelta(days=count)
    except OverflowError:
        return date.min if count < 0 else date.max
