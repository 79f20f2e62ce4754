"""Roll-up summaries: the aggregates a master keeps over its details."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..schema.currencies import CURRENCY
from ..schema.model import Field, FieldType, ObjectType
from ..storage.money import rate_sql
from ..storage.tables import quoted, value_sql
from .transaction import Row, Transaction, json_list

if TYPE_CHECKING:
    from .save import Writer

SQL = {"count": "COUNT(*)", "sum": "SUM({0})", "min": "MIN({0})", "max": "MAX({0})"}


def recompute_rollups(
    writer: "Writer", item: ObjectType, changes: Sequence[tuple[Row, Row]]
) -> None:
    """Bring the masters of changed details up to date; unchanged masters are not written."""
    by_master: dict[str, dict[str, Row]] = {}
    for master, field in writer.tx.schema.summaries.get(item.name, ()):
        source = item.find(field.summary.child_field or "Id") if field.summary else None
        computed = source is not None and source.formula is not None
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


def _masters_affected(
    field: Field, changes: Sequence[tuple[Row, Row]], *, computed: bool
) -> list[str]:
    assert field.summary is not None
    reference = field.summary.child_reference
    source = field.summary.child_field
    ids: set[str] = set()
    for old, new in changes:
        moved = old.get(reference) != new.get(reference)
        # What a formula looks at is not asked: any change of the detail may change it.
        moved = moved or computed or old.get(CURRENCY) != new.get(CURRENCY)
        if moved or (source is not None and old.get(source) != new.get(source)):
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
    sql = (
        f"SELECT {reference}, {expression} FROM {quoted(child.name)} AS d{join} WHERE {reference} "
        f'IN (SELECT value FROM json_each(?)) AND d."IsDeleted" = 0 GROUP BY {reference}'
    )
    empty = 0 if summary.operation in {"count", "sum"} else None
    found = dict(tx.connection.execute(sql, (json_list(ids),)).fetchall())
    return {i: found.get(i, empty) if found.get(i) is not None else empty for i in ids}
