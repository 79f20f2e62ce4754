"""Create, update, upsert: from JSON rows to outcomes, for one record or two hundred."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from ..errors import RowError
from ..ids import normalize
from ..schema.model import Field, FieldType, ObjectType
from .convert import Refused, converter
from .draft import Draft, RowReader
from .lookup import folded, ids_by_key
from .save import Writer

JsonRow = Mapping[str, Any]


class Outcome(NamedTuple):
    """What became of one row."""

    id: str | None
    created: bool
    errors: tuple[RowError, ...]
    matches: tuple[str, ...] = ()
    enqueued: str | None = None  # the uuid of a published event

    @property
    def success(self) -> bool:
        """Whether the row was saved."""
        return not self.errors

    def messages(self) -> list[dict[str, object]]:
        """Return the errors, or the one that tells of an event's success (fact sheet H.5)."""
        if self.enqueued is not None:
            return [RowError("OPERATION_ENQUEUED", self.enqueued).as_result()]
        return [error.as_result() for error in self.errors]

    def as_result(self, *, with_created: bool = False) -> dict[str, Any]:
        """Return the JSON item of collections; failed rows carry no id."""
        item: dict[str, Any] = {"id": self.id} if self.success else {}
        item["success"] = self.success
        item["errors"] = self.messages()
        if with_created:
            item["created"] = self.created and self.success
        return item


def create(
    writer: Writer, item: ObjectType, rows: Sequence[JsonRow], *, system: bool = False
) -> list[Outcome]:
    """Create records."""
    item, seen = _whole_and_seen(writer, item, system=system)
    drafts = [Draft(creating=True) for _ in rows]
    if seen.createable or system:
        reader = RowReader(seen, writer.tx.schema)
        reader.read_all(zip(rows, drafts, strict=True), system=system)
    else:
        for draft in drafts:
            _refuse_object(item, draft)
    if item.event:
        return _publish(writer, item, drafts)
    writer.save(item, drafts, system=system)
    return _outcomes(drafts)


def _publish(writer: Writer, item: ObjectType, drafts: Sequence[Draft]) -> list[Outcome]:
    uuids = writer.publish(item, drafts)
    return [
        Outcome(id=d.id, created=True, errors=tuple(d.errors), enqueued=uuid)
        for d, uuid in zip(drafts, uuids, strict=True)
    ]


def update(writer: Writer, item: ObjectType, rows: Sequence[tuple[Any, JsonRow]]) -> list[Outcome]:
    """Update records given as (id, fields)."""
    item, seen = _whole_and_seen(writer, item)
    drafts = [Draft(creating=False) for _ in rows]
    for draft, (raw_id, _) in zip(drafts, rows, strict=True):
        draft.id = _read_id(item, raw_id, draft)
        if not seen.updateable:
            _refuse_object(item, draft)
    if seen.updateable:
        reader = RowReader(seen, writer.tx.schema)
        reader.read_all((row, draft) for draft, (_, row) in zip(drafts, rows, strict=True))
    writer.save(item, drafts)
    return _outcomes(drafts)


def upsert(
    writer: Writer, item: ObjectType, key: Field, rows: Sequence[tuple[Any, JsonRow]]
) -> list[Outcome]:
    """Update the records a key names, create the others. Rows are (key value, other fields)."""
    item, shown = _whole_and_seen(writer, item)
    convert = converter(key, writer.tx.schema)
    drafts: list[Draft] = []
    values: list[Any] = []
    for value, _ in rows:
        draft = Draft(creating=True)
        values.append(_read_key(key, convert, value, draft))
        drafts.append(draft)
    found = _matches(writer, item, key, values)
    seen: set[Any] = set()
    matches: list[tuple[str, ...]] = []
    for draft, value in zip(drafts, values, strict=True):
        known = folded(key, value)
        ids = tuple(found.get(known, ()))
        matches.append(ids if len(ids) > 1 else ())
        if value is not None and known in seen:
            draft.refuse("DUPLICATE_VALUE", f"Duplicate external id specified: {value}", key.name)
        if value is not None:
            seen.add(known)
        _aim(draft, shown, key, value, ids)
    reader = RowReader(shown, writer.tx.schema)
    aimed = zip(drafts, rows, strict=True)
    reader.read_all((row, draft) for draft, (_, row) in aimed if not draft.errors)
    writer.save(item, drafts)
    return [
        Outcome(id=d.id, created=d.creating, errors=tuple(d.errors), matches=m)
        for d, m in zip(drafts, matches, strict=True)
    ]


def _whole_and_seen(
    writer: Writer, item: ObjectType, *, system: bool = False
) -> tuple[ObjectType, ObjectType]:
    """Return an object as it is stored, and as the caller may write it."""
    whole = writer.tx.schema.get(item.name)
    if system:
        return whole, whole
    seen = writer.tx.seen(whole)
    if seen is None:
        seen = replace(whole, createable=False, updateable=False, deletable=False)
    return whole, seen


def _aim(draft: Draft, item: ObjectType, key: Field, value: Any, ids: tuple[str, ...]) -> None:
    """Decide between creating and updating."""
    if draft.errors:
        return
    if len(ids) > 1:
        message = (
            f"{key.name}: more than one record found for external id field: [{', '.join(ids)}]"
        )
        draft.refuse("DUPLICATE_EXTERNAL_ID", message, key.name)
        return
    if ids:
        draft.creating = False
        draft.id = ids[0]
    elif key.type is FieldType.ID and value is not None:
        draft.creating = False
        draft.id = value
    elif key.type is not FieldType.ID:
        draft.values[key.name] = value
    if not (item.createable if draft.creating else item.updateable):
        _refuse_object(item, draft)


def _matches(
    writer: Writer, item: ObjectType, key: Field, values: Sequence[Any]
) -> Mapping[Any, Sequence[str]]:
    known = [value for value in values if value is not None]
    if key.type is FieldType.ID or not known:
        return {}
    return ids_by_key(writer.tx, item, key, known)


def _read_key(key: Field, convert: Any, value: Any, draft: Draft) -> Any:
    if key.type is FieldType.ID:
        if value is None or value == "":
            return None
        record_id = normalize(value) if isinstance(value, str) else None
        if record_id is None:
            draft.refuse("MALFORMED_ID", f"bad id {value}", "Id")
        return record_id
    try:
        stored = convert(value)
    except Refused as refused:
        draft.errors.append(refused.error)
        return None
    if stored is None:
        draft.refuse("MISSING_ARGUMENT", f"{key.name} not specified", key.name)
    return stored


def _read_id(item: ObjectType, raw: Any, draft: Draft) -> str | None:
    if raw is None or raw == "":
        draft.refuse("MISSING_ARGUMENT", "Id not specified in an update call", "Id")
        return None
    record_id = normalize(raw) if isinstance(raw, str) else None
    if record_id is None or record_id[:3] != item.prefix:
        message = f"{item.label} ID: id value of incorrect type: {raw}"
        draft.refuse("MALFORMED_ID", message, "Id")
        return None
    return record_id


def _refuse_object(item: ObjectType, draft: Draft) -> None:
    message = f"entity type cannot be {'inserted' if draft.creating else 'updated'}: {item.label}"
    draft.refuse("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message)


def _outcomes(drafts: Sequence[Draft]) -> list[Outcome]:
    return [Outcome(id=d.id, created=d.creating, errors=tuple(d.errors)) for d in drafts]
