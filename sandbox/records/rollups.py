"""Roll-up summaries: the aggregates a master keeps over its details."""

import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ApiError
from ..schema.currencies import CURRENCY
from ..schema.model import Field, FieldType, ObjectType, Schema, Summary
from ..storage.money import rate_sql
from ..storage.tables import quoted, value_sql
from .convert import Refused, converter
from .transaction import Row, Transaction, json_list

if TYPE_CHECKING:
    from .save import Writer

OUTSIDE = "NUMBER_OUTSIDE_VALID_RANGE"
SQL = {"count": "COUNT(*)", "sum": "SUM({0})", "min": "MIN({0})", "max": "MAX({0})"}


def recompute_rollups(
    writer: "Writer", item: ObjectType, changes: Sequence[tuple[Row, Row]]
) -> None:
    """Bring the masters of changed details up to date; unchanged masters are not written."""
    by_master: dict[str, dict[str, Row]] = {}
    for master, field in writer.tx.schema.summaries.get(item.name, ()):
        computed = _is_computed(item, field)
        ids = _masters_affected(field, changes, computed=computed)
        if not ids:
            continue
        values = _aggregate(writer.tx, item, master, field, ids)
        updates = by_master.setdefault(master.name, {})
        for record_id in ids:
            updates.setdefault(record_id, {})[field.name] = values[record_id]
    for name, updates in by_master.items():
        master = writer.tx.schema.get(name)
        rows = writer.tx.fetch(master, list(updates))
        stale = {
            record_id: values
            for record_id, values in updates.items()
            if record_id in rows
            and rows[record_id]["IsDeleted"] == 0
            and any(rows[record_id][key] != value for key, value in values.items())
        }
        writer.touch(master, stale)


def convert_rollups(writer: "Writer", item: ObjectType, changes: Sequence[tuple[Row, Row]]) -> None:
    """Compute the roll-ups of masters anew whose own currency has changed."""
    ids = [new["Id"] for old, new in changes if old and old.get(CURRENCY) != new.get(CURRENCY)]
    updates: dict[str, Row] = {record_id: {} for record_id in ids}
    for field in item.fields if ids else ():
        if field.summary is not None:
            child = writer.tx.schema.get(field.summary.child)
            for record_id, value in _aggregate(writer.tx, child, item, field, ids).items():
                updates[record_id][field.name] = value
    writer.touch(item, {record_id: values for record_id, values in updates.items() if values})


def _is_computed(child: ObjectType, field: Field) -> bool:
    """Whether a roll-up looks at formulas of its details."""
    assert field.summary is not None
    names = [field.summary.child_field or "Id", *(f.field for f in field.summary.filters)]
    return any((found := child.find(n)) is not None and found.formula is not None for n in names)


def _filters(tx: Transaction, child: ObjectType, summary: Summary) -> tuple[str, list[Any]]:
    """Return the conditions of a roll-up as SQL."""
    sql, params = "", []
    for test in summary.filters:
        field = child.find(test.field)
        assert field is not None, test.field
        column = value_sql(child, field, alias="d")
        operator = "IS" if test.operator == "=" else test.operator
        word = " AND " if operator == "IS NOT" else " OR "
        sql += f" AND ({word.join(f'{column} {operator} ?' for _ in test.values)})"
        params += [_stored(field, tx.schema, text) for text in test.values]
    return sql, params


def _stored(field: Field, schema: Schema, text: str) -> Any:
    if text == "":
        return None
    try:
        return converter(field, schema)(text)
    except Refused:
        return text


def _masters_affected(
    field: Field, changes: Sequence[tuple[Row, Row]], *, computed: bool
) -> list[str]:
    assert field.summary is not None
    reference = field.summary.child_reference
    watched = [field.summary.child_field, CURRENCY, *(f.field for f in field.summary.filters)]
    ids: set[str] = set()
    for old, new in changes:
        # What a formula looks at is not asked: any change of the detail may change it.
        moved = computed or old.get(reference) != new.get(reference)
        if moved or any(old.get(name) != new.get(name) for name in watched if name):
            ids.update(i for i in (old.get(reference), new.get(reference)) if i)
    return sorted(ids)


def _aggregate(
    tx: Transaction, child: ObjectType, master: ObjectType, field: Field, ids: list[str]
) -> dict[str, int | str | None]:
    summary = field.summary
    assert summary is not None
    source = child.find(summary.child_field or "Id")
    assert source is not None
    value = value_sql(child, source, alias="d")
    join = ""
    if source.type is FieldType.CURRENCY and child.has(CURRENCY) and master.has(CURRENCY):
        # Amounts are rolled up in the currency of the master (fact sheet I.6).
        join = f' JOIN {quoted(master.name)} AS m ON m."Id" = d.{quoted(summary.child_reference)}'
        own, wanted = f"d.{quoted(CURRENCY)}", f"m.{quoted(CURRENCY)}"
        exchanged = f"l2c_converted({value}, {rate_sql(own)}, {rate_sql(wanted)})"
        value = f"CASE WHEN {own} = {wanted} THEN {value} ELSE {exchanged} END"
    expression = SQL[summary.operation].format(value)
    reference = f"d.{quoted(summary.child_reference)}"
    where, params = _filters(tx, child, summary)
    sql = (
        f"SELECT {reference}, {expression} FROM {quoted(child.name)} AS d{join} WHERE {reference} "
        f'IN (SELECT value FROM json_each(?)) AND d."IsDeleted" = 0{where} GROUP BY {reference}'
    )
    empty = 0 if summary.operation in {"count", "sum"} else None
    try:
        found = dict(tx.connection.execute(sql, (json_list(ids), *params)).fetchall())
    except (sqlite3.OperationalError, sqlite3.DataError) as error:
        message = f"{field.label}: value outside of valid range on numeric field: {error}"
        raise ApiError(400, OUTSIDE, message, fields=(field.name,)) from error
    return {i: found.get(i, empty) if found.get(i) is not None else empty for i in ids}
