"""Reads whole records as the API shows them."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from ..errors import ApiError
from ..schema.model import Field, FieldType, ObjectType
from ..soql.show import address_json
from ..storage.tables import quoted, value_sql
from ..storage.values import decoder
from .transaction import json_list

ADDRESS_PARTS = ("city", "country", "postalCode", "state", "street")


def chosen_fields(item: ObjectType, names: Sequence[str] | None) -> tuple[Field, ...]:
    """Return the fields named (in any casing), or all of them.

    Raises:
        ApiError: INVALID_FIELD for a name the object does not have.
    """
    if names is None:
        return item.fields
    found = []
    for name in names:
        field = item.find(name.strip())
        if field is None:
            message = f"No such column '{name.strip()}' on sobject of type {item.name}"
            raise ApiError(400, "INVALID_FIELD", message)
        if field not in found:
            found.append(field)
    return tuple(found)


def read_records(
    connection: sqlite3.Connection,
    item: ObjectType,
    ids: Sequence[str],
    fields: Sequence[Field],
    *,
    base: str,
) -> dict[str, dict[str, Any]]:
    """Return records by id, deleted ones left out; nulls are shown."""
    columns = ", ".join(value_sql(item, f) for f in item.stored)
    sql = (
        f"SELECT {columns} FROM {quoted(item.name)} "
        'WHERE "Id" IN (SELECT value FROM json_each(?)) AND "IsDeleted" = 0'
    )
    found = {}
    names = [f.name for f in item.stored]
    for row in connection.execute(sql, (json_list(ids),)):
        values = dict(zip(names, row, strict=True))
        found[values["Id"]] = record_json(item, values, fields, base=base)
    return found


def record_json(
    item: ObjectType, values: dict[str, Any], fields: Sequence[Field], *, base: str
) -> dict[str, Any]:
    """Return stored values as a JSON record."""
    url = f"{base}/sobjects/{item.name}/{values['Id']}"
    record: dict[str, Any] = {"attributes": {"type": item.name, "url": url}}
    for field in fields:
        if field.type is FieldType.ADDRESS:
            record[field.name] = address_json(_parts(field, values))
        elif field.type is FieldType.BASE64:
            shown = values[field.name] is not None
            record[field.name] = f"{url}/{field.name}" if shown else None
        else:
            decode = decoder(field)
            value = values[field.name]
            record[field.name] = value if decode is None else decode(value)
    return record


def _parts(field: Field, values: dict[str, Any]) -> dict[str, str | None]:
    prefix = field.name.removesuffix("Address")
    return {part: values.get(prefix + part[0].upper() + part[1:]) for part in ADDRESS_PARTS}
