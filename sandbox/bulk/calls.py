"""The calls below /jobs (fact sheet E.1, E.4)."""

import base64
import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from .. import clock
from ..errors import ApiError, not_found
from ..ids import normalize
from ..origin import origin
from ..rest.http import Answer, Request, parse_json
from ..rest.rows import seen_by
from ..schema.model import FieldType, Schema
from . import store
from .errors import async_error, client_input, invalid_job, invalid_state
from .extract import RESULT, header_line, plan_bulk
from .ingest import FAILED, SUCCESSFUL
from .job import (
    DELIMITERS,
    FINAL,
    INGEST_OPERATIONS,
    LINE_ENDINGS,
    QUERY_OPERATIONS,
    Job,
    State,
)
from .text import BadUploadError, Upload

if TYPE_CHECKING:
    from ..org import Org

CSV_TYPE = "text/csv;charset=UTF-8"
MOST_MULTIPART = 100_000
LISTED = 1_000
DEFAULT_PAGE = 50_000
PARALLEL_PAGES = 5
NOBODY_WAITS_FOR = frozenset({State.UPLOAD_COMPLETE, *FINAL})


def create_ingest(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """POST /jobs/ingest; in several parts it brings the data along."""
    content: bytes | None = None
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        body, content = _parts(request)
    else:
        body = request.json_object()
    job = _new_job(org, request, body, is_query=False, operations=INGEST_OPERATIONS)
    _aim(seen_by(org, request), job, body)
    org.bulk.check_quota()
    with org.bulk.changing() as connection:
        job.id = store.next_id(connection)
        if content is not None:
            store.put_upload(connection, job.id, content)
            job.state = State.UPLOAD_COMPLETE
        store.save(connection, job)
    return Answer(200, job.as_created())


def _aim(schema: Schema, job: Job, body: dict[str, Any]) -> None:
    """Read what the data is for: object, external id, assignment rule."""
    name = _text_of(body, "object")
    item = schema.find(name) if name else None
    if item is None:
        raise ApiError(400, "INVALIDENTITY", f"Unable to find object: {name}")
    job.object = item.name
    job.assignment_rule = _text_of(body, "assignmentRuleId")
    external_id = _text_of(body, "externalIdFieldName")
    if job.operation != "upsert":
        return
    if not external_id:
        message = f"External ID was blank for {item.name}. An External ID must be specified for "
        raise invalid_job(message + "upsert.")
    field = item.find(external_id)
    keys = field is not None and (
        field.external_id or field.id_lookup or field.type is FieldType.ID
    )
    if field is None or not keys:
        raise invalid_job(
            f"Field name provided, {external_id} does not match an External ID, Salesforce Id, "
            f"or indexed field for {item.name}"
        )
    job.external_id = field.name


def _new_job(
    org: "Org",
    request: Request,
    body: dict[str, Any],
    *,
    is_query: bool,
    operations: Sequence[str],
) -> Job:
    operation = _text_of(body, "operation")
    if operation is None or operation not in operations:
        raise ApiError(400, "INVALIDOPERATION", f"Unknown operation: {operation}")
    if (_text_of(body, "contentType") or "CSV") != "CSV":
        raise invalid_job("The only content type of Bulk API 2.0 is CSV")
    actor = request.me.actor
    now_s = clock.epoch_s()
    return Job(
        id="",
        is_query=is_query,
        operation=operation,
        object="",
        state=State.UPLOAD_COMPLETE if is_query else State.OPEN,
        user_id=actor.user_id,
        username=actor.username,
        version=request.version,
        origin=origin.get(),
        created_s=now_s,
        changed_s=now_s,
        line_ending=_choice(body, "lineEnding", LINE_ENDINGS, "LF"),
        delimiter=_choice(body, "columnDelimiter", DELIMITERS, "COMMA"),
    )


def _text_of(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        message = f"{name} must be a string at [line:1, column:1]"
        raise ApiError(400, "JSON_PARSER_ERROR", message)
    return value


def _choice(body: dict[str, Any], name: str, known: dict[str, str], default: str) -> str:
    value = _text_of(body, name) or default
    if value not in known:
        raise invalid_job(f"{name} must be one of {', '.join(known)}: {value}")
    return value


def _parts(request: Request) -> tuple[dict[str, Any], bytes]:
    """Return the job and the data of a call in several parts."""
    # Hardly anybody sends one, and the reader takes a while to load.
    from email.parser import BytesParser
    from email.policy import HTTP

    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + request.body)
    found: dict[str, bytes] = {}
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(payload, bytes):
            found[str(name)] = payload
    if "job" not in found or "content" not in found:
        raise client_input("a multipart request needs the parts job and content")
    body = parse_json(found["job"])
    if not isinstance(body, dict):
        raise client_input("the part job must be a JSON object")
    if len(found["content"].decode("utf-8", "replace")) > MOST_MULTIPART:
        raise client_input(f"the part content has more than {MOST_MULTIPART} characters")
    return body, found["content"]


def upload(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """PUT /jobs/ingest/id/batches."""
    media = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media != "text/csv":
        message = f"unsupported content type: {media or 'none'}; it must be text/csv"
        raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", message)
    with org.bulk.changing() as connection:
        job = _find(connection, found[0], is_query=False)
        if job.state is not State.OPEN:
            message = f"Invalid job state: data is taken in state Open only, not {job.state}"
            raise invalid_state(message)
        if not store.put_upload(connection, job.id, request.body):
            raise client_input(
                f"Found multiple contents for job: <{job.id}>, please 'Close' / 'Abort' / "
                "'Delete' the current Job then create a new Job and make sure you only do 'PUT' "
                "once on a given Job."
            )
    return Answer(201)


def change_ingest(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """PATCH /jobs/ingest/id: UploadComplete or Aborted."""
    return _change(org, request, found[0], is_query=False)


def change_query(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """PATCH /jobs/query/id: Aborted."""
    return _change(org, request, found[0], is_query=True)


def _change(org: "Org", request: Request, job_id: str, *, is_query: bool) -> Answer:
    wanted = _text_of(request.json_object(), "state")
    if wanted not in {State.UPLOAD_COMPLETE, State.ABORTED} or (
        is_query and wanted != State.ABORTED
    ):
        raise invalid_job(f"Unknown job state: {wanted}")
    with org.bulk.changing() as connection:
        job = _find(connection, job_id, is_query=is_query)
        if wanted == State.UPLOAD_COMPLETE and job.state is not State.OPEN:
            raise invalid_state(f"Closing already {job.state} Job not allowed")
        if wanted == State.ABORTED and job.state in FINAL:
            raise invalid_state(f"Aborting already {job.state} Job not allowed")
        job.state = State(wanted)
        job.changed_s = clock.epoch_s()
        store.save(connection, job)
    return Answer(200, job.as_short())


def info_ingest(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /jobs/ingest/id."""
    return _info(org, found[0], is_query=False)


def info_query(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /jobs/query/id."""
    return _info(org, found[0], is_query=True)


def _info(org: "Org", job_id: str, *, is_query: bool) -> Answer:
    with org.bulk.reading() as connection:
        return Answer(200, _find(connection, job_id, is_query=is_query).as_info())


def delete_ingest(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """DELETE /jobs/ingest/id."""
    return _delete(org, found[0], is_query=False, allowed=NOBODY_WAITS_FOR)


def delete_query(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """DELETE /jobs/query/id."""
    return _delete(org, found[0], is_query=True, allowed=FINAL)


def _delete(org: "Org", job_id: str, *, is_query: bool, allowed: frozenset[State]) -> Answer:
    with org.bulk.changing() as connection:
        job = _find(connection, job_id, is_query=is_query)
        if job.state not in allowed:
            raise invalid_state(f"Deleting {job.state} Job not allowed; abort it first")
        store.delete(connection, job.id)
    return Answer(204)


def list_ingest(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /jobs/ingest."""
    return _list(org, request, is_query=False)


def list_query(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /jobs/query."""
    return _list(org, request, is_query=True)


def _list(org: "Org", request: Request, *, is_query: bool) -> Answer:
    after = request.query.get("queryLocator", "")
    kind = request.query.get("jobType", "V2Query" if is_query else "V2Ingest")
    mine = kind.lower() == ("v2query" if is_query else "v2ingest")
    jobs: list[Job] = []
    if mine and not request.flag("isPkChunkingEnabled"):
        with org.bulk.reading() as connection:
            jobs = store.page(connection, is_query=is_query, after=after, most=LISTED + 1)
    done = len(jobs) <= LISTED
    jobs = jobs[:LISTED]
    further = None
    if not done:
        where = f"{request.base}/jobs/{'query' if is_query else 'ingest'}"
        further = f"{where}?{urlencode({'queryLocator': jobs[-1].id})}"
    records = [job.as_listed() for job in jobs]
    return Answer(200, {"done": done, "records": records, "nextRecordsUrl": further})


def _find(connection: Any, job_id: str, *, is_query: bool) -> Job:
    known = normalize(job_id)
    job = store.find(connection, known, is_query=is_query) if known else None
    if job is None:
        raise not_found()
    return job


# --- results of ingest jobs ---


def successful(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /jobs/ingest/id/successfulResults."""
    return _results(org, request, found[0], kind=SUCCESSFUL, first=("sf__Id", "sf__Created"))


def failed(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /jobs/ingest/id/failedResults."""
    return _results(org, request, found[0], kind=FAILED, first=("sf__Id", "sf__Error"))


def _results(
    org: "Org", request: Request, job_id: str, *, kind: str, first: Sequence[str]
) -> Answer:
    start, most = _window(request, default=None)
    with org.bulk.reading() as connection:
        job = _ended(connection, job_id, is_query=False)
        header = _header(store.upload(connection, job.id), job)
        names = [f'"{name}"' for name in first]
        head = job.separator.join([*names, *([header] if header else [])]) + job.newline
        total = store.line_count(connection, job.id, kind)
        lines = [head, *store.lines(connection, job.id, kind, start=start, most=most or total)]
    return _csv(lines, following=start + len(lines) - 1, total=total)


def _header(content: bytes | None, job: Job) -> str:
    """Return the header as it was uploaded."""
    try:
        upload_ = Upload(content or b"", job)
    except BadUploadError:
        return ""
    return upload_.head.rstrip("\r\n")


def unprocessed(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /jobs/ingest/id/unprocessedrecords: rows that were not reached, as uploaded."""
    with org.bulk.reading() as connection:
        job = _ended(connection, found[0], is_query=False)
        content = store.upload(connection, job.id) or b""
    try:
        text = Upload(content, job).rest(job.next_row, job.waiting)
    except BadUploadError:
        return Answer(200, raw=content, media_type=CSV_TYPE)
    return Answer(200, raw=text.encode(), media_type=CSV_TYPE)


def _ended(connection: Any, job_id: str, *, is_query: bool) -> Job:
    job = _find(connection, job_id, is_query=is_query)
    if job.state not in FINAL:
        raise invalid_state(f"Results are not available yet: the job is in state {job.state}")
    return job


# --- query jobs ---


def create_query(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """POST /jobs/query."""
    body = request.json_object()
    job = _new_job(org, request, body, is_query=True, operations=QUERY_OPERATIONS)
    job.query = _text_of(body, "query")
    if not job.query:
        raise invalid_job("A query job needs a query")
    plan = plan_bulk(seen_by(org, request), job.query, include_deleted=job.operation == "queryAll")
    job.object = plan.item.name
    org.bulk.count_query()
    with org.bulk.changing() as connection:
        job.id = store.next_id(connection)
        store.save(connection, job)
    return Answer(200, job.as_created())


def results(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /jobs/query/id/results."""
    start, most = _window(request, default=DEFAULT_PAGE)
    with org.bulk.reading() as connection:
        job = _complete(connection, request, found[0])
        total = store.line_count(connection, job.id, RESULT)
        if start and start >= total:
            raise client_input("The locator is not valid for this job")
        rows = list(store.lines(connection, job.id, RESULT, start=start, most=most or total))
    plan = plan_bulk(org.schema, job.query or "", include_deleted=True)
    return _csv([header_line(plan, job), *rows], following=start + len(rows), total=total)


def result_pages(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /jobs/query/id/resultPages: addresses of pages to be fetched side by side."""
    start, most = _window(request, default=DEFAULT_PAGE)
    size = most or DEFAULT_PAGE
    with org.bulk.reading() as connection:
        job = _complete(connection, request, found[0])
        total = store.line_count(connection, job.id, RESULT)
    base = f"{request.base}/jobs/query/{job.id}"
    places = list(range(start, max(total, 1), size))
    pages = [
        {"resultLink": f"{base}/results?{urlencode({'locator': _locator(at), 'maxRecords': size})}"}
        for at in places[:PARALLEL_PAGES]
    ]
    body: dict[str, Any] = {"resultPages": pages, "done": len(places) <= PARALLEL_PAGES}
    if not body["done"]:
        further = {"locator": _locator(places[PARALLEL_PAGES]), "maxRecords": size}
        body["nextRecordsUrl"] = f"{base}/resultPages?{urlencode(further)}"
    return Answer(200, body)


def _complete(connection: Any, request: Request, job_id: str) -> Job:
    job = _find(connection, job_id, is_query=True)
    if job.state is not State.JOB_COMPLETE:
        raise invalid_state(f"Results are not available: the job is in state {job.state}")
    if job.version != request.version:
        message = f"The job was created with version {job.version}; read its results with it too"
        raise ApiError(409, "API_ERROR", message)
    return job


def _window(request: Request, *, default: int | None) -> tuple[int, int | None]:
    """Return from where, and how many rows at most."""
    text = request.query.get("maxRecords")
    most = default
    if text is not None:
        if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text)):
            raise client_input(f"maxRecords must be a positive whole number: {text}")
        most = int(text)
    locator = request.query.get("locator", "")
    if locator in {"", "null"}:
        return 0, most
    try:
        plain = base64.urlsafe_b64decode(locator + "=" * (-len(locator) % 4))
    except (binascii.Error, ValueError):
        plain = b""
    if not (plain.isdigit() and len(plain) < 12):
        raise client_input(f"The locator is not valid for this job: {locator}")
    return int(plain), most


def _locator(place: int) -> str:
    return base64.urlsafe_b64encode(str(place).encode()).decode().rstrip("=")


def _csv(lines: Sequence[str], *, following: int, total: int) -> Answer:
    headers = {
        "Sforce-Locator": _locator(following) if following < total else "null",
        "Sforce-NumberOfRecords": str(len(lines) - 1),
    }
    return Answer(200, raw="".join(lines).encode(), media_type=CSV_TYPE, headers=headers)


# --- the first Bulk API ---


def refuse_bulk_one(org: "Org", request: Request) -> Answer:
    """Answer /services/async as an org whose async API is switched off (fact sheet E.7)."""
    session = org.sessions.find(request.headers.get("x-sfdc-session", ""))
    error = ("FeatureNotEnabled", "Async API not enabled")
    if session is None:
        error = ("InvalidSessionId", "Unable to find session id")
    return Answer(400, raw=async_error(*error), media_type="application/xml", counted=False)
