"""Single records: create, read, update, delete, upsert by external id (fact sheet B.4)."""

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ApiError, RowError, not_found, row_failure
from ..ids import normalize
from ..records.convert import Refused, converter
from ..records.delete import delete_record
from ..records.read import chosen_fields, read_records, record_json
from ..records.service import Outcome, create, update, upsert
from ..schema.model import Field, FieldType, ObjectType, Schema
from ..storage.tables import quoted, value_sql
from .conditions import check_write, stamps_of, unless_known, validators
from .extras import note_recent
from .http import Answer, Request
from .multipart import is_multipart, read_record

if TYPE_CHECKING:
    from ..org import Org

# From here an update by external id answers with a body (fact sheet B.4).
UPSERT_BODY_VERSION = 46.0
GONE = frozenset({"INVALID_CROSS_REFERENCE_KEY", "ENTITY_IS_DELETED"})


def seen_by(org: "Org", request: Request) -> Schema:
    """Return the schema as the caller sees it."""
    return request.me.actor.view or org.schema


def object_of(org: "Org", name: str, request: Request) -> ObjectType:
    """Return an object by name, or the 404 of one that is unknown or hidden from the caller."""
    found = seen_by(org, request).find(name)
    if found is None:
        raise not_found()
    return found


def create_row(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """POST /sobjects/T."""
    item = object_of(org, found[0], request)
    row = read_record(request) if is_multipart(request) else request.json_object()
    with org.transaction(request.me.actor, request_id=request.request_id) as writer:
        outcome = create(writer, item, [row])[0]
    if outcome.id is not None and not outcome.errors:
        note_recent(org, request, item, outcome.id)
    return _created(request, item, outcome)


def _created(request: Request, item: ObjectType, outcome: Outcome) -> Answer:
    if outcome.errors:
        raise row_failure(outcome.errors[0])
    return Answer(
        201,
        {"id": outcome.id, "success": True, "errors": outcome.messages()},
        headers={"Location": f"{request.base}/sobjects/{item.name}/{outcome.id}"},
    )


def insert_through_upsert(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """POST /sobjects/T/Id inserts (v37 and later)."""
    if found[1].lower() != "id":
        raise not_found()
    return create_row(org, request, found[:1])


def read_row(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /sobjects/T/id."""
    item = object_of(org, found[0], request)
    record_id = _id_or_404(item, found[1])
    names = request.query.get("fields")
    fields = chosen_fields(item, names.split(",") if names is not None else None)
    with org.database.read() as connection:
        rows = read_records(connection, item, [record_id], fields, base=request.base)
        if record_id in rows:
            changed_s = stamps_of(connection, item, record_id) or 0
            note_recent(org, request, item, record_id)
            headers = validators(item, record_id, changed_s)
            return unless_known(request, Answer(200, rows[record_id]), headers)
        sql = f'SELECT 1 FROM {quoted(item.name)} WHERE "Id" = ?'
        deleted = connection.execute(sql, (record_id,)).fetchone() is not None
    if deleted:
        raise ApiError(404, "ENTITY_IS_DELETED", "entity is deleted", fields=())
    raise not_found()


def _id_or_404(item: ObjectType, text: str) -> str:
    """A segment that is no id is read as an external id field without a value (section L)."""
    record_id = normalize(text)
    if record_id is None:
        raise unknown_key(text)
    if record_id[:3] != item.prefix:
        raise not_found()
    return record_id


def unknown_key(name: str) -> ApiError:
    """Return the 404 of a field that is no external id."""
    message = f"Provided external ID field does not exist or is not accessible: {name}"
    return ApiError(404, "NOT_FOUND", message)


def update_row(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """PATCH /sobjects/T/id."""
    item = object_of(org, found[0], request)
    record_id = _id_or_404(item, found[1])
    row = request.json_object()
    if any(name.lower() == "id" for name in row):
        message = "The Id field should not be specified in the sobject data."
        raise ApiError(400, "INVALID_FIELD", message)
    with org.transaction(request.me.actor, request_id=request.request_id) as writer:
        check_write(request, writer.tx.connection, item, record_id)
        outcome = update(writer, item, [(record_id, row)])[0]
    if outcome.errors:
        error = outcome.errors[0]
        raise row_failure(error, status=404 if _is_gone(error) else 400)
    note_recent(org, request, item, record_id)
    return Answer(204)


def _is_gone(error: RowError) -> bool:
    return error.code in GONE and not error.fields


def delete_row(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """DELETE /sobjects/T/id."""
    item = object_of(org, found[0], request)
    record_id = _id_or_404(item, found[1])
    with org.transaction(request.me.actor, request_id=request.request_id) as writer:
        error = delete_record(writer, record_id)
    if error is not None:
        raise row_failure(error, status=404 if error.code in GONE else 400)
    return Answer(204)


# --- by external id, and what hangs on a record ---


def get_nested(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /sobjects/T/ext/value, /sobjects/T/id/relationship, /sobjects/T/id/blob."""
    item = object_of(org, found[0], request)
    record_id = normalize(found[1])
    if record_id is None or record_id[:3] != item.prefix:
        key = _key(item, found[1])
        ids = _matching(org, item, key, found[2])
        if not ids:
            raise not_found()
        if len(ids) > 1:
            return _several(request, item, ids)
        return read_row(org, request, [item.name, ids[0]])
    field = item.find(found[2])
    if field is not None and field.type is FieldType.BASE64:
        return _blob(org, item, record_id, field)
    return _related(org, request, item, record_id, found[2])


def upsert_row(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """PATCH /sobjects/T/ext/value."""
    item = object_of(org, found[0], request)
    parent = _parent_of(org, item, found)
    if parent is not None and (request.method != "POST" or "_HttpMethod" in request.query):
        return update_row(org, request, parent)
    key = _key(item, found[1])
    row = request.json_object()
    if any(name.lower() == key.name.lower() for name in row):
        message = f"The {key.name} field should not be specified in the sobject data."
        raise ApiError(400, "INVALID_FIELD", message)
    if request.flag("updateOnly") and not _matching(org, item, key, found[2]):
        raise not_found()
    with org.transaction(request.me.actor, request_id=request.request_id) as writer:
        outcome = upsert(writer, item, key, [(found[2], row)])[0]
    if outcome.matches:
        return _several(request, item, outcome.matches)
    if outcome.errors:
        raise row_failure(outcome.errors[0])
    if outcome.created:
        answer = _created(request, item, outcome)
    else:
        answer = Answer(200, {"id": outcome.id, "success": True, "errors": []})
    if float(request.version) < UPSERT_BODY_VERSION:
        return answer if outcome.created else Answer(204)
    answer.body["created"] = outcome.created
    return answer


def delete_by_key(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """DELETE /sobjects/T/ext/value."""
    item = object_of(org, found[0], request)
    parent = _parent_of(org, item, found)
    if parent is not None:
        return delete_row(org, request, parent)
    ids = _matching(org, item, _key(item, found[1]), found[2])
    if not ids:
        raise not_found()
    if len(ids) > 1:
        return _several(request, item, ids)
    return delete_row(org, request, [item.name, ids[0]])


def _key(item: ObjectType, name: str) -> Field:
    field = item.find(name)
    if field is None or not (field.external_id or field.id_lookup):
        raise unknown_key(name)
    return field


def _matching(org: "Org", item: ObjectType, key: Field, value: str) -> list[str]:
    if key.type is FieldType.ID:
        record_id = normalize(value)
        return [record_id] if record_id is not None else []
    try:
        stored = converter(key, org.schema)(value)
    except Refused as refused:
        raise row_failure(refused.error) from refused
    sql = (
        f'SELECT "Id" FROM {quoted(item.name)} WHERE {quoted(key.name)} = ? '
        'AND "IsDeleted" = 0 ORDER BY "Id"'
    )
    with org.database.read() as connection:
        return [row[0] for row in connection.execute(sql, (stored,))]


def _several(request: Request, item: ObjectType, ids: Sequence[str]) -> Answer:
    return Answer(300, [f"{request.base}/sobjects/{item.name}/{i}" for i in ids])


def _blob(org: "Org", item: ObjectType, record_id: str, field: Field) -> Answer:
    sql = f'SELECT {quoted(field.name)} FROM {quoted(item.name)} WHERE "Id" = ? AND "IsDeleted" = 0'
    with org.database.read() as connection:
        row = connection.execute(sql, (record_id,)).fetchone()
    if row is None or row[0] is None:
        raise not_found()
    return Answer(200, raw=base64.b64decode(row[0]), media_type="application/octet-stream")


def _parent_of(org: "Org", item: ObjectType, found: Sequence[str]) -> list[str] | None:
    """Return object and id of the parent that `id/Relationship` leads to; None if it is no such.

    Raises:
        ApiError: 404 where the record has no parent there.
    """
    record_id = normalize(found[1])
    reference = item.by_relationship.get(found[2].lower())
    if record_id is None or record_id[:3] != item.prefix or reference is None:
        return None
    sql = f'SELECT {quoted(reference.name)} FROM {quoted(item.name)} WHERE "Id" = ?'
    with org.database.read() as connection:
        row = connection.execute(sql, (record_id,)).fetchone()
    target = org.schema.of_id(row[0]) if row is not None and row[0] else None
    if row is None or target is None:
        raise not_found()
    return [target.name, row[0]]


def _related(org: "Org", request: Request, item: ObjectType, record_id: str, name: str) -> Answer:
    """Follow a relationship by its name: to the parent's record or the children's list."""
    parent = _parent_of(org, item, [item.name, record_id, name])
    if parent is not None:
        return read_row(org, request, parent)
    link = seen_by(org, request).child_link(item.name, name)
    if link is None:
        raise not_found()
    names = [f.name for f in link.child.stored]
    columns = ", ".join(value_sql(link.child, f) for f in link.child.stored)
    sql = (
        f"SELECT {columns} FROM {quoted(link.child.name)} WHERE {quoted(link.field.name)} = ? "
        'AND "IsDeleted" = 0 ORDER BY "Id" LIMIT 2000'
    )
    wanted = request.query.get("fields")
    fields = chosen_fields(link.child, wanted.split(",") if wanted is not None else None)
    with org.database.read() as connection:
        rows = connection.execute(sql, (record_id,)).fetchall()
    records = [
        record_json(link.child, dict(zip(names, r, strict=True)), fields, base=request.base)
        for r in rows
    ]
    return Answer(200, {"totalSize": len(records), "done": True, "records": records})
