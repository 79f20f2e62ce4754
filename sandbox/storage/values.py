"""Between values as stored and values as the API shows them.

Decimals are stored as integers scaled by the field's declared decimal places, so sums and
comparisons are exact; more decimal places than declared are rounded half up when saved.
Datetimes are whole seconds since 1970, dates are ISO text, booleans 0 or 1.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache, partial
from typing import Any

import orjson

from ..clock import from_epoch
from ..schema.model import Field, FieldType

Decoder = Callable[[Any], Any]
# Up to here the shortest decimal text of a binary number is the number that was stored.
EXACT_BINARY = 10**15
YEARS = range(1700, 4001)
TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:\.(\d{1,3}))?)?Z?\Z", re.ASCII)


def to_scaled(value: Decimal, *, scale: int) -> int:
    """Return a decimal as an integer of the given number of decimal places, half up."""
    return int(value.scaleb(scale).to_integral_value(rounding=ROUND_HALF_UP))


def from_scaled(value: int, *, scale: int) -> Decimal:
    """Return the exact decimal of a stored integer."""
    return Decimal(value).scaleb(-scale)


def _decimal_json(value: int | None, *, scale: int) -> Any:
    """Return a JSON number with exactly the stored digits, always with a decimal point."""
    if value is None:
        return None
    if -EXACT_BINARY < value < EXACT_BINARY:
        return value / 10**scale
    text = str(from_scaled(value, scale=scale))
    return orjson.Fragment(text if "." in text else text + ".0")


@lru_cache(maxsize=8_192)
def datetime_json(seconds: int) -> str:
    """Return `2022-03-17T16:21:26.000+0000`."""
    return from_epoch(seconds).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def _datetime_or_null(value: int | None) -> str | None:
    return None if value is None else datetime_json(value)


def _boolean(value: int | None) -> bool:
    return value == 1


def decoder(item: Field) -> Decoder | None:
    """Return the function from stored to JSON value; None where they are the same."""
    if item.is_decimal:
        return partial(_decimal_json, scale=item.scale)
    if item.type is FieldType.DATETIME:
        return _datetime_or_null
    if item.type is FieldType.BOOLEAN:
        return _boolean
    return None


def soap_text(item: Field, value: Any) -> str | None:
    """Return a stored value as text of a SOAP message; None is left out there."""
    if value is None:
        return None
    if item.type is FieldType.BOOLEAN:
        return "true" if value == 1 else "false"
    if item.type is FieldType.DATETIME:
        return from_epoch(value).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    if item.is_decimal:
        text = str(from_scaled(value, scale=item.scale))
        return text if "." in text else text + ".0"
    return str(value)


def parse_time(text: str) -> str | None:
    """Return a time of day as it is stored, `17:30:00.000Z`; None where it is none (B.9)."""
    match = TIME.match(text)
    if match is None:
        return None
    hour, minute, second, thousandths = match.groups(default="0")
    return f"{hour}:{minute}:{int(second):02}.{thousandths.ljust(3, '0')}Z"


def parse_datetime(text: str) -> int | None:
    """Return the seconds since 1970 of an ISO 8601 datetime; None where it is none."""
    if len(text) < 11 or text[10] not in "Tt ":
        return None
    try:
        moment = datetime.fromisoformat(text.replace("z", "Z"))
    except ValueError:
        return None
    if moment.year not in YEARS:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp())
