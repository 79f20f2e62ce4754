"""Stored values as Avro binary, each the second branch of `["null", type]` (fact sheet H.3).

A bulk load makes one change event per record: the general writer of the Avro library, which finds
out anew what every value is, takes longer than saving the record.
"""

import struct
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Any

from ..schema.model import Field, FieldType

NULL, GIVEN = b"\x00", b"\x02"
TRUE, FALSE = GIVEN + b"\x01", GIVEN + b"\x00"
DAY_MS = 86_400_000
UNIX_DAY = date(1970, 1, 1).toordinal()
Encoder = Callable[[Any], bytes]
REMEMBERED = 256  # values of one field
_DOUBLE = struct.Struct("<d")


def encoder(field: Field) -> Encoder:
    """Return the function that writes a stored value, which is not null, of a field.

    It remembers what it wrote: owners, stamps, places and choices are the same in many records.
    """
    if field.is_decimal:
        unit = 10**field.scale
        return lru_cache(REMEMBERED)(lambda value: GIVEN + _DOUBLE.pack(value / unit))
    return lru_cache(REMEMBERED)(_BY_TYPE.get(field.type, _given_text))


def day_ms(day: str) -> int:
    """Return the milliseconds from 1970 to the beginning of a day."""
    return (date.fromisoformat(day).toordinal() - UNIX_DAY) * DAY_MS


def time_ms(stored: str) -> int:
    """Return a stored time of day as milliseconds since midnight."""
    hour, minute, second = stored[:8].split(":")
    return ((int(hour) * 60 + int(minute)) * 60 + int(second)) * 1_000 + int(stored[9:12])


@lru_cache(maxsize=4_096)
def number(value: int) -> bytes:
    """Return a whole number, without the branch."""
    left = value << 1 if value >= 0 else (-value << 1) - 1
    written = bytearray()
    while left > 0x7F:
        written.append(left & 0x7F | 0x80)
        left >>= 7
    written.append(left)
    return bytes(written)


def text(value: str) -> bytes:
    """Return a text, without the branch."""
    data = value.encode()
    return number(len(data)) + data


def _given_text(value: str) -> bytes:
    return GIVEN + text(value)


_BY_TYPE: dict[FieldType, Encoder] = {
    FieldType.BOOLEAN: lambda value: TRUE if value == 1 else FALSE,
    FieldType.INT: lambda value: GIVEN + number(value),
    FieldType.DATE: lambda value: GIVEN + number(day_ms(value)),
    FieldType.DATETIME: lambda value: GIVEN + number(value * 1_000),
    FieldType.TIME: lambda value: GIVEN + number(time_ms(value)),
}
