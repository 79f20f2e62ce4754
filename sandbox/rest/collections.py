"""Collections: up to 200 records per call, each with its own outcome (fact sheet D.4)."""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ..errors import ApiError, RowError
from ..ids import normalize
from ..records.delete import delete_record
from ..records.read import chosen_fields, read_records
from ..records.save import Writer
from ..records.service import Outcome, create, update, upsert
from ..schema.model import ObjectType, Schema
from .http import Answer, Request
from .rows import object_of, seen_by, unknown_key

if TYPE_CHECKING:
    from ..org import Org

MOST = 200
MOST_CHUNKS = 10
MOST_READ = 2_000
ROLLED_BACK = RowError(
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "Record rolled back because not all records were valid and the request was using "
    "AllOrNone header",
)
JsonObject = dict[str, Any]


class _RollBack(Exception):
    """Undoes the records of a call in which one failed."""


def create_many(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """POST /composite/sobjects."""
    body = request.json_object()
    records = _records(body)

    def save(writer: Writer) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for item, chunk in _chunks(seen_by(org, request), records):
            outcomes += create(writer, item, chunk)
        return outcomes

    outcomes = _all_or_none(org, request, body, save)
    return Answer(200, [outcome.as_result() for outcome in outcomes])


def update_many(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """PATCH /composite/sobjects."""
    body = request.json_object()
    records = _records(body)

    def save(writer: Writer) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for item, chunk in _chunks(seen_by(org, request), records):
            outcomes += update(writer, item, [_without(row, "id") for row in chunk])
        return outcomes

    outcomes = _all_or_none(org, request, body, save)
    return Answer(200, [outcome.as_result() for outcome in outcomes])


def upsert_many(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """PATCH /composite/sobjects/T/ext."""
    item = object_of(org, found[0], request)
    key = item.find(found[1])
    if key is None or not (key.external_id or key.id_lookup):
        raise unknown_key(found[1])
    body = request.json_object()
    records = _records(body)
    for other, _ in _chunks(seen_by(org, request), records):
        if other.name != item.name:
            message = f"All records must be of type {item.name}"
            raise ApiError(400, "INVALID_TYPE", message)
    rows = [_without(row, key.name.lower()) for row in records]

    def save(writer: Writer) -> list[Outcome]:
        return upsert(writer, item, key, rows)

    outcomes = _all_or_none(org, request, body, save)
    return Answer(200, [outcome.as_result(with_created=True) for outcome in outcomes])


def delete_many(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """DELETE /composite/sobjects?ids=."""
    ids = [part.strip() for part in request.query.get("ids", "").split(",") if part.strip()]
    _check_count(ids)

    def save(writer: Writer) -> list[Outcome]:
        outcomes = []
        for text in ids:
            record_id = normalize(text)
            if record_id is None:
                error: RowError | None = RowError("MALFORMED_ID", f"malformed id {text}")
            else:
                error = delete_record(writer, record_id)
            errors = (error,) if error is not None else ()
            outcomes.append(Outcome(id=record_id, created=False, errors=errors))
        return outcomes

    outcomes = _all_or_none(org, request, {"allOrNone": request.flag("allOrNone")}, save)
    return Answer(200, [outcome.as_result() for outcome in outcomes])


def read_many(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /composite/sobjects/T?ids=&fields=."""
    ids = [part.strip() for part in request.query.get("ids", "").split(",")]
    fields = [part for part in request.query.get("fields", "").split(",") if part]
    return _read(org, request, found[0], ids, fields)


def read_many_by_body(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """POST /composite/sobjects/T with ids and fields."""
    body = request.json_object()
    ids, fields = body.get("ids"), body.get("fields")
    if not (_texts(ids) and _texts(fields)) or ids is None or fields is None:
        message = "ids and fields must be lists of strings at [line:1, column:1]"
        raise ApiError(400, "JSON_PARSER_ERROR", message)
    return _read(org, request, found[0], ids, fields)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _read(
    org: "Org", request: Request, name: str, ids: Sequence[str], fields: Sequence[str]
) -> Answer:
    item = object_of(org, name, request)
    if not ids or not fields:
        raise ApiError(400, "REQUIRED_FIELD_MISSING", "ids and fields have to be specified")
    if len(ids) > MOST_READ:
        message = f"record limit reached. cannot retrieve more than {MOST_READ} records"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", message)
    chosen = chosen_fields(item, fields)
    known = [normalize(text) for text in ids]
    with org.database.read() as connection:
        wanted = [record_id for record_id in known if record_id is not None]
        rows = read_records(connection, item, wanted, chosen, base=request.base)
    return Answer(200, [rows.get(record_id) if record_id else None for record_id in known])


def _records(body: JsonObject) -> list[JsonObject]:
    records = body.get("records")
    if not isinstance(records, list) or not all(isinstance(row, dict) for row in records):
        message = "records must be a list of objects at [line:1, column:1]"
        raise ApiError(400, "JSON_PARSER_ERROR", message)
    _check_count(records)
    return records


def _check_count(records: Sequence[Any]) -> None:
    if not records:
        raise ApiError(400, "REQUIRED_FIELD_MISSING", "At least 1 record is required")
    if len(records) > MOST:
        message = "record limit reached. cannot submit more than 200 records in this operation"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", message)


def _chunks(
    schema: Schema, records: Sequence[JsonObject]
) -> list[tuple[ObjectType, list[JsonObject]]]:
    """Return consecutive records of one type together."""
    chunks = []
    for name, rows in groupby(records, key=_type_of):
        item = schema.find(name)
        if item is None:
            raise ApiError(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.")
        chunks.append((item, list(rows)))
    if len(chunks) > MOST_CHUNKS:
        message = "The request has more than 10 chunks of records; sort them by type"
        raise ApiError(400, "LIMIT_EXCEEDED", message)
    return chunks


def _type_of(record: JsonObject) -> str:
    attributes = record.get("attributes")
    name = attributes.get("type") if isinstance(attributes, dict) else None
    if not isinstance(name, str):
        message = "The attributes of a record must name its type"
        raise ApiError(400, "INVALID_TYPE", message)
    return name


def _without(record: JsonObject, name: str) -> tuple[Any, JsonObject]:
    """Return the value of one field (in any casing) and the record without it."""
    rest = {}
    value = None
    for key, given in record.items():
        if key.lower() == name:
            value = given
        else:
            rest[key] = given
    return value, rest


def _all_or_none(
    org: "Org", request: Request, body: JsonObject, save: Callable[[Writer], list[Outcome]]
) -> list[Outcome]:
    """Save; where one fails and the caller wants all or none, keep none."""
    outcomes: list[Outcome] = []
    all_or_none = body.get("allOrNone") is True
    with org.transaction(request.me.actor, request_id=request.request_id) as writer:
        try:
            with writer.tx.savepoint():
                outcomes = save(writer)
                if all_or_none and any(outcome.errors for outcome in outcomes):
                    raise _RollBack
        except _RollBack:
            return [
                outcome
                if outcome.errors
                else Outcome(id=outcome.id, created=False, errors=(ROLLED_BACK,))
                for outcome in outcomes
            ]
    return outcomes
