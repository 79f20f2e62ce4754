"""Merges records: related records move to the master, the losers go to the bin (F.5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ApiError, RowError, row_failure
from ..ids import normalize
from ..schema.model import ObjectType
from ..storage.tables import quoted
from .delete import delete_record
from .save import Writer
from .service import update
from .transaction import Row

MERGEABLE = frozenset({"Account", "Contact", "Lead"})
MOST_LOSERS = 2
MASTER = "MasterRecordId"
# References that say what a loser is, not what belongs to it.
OWN = frozenset({MASTER, "PersonContactId"})


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did."""

    master_id: str
    loser_ids: tuple[str, ...]
    related_ids: tuple[str, ...]


def merge_records(
    writer: Writer,
    item: ObjectType,
    *,
    master: Mapping[str, Any],
    losers: Sequence[str],
) -> Merged:
    """Merge one or two records into a master.

    Args:
        writer: The transaction.
        item: The type of all of them.
        master: The master's Id and the fields to be changed on it.
        losers: Ids of the others.

    Raises:
        ApiError: Nothing was merged.
    """
    tx = writer.tx
    master_id, loser_ids = _ids(item, master, losers)
    rows = tx.fetch(item, [master_id, *loser_ids])
    for record_id in (master_id, *loser_ids):
        _check(rows.get(record_id), record_id)
    _check_persons(item, [rows[i] for i in (master_id, *loser_ids)])
    fields = {k: v for k, v in master.items() if k.lower() != "id"}
    outcome = update(writer, item, [(master_id, fields)])[0]
    if outcome.errors:
        raise row_failure(outcome.errors[0])
    related: list[str] = []
    if item.name == "Account" and rows[master_id].get("IsPersonAccount") == 1:
        contact = tx.schema.get("Contact")
        person = rows[master_id]["PersonContactId"]
        others = [rows[i]["PersonContactId"] for i in loser_ids]
        related += _move_children(writer, contact, person, others, leave=frozenset(others))
        _mark(writer, contact, person, others)
        leave = frozenset(others)
    else:
        leave = frozenset()
    related += _move_children(writer, item, master_id, loser_ids, leave=leave)
    _mark(writer, item, master_id, loser_ids)
    for loser_id in loser_ids:
        error = delete_record(writer, loser_id)
        if error is not None:
            raise row_failure(error)
    return Merged(master_id, tuple(loser_ids), tuple(dict.fromkeys(related)))


def _ids(
    item: ObjectType, master: Mapping[str, Any], losers: Sequence[str]
) -> tuple[str, list[str]]:
    if item.name not in MERGEABLE:
        raise ApiError(400, "INVALID_TYPE", f"{item.name} is not supported for merge")
    given = next((v for k, v in master.items() if k.lower() == "id"), None)
    master_id = normalize(given) if isinstance(given, str) else None
    if master_id is None or master_id[:3] != item.prefix:
        raise ApiError(400, "MALFORMED_ID", f"bad id in masterRecord: {given}")
    found: list[str] = []
    for text in losers:
        loser_id = normalize(text)
        if loser_id is None or loser_id[:3] != item.prefix:
            raise ApiError(400, "MALFORMED_ID", f"bad id in recordsToMerge: {text}")
        if loser_id == master_id or loser_id in found:
            message = f"a record can be merged only once: {loser_id}"
            raise ApiError(400, "MERGE_FAILED", message)
        found.append(loser_id)
    if not 0 < len(found) <= MOST_LOSERS:
        message = f"specify one or two records to merge into the master, not {len(found)}"
        raise ApiError(400, "MERGE_FAILED", message)
    return master_id, found


def _check(row: Row | None, record_id: str) -> None:
    if row is None:
        message = f"invalid cross reference id: {record_id}"
        raise ApiError(400, "INVALID_CROSS_REFERENCE_KEY", message)
    if row["IsDeleted"] == 1:
        raise row_failure(RowError("ENTITY_IS_DELETED", "entity is deleted"))
    if row.get("IsConverted") == 1:
        message = "cannot reference converted lead"
        raise ApiError(400, "CANNOT_UPDATE_CONVERTED_LEAD", message)


def _check_persons(item: ObjectType, rows: Sequence[Row]) -> None:
    kinds = {row.get("IsPersonAccount") for row in rows}
    if len(kinds) > 1:
        message = "person accounts and business accounts cannot be merged with each other"
        raise ApiError(400, "MERGE_FAILED", message)
    if item.name == "Contact" and kinds == {1}:
        message = "person contacts are merged through their accounts"
        raise ApiError(400, "MERGE_FAILED", message)


def _move_children(
    writer: Writer,
    item: ObjectType,
    master_id: str,
    losers: Sequence[str],
    *,
    leave: frozenset[str],
) -> list[str]:
    """Point everything that refers to the losers at the master; return what was moved."""
    tx = writer.tx
    moved: list[str] = []
    for link in tx.schema.links[item.name]:
        if link.field.name in OWN:
            continue
        ids = [
            row["Id"]
            for row in tx.fetch_where(link.child, link.field.name, losers)
            if row["Id"] not in leave and row["Id"] not in losers
        ]
        # A master under one of its losers would be its own parent.
        changes: dict[str, Row] = {
            i: {link.field.name: None if i == master_id else master_id} for i in ids
        }
        writer.touch(link.child, changes)
        moved += [i for i in ids if i != master_id]
    return moved


def _mark(writer: Writer, item: ObjectType, master_id: str, losers: Sequence[str]) -> None:
    """Tell the losers their master; the delete that follows stamps them."""
    sql = f'UPDATE {quoted(item.name)} SET "{MASTER}" = ? WHERE "Id" = ?'
    writer.tx.connection.executemany(sql, [(master_id, loser) for loser in losers])
