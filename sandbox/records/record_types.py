"""The record type of each record: its default, and the picklist values it lets through."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..schema.model import ObjectType, RecordType
from ..schema.persons import PERSON_FLAG
from ..schema.record_types import RECORD_TYPE_ID
from ..storage.folding import folded_text
from .draft import Draft
from .transaction import Transaction

if TYPE_CHECKING:
    from .save import Writer


def set_record_types(tx: Transaction, item: ObjectType, drafts: Sequence[Draft]) -> None:
    """Fill in the record type of new records; refuse values that it does not let through."""
    types = {one.name: one for one in tx.schema.record_types.get(item.name, ())}
    if not types:
        return
    sql = (
        'SELECT "Id", "DeveloperName" FROM "RecordType" WHERE "SobjectType" = ? '
        'AND "IsActive" = 1 AND "IsDeleted" = 0 ORDER BY "Id"'
    )
    ids = dict(tx.connection.execute(sql, (item.name,)).fetchall())
    with_persons = item.has(PERSON_FLAG)
    for draft in drafts:
        given = draft.new[RECORD_TYPE_ID]
        # Accounts find theirs by what they are: a person or a business.
        if given is None and draft.creating and not (item.name == "Account" and with_persons):
            given = draft.new[RECORD_TYPE_ID] = next(iter(ids), None)
        if given is None:
            continue
        if given not in ids:
            message = f"Record Type ID: not an active record type of {item.name}: {given[:15]}"
            draft.refuse("INVALID_CROSS_REFERENCE_KEY", message, RECORD_TYPE_ID)
        elif ids[given] in types:
            _check(item, draft, types[ids[given]])


def _check(item: ObjectType, draft: Draft, kind: RecordType) -> None:
    for name, choices in kind.choices.items():
        field = item.find(name)
        assert field is not None, name
        if draft.creating and name not in draft.values:
            inherited = draft.new[name] if draft.new[name] in choices else None
            draft.new[name] = kind.defaults.get(name, inherited)
        value = draft.new[name]
        if value is None or not field.restricted or not draft.changed(name):
            continue
        known = {folded_text(choice) for choice in choices}
        wrong = next((v for v in value.split(";") if folded_text(v) not in known), None)
        if wrong is not None:
            message = f"{field.label}: bad value for restricted picklist field: {wrong}"
            draft.refuse("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, name)


def plant_record_types(writer: "Writer") -> None:
    """Bring the records of record types in line with the metadata."""
    tx = writer.tx
    item = tx.schema.get("RecordType")
    rows = tx.fetch_where(item, "IsDeleted", [0])
    known = {(row["SobjectType"], row["DeveloperName"]): row["Id"] for row in rows}
    fresh = []
    changes = {}
    for kind in (one for members in tx.schema.record_types.values() for one in members):
        values = {
            "Name": kind.label[:80],
            "Description": (kind.description or "")[:255] or None,
            "IsActive": int(kind.active),
        }
        record_id = known.get((kind.object_name, kind.name))
        if record_id is not None:
            changes[record_id] = values
        else:
            own = {"SobjectType": kind.object_name, "DeveloperName": kind.name}
            fresh.append({**values, **own})
    writer.insert(item, fresh)
    writer.touch(item, changes)
