"""What becomes of a CRM value on its way into a hub column."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from sqlalchemy import Column, Connection, text

from connector.adapters.salesforce.ids import to_18
from connector.errors import Misconfigured
from connector.kernel.countries import country_code
from connector.sync.mapping.definition import FieldType, PullField
from connector.sync.mapping.definition import Mapping as EntityMapping

Change = Callable[[Any], Any]
Lookups = Mapping[str, Mapping[str, int]]  # transform -> text of the CRM -> id in the hub


class Keep(Enum):
    """Says that the hub's value stays as it is."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP

# Transforms that turn a text of the CRM into the id of a hub row, read for all records at once.
_LOOKUPS = {
    "account_by_sfid": """
        SELECT w.sfid, a.id FROM unnest(CAST(:wanted AS text[])) AS w (sfid)
          LEFT JOIN crm_alias m ON m.sfid = w.sfid
          JOIN account a ON a.sfid = coalesce(m.master_sfid, w.sfid)
        """,
    "brand_by_key": "SELECT key, id FROM brand WHERE key = ANY(:wanted)",
}
_NOT_FOUND = {
    "account_by_sfid": "the hub has no customer {} yet",
    "brand_by_key": "the catalogue has no brand {}: load it, or correct the field",
}
DEFAULT_BRAND = "default"
_KINDS = {"business": "business", "residential": "person"}
_NUMBERS = frozenset({FieldType.MONEY, FieldType.NUMBER, FieldType.INTEGER})


@dataclass(frozen=True, slots=True)
class Transform:
    """How a value changes, and what a new row gets when the CRM says nothing."""

    change: Change
    when_new: Any = None


def canonical(field: PullField) -> Change:
    """Return what brings a CRM value into the form that is remembered and compared."""
    if field.type is FieldType.BOOLEAN:
        return bool
    if field.type in _NUMBERS:
        return _number
    return _reference if field.type is FieldType.REFERENCE else _text


def column_value(field: PullField, column: Column[Any], lookups: Lookups) -> Change:
    """Return what turns a canonical value into what a hub column gets, or `KEEP`."""
    if field.transform in _LOOKUPS:
        ids = lookups[field.transform]
        return lambda value: ids.get(lookup_text(field, value), KEEP)
    change = _transform(field).change
    if column.nullable:
        return change
    empty = "" if column.type.python_type is str else KEEP

    def fill(value: Any) -> Any:
        changed = change(value)
        return empty if changed is None else changed

    return fill


def value_when_new(field: PullField) -> Any:
    """Return what a new row gets where `column_value` says `KEEP`."""
    if field.transform in _LOOKUPS:
        return None
    return _transform(field).when_new


def needs_others(mapping: EntityMapping) -> bool:
    """Return whether a record refers to rows of other entities that come in, too."""
    fields = mapping.pull.fields.values() if mapping.pull else ()
    return any(field.transform == "account_by_sfid" for field in fields)


def lookup_text(field: PullField, value: Any) -> str:
    """Return the text a lookup transform searches for."""
    if field.transform == "brand_by_key":
        return value or DEFAULT_BRAND
    return value or ""


def found_nothing(field: PullField, value: Any) -> str | None:
    """Return what is said when a field leads to no row of the hub; None where it leads to none."""
    if field.transform not in _NOT_FOUND:
        return None
    return _NOT_FOUND[field.transform].format(repr(lookup_text(field, value)))


def read_lookups(
    tx: Connection, mapping: EntityMapping, values: Iterable[Mapping[str, Any]]
) -> Lookups:
    """Read the hub ids behind the texts of all records, one query a transform."""
    assert mapping.pull is not None
    wanted: dict[str, set[str]] = {}
    rows = list(values)
    for name, field in mapping.pull.fields.items():
        if field.transform in _LOOKUPS:
            wanted.setdefault(field.transform, set()).update(
                lookup_text(field, row.get(name)) for row in rows
            )
    found: dict[str, dict[str, int]] = {}
    for transform, texts in wanted.items():
        known = tx.execute(text(_LOOKUPS[transform]), {"wanted": sorted(texts)})
        found[transform] = {row[0]: row[1] for row in known}
    return found


def _text(value: Any) -> str | None:
    return None if value is None else str(value).strip() or None


def _number(value: Any) -> Decimal | str | None:
    try:
        return None if value is None else Decimal(value).normalize()
    except (ArithmeticError, TypeError, ValueError):
        # Somebody gave the field another type: the hub refuses this record, not those beside it.
        return str(value)


def _reference(value: Any) -> str | None:
    return None if value is None else to_18(str(value).strip()) or None


def _transform(field: PullField) -> Transform:
    if field.transform is None:
        return Transform(lambda value: value)
    found = _TRANSFORMS.get(field.transform)
    if found is None:
        known = ", ".join(sorted(_TRANSFORMS.keys() | _LOOKUPS.keys()))
        raise Misconfigured(
            f"No transform is called {field.transform!r}.",
            remedy=f"Correct the mapping of {field.to}; there are: {known}.",
        )
    return found


def _account_kind(value: str | None) -> Any:
    return KEEP if value is None else _KINDS.get(value.casefold(), KEEP)


_TRANSFORMS = {
    "country": Transform(country_code),
    "account_kind": Transform(_account_kind, when_new="business"),
}
