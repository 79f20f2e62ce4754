"""Finds the records that drafts refer to, in one query per kind of reference."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from ..schema.model import Field, ObjectType
from ..storage.folding import folded_sql, folded_text
from ..storage.tables import quoted
from ..storage.values import decoder
from .draft import Draft, Link
from .transaction import Transaction, json_list


def folded(item: Field, value: Any) -> Any:
    """Return a key value as unique indexes compare it."""
    return folded_text(value) if isinstance(value, str) and item.folds else value


def ids_by_key(
    tx: Transaction, item: ObjectType, key: Field, values: Iterable[Any]
) -> dict[Any, list[str]]:
    """Return the ids of live records by the (folded) value of a key field."""
    column = quoted(key.name)
    compared = folded_sql(column) if key.folds else column
    sql = (
        f'SELECT {compared}, "Id" FROM {quoted(item.name)} '
        f"WHERE {compared} IN (SELECT value FROM json_each(?)) "
        f'AND {column} IS NOT NULL AND "IsDeleted" = 0 ORDER BY "Id"'
    )
    wanted = json_list([folded(key, value) for value in values])
    found: dict[Any, list[str]] = defaultdict(list)
    for value, record_id in tx.connection.execute(sql, (wanted,)):
        found[value].append(record_id)
    return found


def resolve_links(tx: Transaction, drafts: Sequence[Draft]) -> None:
    """Replace parents named by external id with their ids."""
    wanted: dict[tuple[str, str], list[tuple[Draft, Link]]] = defaultdict(list)
    for draft in drafts:
        for link in draft.links:
            wanted[link.target.name, link.key.name].append((draft, link))
    for items in wanted.values():
        first = items[0][1]
        values = {link.value for _, link in items if link.value is not None}
        found = ids_by_key(tx, first.target, first.key, values)
        for draft, link in items:
            _resolve(draft, link, found.get(folded(link.key, link.value), []))


def _resolve(draft: Draft, link: Link, ids: list[str]) -> None:
    if len(ids) == 1:
        draft.values[link.field.name] = ids[0]
        return
    decode = decoder(link.key)
    shown = decode(link.value) if decode else link.value
    if not ids:
        message = (
            f"Foreign key external ID: {shown} not found for field {link.key.name} "
            f"in entity {link.target.name}"
        )
        draft.refuse("INVALID_FIELD", message, link.field.name)
        return
    message = (
        f"{link.key.name}: more than one record found for external id field: [{', '.join(ids)}]"
    )
    draft.refuse("DUPLICATE_EXTERNAL_ID", message, link.field.name)


def check_references(tx: Transaction, item: ObjectType, drafts: Sequence[Draft]) -> None:
    """Refuse ids of records that are not there or are deleted."""
    wanted: dict[str, set[str]] = defaultdict(set)
    uses: list[tuple[Draft, Field, str]] = []
    for ref in item.references:
        for draft in drafts:
            record_id = draft.values.get(ref.name)
            if record_id is not None and record_id != draft.old.get(ref.name):
                wanted[record_id[:3]].add(record_id)
                uses.append((draft, ref, record_id))
    state: dict[str, int] = {}
    for prefix, ids in wanted.items():
        target = tx.schema.by_prefix[prefix]
        sql = (
            f'SELECT "Id", "IsDeleted" FROM {quoted(target.name)} '
            'WHERE "Id" IN (SELECT value FROM json_each(?))'
        )
        state.update(tx.connection.execute(sql, (json_list(sorted(ids)),)).fetchall())
    for draft, ref, record_id in uses:
        if record_id not in state:
            message = f"insufficient access rights on cross-reference id: {record_id[:15]}"
            draft.refuse("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", message, ref.name)
        elif state[record_id] == 1:
            draft.refuse("ENTITY_IS_DELETED", "entity is deleted", ref.name)


def check_unique(tx: Transaction, item: ObjectType, drafts: Sequence[Draft]) -> None:
    """Refuse values of unique fields that another record, or an earlier draft, holds."""
    for key in item.unique_fields:
        given = [
            (draft, draft.new[key.name])
            for draft in drafts
            if not draft.errors and draft.new.get(key.name) is not None and draft.changed(key.name)
        ]
        if not given:
            continue
        holders = ids_by_key(tx, item, key, {value for _, value in given})
        seen: set[Any] = set()
        for draft, value in given:
            known = folded(key, value)
            others = [i for i in holders.get(known, []) if i != draft.id]
            if others:
                message = (
                    f"duplicate value found: {key.name} duplicates value on record "
                    f"with id: {others[0][:15]}"
                )
                draft.refuse("DUPLICATE_VALUE", message, key.name)
            elif known in seen:
                message = f"duplicate value found: {key.name} duplicates value on another record"
                draft.refuse("DUPLICATE_VALUE", message, key.name)
            seen.add(known)
