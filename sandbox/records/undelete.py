"""Brings records back from the recycle bin, and empties it (fact sheet F.5)."""

from collections.abc import Sequence

from ..errors import ApiError, RowError, row_failure
from ..schema.model import Field, ObjectType, OnDelete
from ..storage.tables import quoted
from . import recycle
from .behaviours import behaviour_of
from .lookup import folded, ids_by_key
from .rollups import recompute_rollups
from .save import Writer
from .transaction import Row, Transaction, json_list

NOT_IN_BIN = RowError("UNDELETE_FAILED", "Entity is not in the recycle bin")


def undelete_record(writer: Writer, record_id: str) -> None:
    """Restore one record with everything that was deleted along with it.

    Raises:
        ApiError: It is not in the bin, a record it cannot be without is gone, or a unique value
            of it is taken by now.
    """
    tx = writer.tx
    recycle.expire(tx.connection, tx.schema, now_s=tx.now_s)
    item, row = _in_bin(tx, record_id)
    refused = tx.faults.for_row(item.name, user=tx.actor.username)
    refused = refused or tx.lock(item, record_id, old=row, values={})
    if refused is not None:
        raise row_failure(refused)
    restored = _restored(tx, record_id)
    returning = {row["Id"] for _, rows in restored for row in rows}
    changes: list[tuple[ObjectType, list[tuple[Row, Row]]]] = []
    for found, rows in restored:
        changes.append((found, [(row, _renewed(tx, found, row, returning)) for row in rows]))
    for found, pairs in changes:
        _check_unique(tx, found, [new for _, new in pairs])
        _write(tx, found, [new for _, new in pairs])
    _refill_lookups(writer, record_id, returning)
    recycle.forget(tx.connection, record_id)
    for found, pairs in changes:
        for old, new in pairs:
            tx.note("undelete", found, new["Id"], old=old, new=new)
        behaviour = behaviour_of(found.name)
        if behaviour is not None:
            behaviour.restored(writer, found, [new for _, new in pairs])
        recompute_rollups(writer, found, [({}, new) for _, new in pairs])


def remove_from_bin(writer: Writer, record_id: str) -> None:
    """Remove a deleted record for good, with everything that was deleted along with it.

    Raises:
        ApiError: It is not in the bin.
    """
    tx = writer.tx
    item, row = _in_bin(tx, record_id)
    recycle.remove_for_good(tx.connection, tx.schema, record_id)
    tx.note("emptyRecycleBin", item, record_id, old=row, new={})


def _in_bin(tx: Transaction, record_id: str) -> tuple[ObjectType, Row]:
    """Return a record that was deleted by itself, not as part of another one."""
    item = tx.schema.of_id(record_id)
    row = tx.fetch(item, [record_id]).get(record_id) if item is not None else None
    if item is not None and row is None and recycle.was_removed(tx.connection, item, record_id):
        raise row_failure(RowError("ENTITY_IS_DELETED", "entity is deleted"))
    if item is None or row is None:
        raise row_failure(RowError("INVALID_ID_FIELD", "invalid cross reference id"))
    seen = tx.seen(item)
    if not item.deletable or seen is None or not seen.deletable:
        message = "insufficient access rights on object id"
        raise row_failure(RowError("INSUFFICIENT_ACCESS_OR_READONLY", message))
    sql = "SELECT 1 FROM sandbox_recycled WHERE record_id = ? AND root_id = ?"
    own = tx.connection.execute(sql, (record_id, record_id)).fetchone() is not None
    if row["IsDeleted"] != 1 or not own:
        raise row_failure(NOT_IN_BIN)
    return item, row


def _restored(tx: Transaction, root_id: str) -> list[tuple[ObjectType, list[Row]]]:
    by_object: dict[str, list[str]] = {}
    for record_id in recycle.deleted_with(tx.connection, root_id):
        by_object.setdefault(tx.schema.by_prefix[record_id[:3]].name, []).append(record_id)
    found = []
    for name, ids in by_object.items():
        item = tx.schema.get(name)
        rows = [row for row in tx.fetch(item, ids).values() if row["IsDeleted"] == 1]
        found.append((item, rows))
    return found


def _renewed(tx: Transaction, item: ObjectType, row: Row, returning: set[str]) -> Row:
    """Return a row as it will be: alive, and pointing at nothing that is gone."""
    new = dict(row)
    new["IsDeleted"] = 0
    new["LastModifiedDate"] = new["SystemModstamp"] = tx.now_s
    new["LastModifiedById"] = tx.actor.user_id
    if new.get("MasterRecordId") is not None:
        new["MasterRecordId"] = None
    for ref in item.references:
        target_id = new[ref.name]
        if target_id is None or target_id in returning or _is_alive(tx, target_id):
            continue
        if _needs(ref):
            raise row_failure(
                RowError("UNDELETE_FAILED", f"The parent record is deleted: {target_id[:15]}")
            )
        new[ref.name] = None
    return new


def _needs(ref: Field) -> bool:
    return ref.master_detail or not ref.nillable or ref.on_delete is OnDelete.CASCADE


def _is_alive(tx: Transaction, record_id: str) -> bool:
    item = tx.schema.of_id(record_id)
    if item is None:
        return False
    sql = f'SELECT 1 FROM {quoted(item.name)} WHERE "Id" = ? AND "IsDeleted" = 0'
    return tx.connection.execute(sql, (record_id,)).fetchone() is not None


def _check_unique(tx: Transaction, item: ObjectType, rows: Sequence[Row]) -> None:
    for key in item.unique_fields:
        values = {row[key.name] for row in rows if row[key.name] is not None}
        holders = ids_by_key(tx, item, key, values) if values else {}
        for value in values:
            for other in holders.get(folded(key, value), []):
                message = (
                    f"duplicate value found: {key.name} duplicates value on record "
                    f"with id: {other[:15]}"
                )
                raise ApiError(400, "DUPLICATE_VALUE", message, fields=(key.name,))


def _write(tx: Transaction, item: ObjectType, rows: Sequence[Row]) -> None:
    names = [f.name for f in item.stored if f.name != "Id"]
    sets = ", ".join(f"{quoted(name)} = ?" for name in names)
    sql = f'UPDATE {quoted(item.name)} SET {sets} WHERE "Id" = ?'
    tx.connection.executemany(sql, [[*(row[n] for n in names), row["Id"]] for row in rows])


def _refill_lookups(writer: Writer, root_id: str, returning: set[str]) -> None:
    """Point lookups at the restored record again, unless they point elsewhere by now."""
    tx = writer.tx
    wanted: dict[tuple[str, str], dict[str, str]] = {}
    for name, field, record_id, target_id in recycle.emptied_by(tx.connection, root_id):
        if target_id in returning:
            wanted.setdefault((name, field), {})[record_id] = target_id
    for (name, field), targets in wanted.items():
        item = tx.schema.find(name)
        if item is None or item.find(field) is None:
            continue
        sql = (
            f'SELECT "Id" FROM {quoted(name)} WHERE {quoted(field)} IS NULL '
            'AND "IsDeleted" = 0 AND "Id" IN (SELECT value FROM json_each(?))'
        )
        rows = tx.connection.execute(sql, (json_list(sorted(targets)),)).fetchall()
        writer.touch(item, {i: {field: targets[i]} for (i,) in rows})
