"""One canonical form per field type, so that values of both sides can be compared.

The hub's side is brought into it by SQL (a push of many rows never takes values apart in Python),
the CRM's side here: text trimmed and empty as null, numbers at the field's scale without trailing
zeros, instants in UTC to the second (Salesforce keeps no less), dates as they are.
"""

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from connector.sync.mapping.definition import IS_PERSON, RECORD_TYPE, FieldType, PushField

_NUMBERS = frozenset({FieldType.MONEY, FieldType.NUMBER, FieldType.INTEGER})


def literal(value: str) -> str:
    """Quote a text for SQL that goes through `sqlalchemy.text`."""
    return "'" + value.replace("'", "''").replace(":", "\\:") + "'"


def hub_value(field: PushField, alias: str) -> str:
    """Return the SQL expression of a view's column in canonical form."""
    column = f'{alias}."{field.column}"'
    if field.type in _NUMBERS:
        return f"trim_scale(round({column}\\:\\:numeric, {field.digits}))"
    if field.type is FieldType.BOOLEAN:
        return f"coalesce({column}, false)"
    if field.type is FieldType.DATE:
        return f"to_char({column}, 'YYYY-MM-DD')"
    if field.type is FieldType.DATETIME:
        pattern = literal('YYYY-MM-DD"T"HH24:MI:SS"Z"')
        return f"to_char({column} AT TIME ZONE 'UTC', {pattern})"
    expression = f"nullif(btrim({column}\\:\\:text), '')"
    if field.values:
        words = " ".join(
            f"WHEN {literal(ours)} THEN {literal(theirs)}" for ours, theirs in field.values.items()
        )
        expression = f"CASE {expression} {words} ELSE {expression} END"
    if field.length is not None:
        expression = f"rtrim(left({expression}, {field.length}))"
    return expression


def when_sql(field: PushField) -> str:
    """Return the SQL condition under which a record has the field; `r` is its crm_record."""
    when, conditions = field.when, []
    if when is not None and when.person is not None:
        conditions.append(f"r.known ->> '{IS_PERSON}' = '{str(when.person).lower()}'")
    if when is not None and when.record_type:
        names = ", ".join(map(literal, when.record_type))
        conditions.append(f"r.known ->> '{RECORD_TYPE}' IN ({names})")
    if when is not None and when.column is not None:
        words = ", ".join(map(literal, when.is_one_of))
        conditions.append(f'v."{when.column}"\\:\\:text IN ({words})')
    return f"coalesce({' AND '.join(conditions)}, false)" if conditions else "true"


def crm_value(field: PushField, value: Any) -> Any:
    """Return a value the CRM answered, in canonical form.

    What is none of the field's type is text: the check of the mappings tells that somebody gave the
    field another type, and the records beside this one are not held up until then.
    """
    if value is None:
        return False if field.type is FieldType.BOOLEAN else None
    try:
        if field.type in _NUMBERS:
            return Decimal(value).quantize(Decimal(1).scaleb(-(field.digits or 0)), ROUND_HALF_UP)
        if field.type is FieldType.DATETIME:
            return _to_second(str(value))
    except (ArithmeticError, TypeError, ValueError):
        return str(value)
    if field.type is FieldType.BOOLEAN:
        return bool(value)
    text = str(value).strip()
    if field.length is not None:
        text = text[: field.length].rstrip()
    return text or None


def crm_text(field: PushField, cell: str | None) -> Any:
    """Return a cell of a Bulk API result, which is text whatever its type, in canonical form."""
    if field.type is FieldType.BOOLEAN:
        return cell == "true"
    return crm_value(field, cell)


def _to_second(value: str) -> str:
    if value.endswith("+0000"):  # how REST writes it
        value = value[:-5] + "+00:00"
    instant = datetime.fromisoformat(value).astimezone(UTC)
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")
