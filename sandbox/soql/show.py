"""Values as people read them: FORMAT() in the words of en_US, toLabel()."""

from datetime import date
from functools import partial
from typing import Any

from ..clock import from_epoch
from ..schema.model import Field, FieldType
from ..storage.values import Decoder, from_scaled


def formatter(item: Field) -> Decoder:
    """Return the function from a stored value to text."""
    if item.is_decimal:
        return partial(_number, scale=item.scale)
    if item.type is FieldType.INT:
        return partial(_number, scale=0)
    if item.type is FieldType.DATE:
        return _date
    if item.type is FieldType.DATETIME:
        return _datetime
    if item.type is FieldType.BOOLEAN:
        return _boolean
    return _same


def labeller(item: Field) -> Decoder:
    """Return the function from picklist values to their labels."""
    return partial(_label, labels={v.value.lower(): v.label for v in item.picklist})


def _label(value: Any, *, labels: dict[str, str]) -> Any:
    if not isinstance(value, str):
        return value
    return ";".join(labels.get(part.lower(), part) for part in value.split(";"))


def _number(value: int | None, *, scale: int) -> str | None:
    return None if value is None else f"{from_scaled(value, scale=scale):,}"


def _date(value: str | None) -> str | None:
    if value is None:
        return None
    day = date.fromisoformat(value)
    return f"{day.month}/{day.day}/{day.year}"


def _datetime(value: int | None) -> str | None:
    if value is None:
        return None
    moment = from_epoch(value)
    half = "PM" if moment.hour >= 12 else "AM"
    clock = f"{(moment.hour + 11) % 12 + 1}:{moment.minute:02d} {half}"
    return f"{moment.month}/{moment.day}/{moment.year}, {clock}"


def _boolean(value: int | None) -> str:
    return "true" if value == 1 else "false"


def _same(value: Any) -> Any:
    return value


def address_json(parts: dict[str, str | None]) -> dict[str, Any] | None:
    """Return a compound address, or None where every part is empty."""
    if not any(parts.values()):
        return None
    return {
        "city": parts.get("city"),
        "country": parts.get("country"),
        "geocodeAccuracy": None,
        "latitude": None,
        "longitude": None,
        "postalCode": parts.get("postalCode"),
        "state": parts.get("state"),
        "street": parts.get("street"),
    }
