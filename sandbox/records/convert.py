"""From JSON values to stored values, refusing what Salesforce refuses (fact sheet B.5, B.9)."""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache, partial
from typing import Any

from ..errors import RowError
from ..ids import normalize
from ..schema.model import Field, FieldType, Schema
from ..storage.values import YEARS, parse_datetime, parse_time, to_scaled

EMAIL = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[^@\s.,;<>\"]+\Z")
DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
PLAIN_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.([0-9]{1,15}))?\Z")
EVERYDAY_INT = re.compile(r"-?[0-9]{1,9}\Z")
INT_LIMIT = 2**31
MAX_DECIMAL_EXPONENT = 30
Converter = Callable[[Any], Any]
# Kinds of JSON values of which equal ones are the same value; True and 1, say, are not.
ALIKE = frozenset({frozenset({kind}) for kind in (str, bool, int, Decimal)})
_JSON_SHAPES: dict[type, str] = {
    str: "VALUE_STRING",
    int: "VALUE_NUMBER_INT",
    Decimal: "VALUE_NUMBER_FLOAT",
    list: "START_ARRAY",
}


class Refused(Exception):
    """A value a field does not take."""

    def __init__(self, code: str, message: str, *fields: str) -> None:
        super().__init__(message)
        self.error = RowError(code=code, message=message, fields=fields)


def converter(item: Field, schema: Schema) -> Converter:
    """Return the function that turns a JSON value of a field into its stored value.

    It raises `Refused`; JSON null becomes None except in checkboxes.
    """
    if item.type is FieldType.REFERENCE:
        prefixes = frozenset(schema.get(name).prefix for name in item.reference_to)
        return partial(_reference, item, prefixes)
    if item.is_decimal:
        return partial(_decimal, item)
    if item.type not in _BY_TYPE and item.length:
        return _everyday_text(item)
    return partial(_BY_TYPE.get(item.type, _text), item)


def converted(values: Sequence[Any], convert: Converter) -> list[Any]:
    """Return the stored values of one column, which has some; a frequent one is converted once.

    Raises:
        Refused: The field does not take one of them.
    """
    if type(values[0]) is str and values.count(values[0]) == len(values):
        return [convert(values[0])] * len(values)
    if frozenset(map(type, values)) - {type(None)} in ALIKE:
        distinct = set(values)
        if 2 * len(distinct) <= len(values):
            known = {value: convert(value) for value in distinct}
            return [known[value] for value in values]
    return list(map(convert, values))


def _wrong_json(item: Field, value: Any, kind: str) -> Refused:
    shape = _JSON_SHAPES.get(type(value), "START_OBJECT")
    shown = value if isinstance(value, str | int | Decimal) else ""
    if isinstance(value, bool):
        shown = str(value).lower()
        shape = f"VALUE_{shown.upper()}"
    text = (
        f"Cannot deserialize instance of {kind} from {shape} value {shown} "
        "or request may be missing a required field"
    )
    return Refused("JSON_PARSER_ERROR", text, item.name)


def _kept(value: str) -> str | None:
    """Return what is kept of a text: no blanks around it, no NUL, which SQLite reads as its end."""
    return value.replace("\0", "").strip() or None


def _text(item: Field, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _wrong_json(item, value, "string")
    text = _kept(value)
    if text is None:
        return None
    if item.length and len(text) > item.length:
        message = f"{item.label}: data value too large: {text} (max length={item.length})"
        raise Refused("STRING_TOO_LONG", message, item.name)
    return text


def _everyday_text(item: Field) -> Converter:
    """Return the conversion of most values there are: text of a field with a greatest length."""
    length = item.length

    def convert(value: Any) -> str | None:
        if type(value) is str and len(value) <= length:
            return _kept(value)
        return _text(item, value)

    return convert


def _email(item: Field, value: Any) -> str | None:
    text = _text(item, value)
    if text is not None and not EMAIL.match(text):
        message = f"{item.label}: invalid email address: {text}"
        raise Refused("INVALID_EMAIL_ADDRESS", message, item.name)
    return text


@lru_cache(maxsize=1_024)
def _choices(item: Field) -> dict[str, str]:
    return {choice.value.lower(): choice.value for choice in item.picklist}


def _picklist(item: Field, value: Any) -> str | None:
    text = _text(item, value)
    if text is None or not item.restricted:
        return text
    known = _choices(item).get(text.lower())
    if known is None:
        message = f"{item.label}: bad value for restricted picklist field: {text}"
        raise Refused("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, item.name)
    return known


def _multipicklist(item: Field, value: Any) -> str | None:
    text = _text(item, value)
    if text is None:
        return None
    parts = [part.strip() for part in text.split(";") if part.strip()]
    order = {choice.value: i for i, choice in enumerate(item.picklist)}
    if item.restricted:
        for part in parts:
            _picklist(item, part)
    return ";".join(sorted(dict.fromkeys(parts), key=lambda part: order.get(part, len(order))))


def _boolean(item: Field, value: Any) -> int:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return int(value.lower() == "true")
    if value is None:
        message = f"{item.label}: value not of required type: null"
        raise Refused("INVALID_TYPE_ON_FIELD_IN_RECORD", message, item.name)
    raise _wrong_json(item, value, "boolean")


def _number(item: Field, value: Any, kind: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise _wrong_json(item, value, kind)
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise _wrong_json(item, value, kind) from None
    if not number.is_finite():
        raise _wrong_json(item, str(value), kind)
    if number and number.adjusted() > MAX_DECIMAL_EXPONENT:
        raise _out_of_range(item, value)
    return number


def _out_of_range(item: Field, value: Any) -> Refused:
    message = f"{item.label}: value outside of valid range on numeric field: {value}"
    return Refused("NUMBER_OUTSIDE_VALID_RANGE", message, item.name)


def _plain(text: str, *, scale: int) -> int | None:
    """Return an everyday number scaled; None for one that needs rounding or a closer look."""
    match = PLAIN_NUMBER.match(text)
    if match is None:
        return None
    missing = scale - len(match[1] or "")
    return int(text.replace(".", "")) * 10**missing if missing >= 0 else None


def _decimal(item: Field, value: Any) -> int | None:
    if value is None or value == "":
        return None
    scaled = _plain(value, scale=item.scale) if type(value) is str else None
    if scaled is None:
        scaled = to_scaled(_number(item, value, "double"), scale=item.scale)
    if abs(scaled) >= 10**item.precision:
        raise _out_of_range(item, value)
    return scaled


def _int(item: Field, value: Any) -> int | None:
    if value is None or value == "":
        return None
    if type(value) is str and EVERYDAY_INT.match(value):
        return int(value)
    number = _number(item, value, "int")
    if number != number.to_integral_value():
        raise _wrong_json(item, value, "int")
    if not -INT_LIMIT <= number < INT_LIMIT:
        raise _out_of_range(item, value)
    return int(number)


def _date(item: Field, value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not DATE.match(value):
        raise _wrong_json(item, value, "date")
    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise _wrong_json(item, value, "date") from None
    if day.year not in YEARS:
        message = f"{item.label}: invalid date: {value}"
        raise Refused("DATE_OUT_OF_RANGE", message, item.name)
    return value


def _datetime(item: Field, value: Any) -> int | None:
    if value is None or value == "":
        return None
    seconds = parse_datetime(value) if isinstance(value, str) else None
    if seconds is None:
        raise _wrong_json(item, value, "datetime")
    return seconds


def _time(item: Field, value: Any) -> str | None:
    if value is None or value == "":
        return None
    stored = parse_time(value) if isinstance(value, str) else None
    if stored is None:
        raise _wrong_json(item, value, "time")
    return stored


def _reference(item: Field, prefixes: frozenset[str], value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _wrong_json(item, value, "reference")
    record_id = normalize(value)
    if record_id is None or record_id[:3] not in prefixes:
        message = f"{item.label}: id value of incorrect type: {value}"
        raise Refused("MALFORMED_ID", message, item.name)
    return record_id


def _base64(item: Field, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _wrong_json(item, value, "base64")
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise _wrong_json(item, "", "base64") from None
    return value


_BY_TYPE: dict[FieldType, Callable[[Field, Any], Any]] = {
    FieldType.EMAIL: _email,
    FieldType.PICKLIST: _picklist,
    FieldType.MULTIPICKLIST: _multipicklist,
    FieldType.BOOLEAN: _boolean,
    FieldType.INT: _int,
    FieldType.DATE: _date,
    FieldType.DATETIME: _datetime,
    FieldType.TIME: _time,
    FieldType.BASE64: _base64,
}
