"""Deletes records into the recycle bin: cascades, refusals, emptied lookups."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import RowError
from ..schema.model import ChildLink, ObjectType, OnDelete
from ..storage.tables import quoted
from .behaviours import behaviour_of
from .recycle import remember
from .rollups import recompute_rollups
from .save import Writer
from .transaction import Row, Transaction, json_list

MAX_CASCADE = 10_000


@dataclass(slots=True)
class _Plan:
    """What goes when one record goes."""

    root_id: str
    doomed: dict[str, list[Row]] = field(default_factory=dict)
    emptied: list[tuple[ChildLink, list[Row]]] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)


def delete_record(writer: Writer, record_id: str) -> RowError | None:
    """Delete one record and what hangs on it; return why not, or None."""
    tx = writer.tx
    item = tx.schema.of_id(record_id)
    row = tx.fetch(item, [record_id]).get(record_id) if item is not None else None
    if item is None or row is None:
        return RowError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
    if row["IsDeleted"] == 1:
        return RowError("ENTITY_IS_DELETED", "entity is deleted")
    refusal = _refusal(tx, item, row)
    if refusal is not None:
        return refusal
    plan = _Plan(root_id=record_id, ids={record_id})
    plan.doomed[item.name] = [row]
    refusal = _collect(tx, item, [record_id], plan)
    if refusal is not None:
        return refusal
    _execute(writer, plan)
    return None


def _refusal(tx: Transaction, item: ObjectType, row: Row) -> RowError | None:
    seen = tx.seen(item)
    if not item.deletable or seen is None or not seen.deletable:
        message = "insufficient access rights on object id"
        return RowError("INSUFFICIENT_ACCESS_OR_READONLY", message)
    refused = tx.faults.for_row(item.name, user=tx.actor.username)
    refused = refused or tx.lock(item, row["Id"], old=row, values={})
    if refused is not None:
        return refused
    if item.name == "Pricebook2" and row["IsStandard"] == 1:
        return RowError("DELETE_FAILED", "The standard price book cannot be deleted")
    if item.name == "Contact" and row.get("IsPersonAccount") == 1:
        message = "person contacts are deleted through their account"
        return RowError("INVALID_OPERATION", message)
    return _kept(item, [row])


def _kept(item: ObjectType, rows: Sequence[Row]) -> RowError | None:
    behaviour = behaviour_of(item.name)
    reasons = (behaviour.why_kept(row) for row in rows) if behaviour is not None else ()
    reason = next((text for text in reasons if text is not None), None)
    return None if reason is None else RowError("DELETE_FAILED", reason)


def _collect(tx: Transaction, item: ObjectType, ids: Sequence[str], plan: _Plan) -> RowError | None:
    for link in tx.schema.links[item.name]:
        rows = [
            row
            for row in tx.fetch_where(link.child, link.field.name, ids)
            if row["Id"] not in plan.ids
        ]
        if not rows:
            continue
        if link.field.on_delete is OnDelete.RESTRICT:
            names = ", ".join(str(row.get("Name") or row["Id"]) for row in rows[:5])
            message = (
                "Your attempt to delete the record could not be completed because it is "
                f"associated with the following {link.child.plural}.: {names}"
            )
            return RowError("DELETE_FAILED", message)
        if link.field.on_delete is OnDelete.SET_NULL:
            plan.emptied.append((link, rows))
            continue
        kept = _kept(link.child, rows)
        if kept is not None:
            return kept
        plan.doomed.setdefault(link.child.name, []).extend(rows)
        found = [row["Id"] for row in rows]
        plan.ids.update(found)
        if len(plan.ids) > MAX_CASCADE:
            message = "the delete operation is too large"
            return RowError("DELETE_OPERATION_TOO_LARGE", message)
        refusal = _collect(tx, link.child, found, plan)
        if refusal is not None:
            return refusal
    return None


def _execute(writer: Writer, plan: _Plan) -> None:
    tx = writer.tx
    emptied = [
        (link.child, link.field.name, [row for row in rows if row["Id"] not in plan.ids])
        for link, rows in plan.emptied
    ]
    for child, name, rows in emptied:
        writer.touch(child, {row["Id"]: {name: None} for row in rows})
    remember(
        tx.connection,
        plan.root_id,
        deleted_s=tx.now_s,
        ids=sorted(plan.ids),
        emptied=[(c.name, name, [(r["Id"], r[name]) for r in rows]) for c, name, rows in emptied],
    )
    for name, rows in plan.doomed.items():
        item = tx.schema.get(name)
        sql = (
            f'UPDATE {quoted(name)} SET "IsDeleted" = 1, "SystemModstamp" = ?, '
            '"LastModifiedDate" = ?, "LastModifiedById" = ? '
            'WHERE "Id" IN (SELECT value FROM json_each(?))'
        )
        ids = [row["Id"] for row in rows]
        stamp = (tx.now_s, tx.now_s, tx.actor.user_id, json_list(ids))
        tx.connection.execute(sql, stamp)
        for row in rows:
            tx.note("delete", item, row["Id"], old=row, new={})
    for name, rows in plan.doomed.items():
        item = tx.schema.get(name)
        behaviour = behaviour_of(name)
        if behaviour is not None:
            behaviour.deleted(writer, item, rows)
        recompute_rollups(writer, item, [(row, {}) for row in rows])
