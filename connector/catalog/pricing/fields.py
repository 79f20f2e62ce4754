"""Reads single fields of a JSON object; a refusal names the field and what it has to be."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from connector.catalog.pricing.refusals import UnknownPriceField, UnusablePrice

Fields = Mapping[str, Any]
Item = TypeVar("Item")
Word = TypeVar("Word", bound=StrEnum)

DIGITS_MAX = 30  # on each side of the point
TEXT_LENGTH_MAX = 200
WHOLE_DIGITS_MAX = 9
SHOWN_MAX = 60  # of a refused value in its error

# Neither exponents nor NaN, underscores or the digits of other scripts, all of which Decimal takes.
_is_number = re.compile(rf"-?[0-9]{{1,{DIGITS_MAX}}}(?:\.[0-9]{{1,{DIGITS_MAX}}})?").fullmatch
_is_whole = re.compile(rf"[0-9]{{1,{WHOLE_DIGITS_MAX}}}").fullmatch


def field_name(name: str, where: str = "") -> str:
    """Return a field as its writer finds it: `tiers[1].up_to`."""
    return f"{where}.{name}" if where else name


def refuse_unknown(fields: Fields, known: frozenset[str], where: str = "") -> None:
    """Refuse a field that is not known.

    Raises:
        UnknownPriceField: There is one; the error names it and the known ones.
    """
    for name in fields:
        if name not in known:
            raise UnknownPriceField(
                field=field_name(_shown(name), where),
                problem="there is no such field here.",
                remedy=f"There are {', '.join(sorted(known))}.",
            )


def as_object(value: object, known: frozenset[str], where: str) -> Fields:
    """Return a JSON object that has only known fields."""
    if not isinstance(value, dict):
        raise UnusablePrice(field=where, problem="it is no JSON object.")
    if not value.keys() <= known:
        refuse_unknown(value, known, where)
    return value


def as_number(value: object, where: str) -> Decimal:
    """Return a plain decimal number from its text, exact.

    Raises:
        UnusablePrice: It is no text, or no number of at most 30 digits before and after the point.
    """
    if isinstance(value, str) and _is_number(value):
        return Decimal(value)
    raise _no_number(value, where)


def number(fields: Fields, name: str, where: str = "") -> Decimal:
    """Return a number that has to be there."""
    if name not in fields:
        raise UnusablePrice(field=field_name(name, where), problem="it is missing.")
    return as_number(fields[name], field_name(name, where))


def optional_number(fields: Fields, name: str, where: str = "") -> Decimal | None:
    """Return a number, or None where there is none or null."""
    value = fields.get(name)
    if value is None:
        return None
    # As as_number() does: a call more for each number would be felt.
    if isinstance(value, str) and _is_number(value):
        return Decimal(value)
    raise _no_number(value, field_name(name, where))


def optional_whole(fields: Fields, name: str, where: str = "") -> int | None:
    """Return a whole number that is zero or more, or None where there is none or null."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or _is_whole(value) is None:
        raise UnusablePrice(
            field=field_name(name, where),
            problem=f"{_shown(value)} is no whole number in a text.",
        )
    return int(value)


def text(fields: Fields, name: str, where: str = "") -> str:
    """Return a text that has to be there."""
    value = fields.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_LENGTH_MAX:
        problem = "it is missing." if value is None else f"{_shown(value)} is no short text."
        raise UnusablePrice(field=field_name(name, where), problem=problem)
    return value


def word(fields: Fields, name: str, default: Word, where: str = "") -> Word:
    """Return one of the words of the default's kind, the default where none is stated."""
    value = fields.get(name, default.value)
    choices = type(default)
    if value not in [choice.value for choice in choices]:
        raise UnusablePrice(
            field=field_name(name, where),
            problem=f"there is no '{_shown(value)}'.",
            remedy=f"There are {', '.join(choices)}.",
        )
    return choices(value)


def items(
    fields: Fields, name: str, read: Callable[[object, str], Item], most: int
) -> tuple[Item, ...]:
    """Return a list that has to be there, each item read by a function of it and its place."""
    value = fields.get(name)
    if not isinstance(value, list):
        problem = "it is missing." if value is None else "it is no list."
        raise UnusablePrice(field=name, problem=problem)
    if len(value) > most:
        raise UnusablePrice(field=name, problem=f"{len(value)} are more than {most}.")
    return tuple([read(item, f"{name}[{position}]") for position, item in enumerate(value)])


def _no_number(value: object, field: str) -> UnusablePrice:
    if not isinstance(value, str):
        return UnusablePrice(
            field=field,
            problem=f"{_shown(value)} is no text.",
            remedy='Write amounts as texts, "12.50": a JSON number may have lost digits.',
        )
    return UnusablePrice(
        field=field,
        problem=f"'{_shown(value)}' is no plain decimal number.",
        remedy=f"Write digits and a point, at most {DIGITS_MAX} digits on each side of it.",
    )


def _shown(value: object) -> str:
    shown = str(value)
    return shown if len(shown) <= SHOWN_MAX else f"{shown[:SHOWN_MAX]}…"
