"""The WSGI callable: wire to request, request to handler, answer to wire."""

import itertools
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from .. import clock
from ..admin import admin
from ..bulk import calls as bulk
from ..errors import ApiError, not_found
from ..faults import Fault, trickled, truncated
from ..origin import origin, origin_of
from . import collections, composite, event_schemas, extras, graph, info, limits, query, rows, tree
from .auth import authenticate, identity_body, oauth
from .body import inflate
from .fault_targets import objects_of, user_of
from .http import GZIP_FROM, MAX_BODY, MAX_UPLOAD, Answer, Request, deflate
from .routing import METHODS, Router, route, split_path, split_query

if TYPE_CHECKING:
    from ..org import Org

MAX_URI = 16_384
VERSION = re.compile(r"v([1-9]\d{0,2}\.\d)\Z", re.IGNORECASE)
ROUTER = Router(
    [
        route("sobjects", GET=info.global_describe),
        route("sobjects/*", GET=info.basic_info, POST=rows.create_row),
        route("sobjects/*/describe", GET=info.describe),
        route("sobjects/*/describe/*", GET=extras.no_pages),
        route("sobjects/*/listviews", GET=extras.no_pages),
        route("sobjects/*/quickactions", GET=extras.no_pages),
        route("sobjects/*/eventschema", GET=event_schemas.of_event),
        route("event/eventschema/*", GET=event_schemas.by_id),
        route("sobjects/*/updated", GET=query.updated),
        route("sobjects/*/deleted", GET=query.deleted),
        route(
            "sobjects/*/*",
            GET=rows.read_row,
            PATCH=rows.update_row,
            DELETE=rows.delete_row,
            POST=rows.insert_through_upsert,
        ),
        route(
            "sobjects/*/*/*",
            GET=rows.get_nested,
            PATCH=rows.upsert_row,
            POST=rows.upsert_row,
            DELETE=rows.delete_by_key,
        ),
        route("query", GET=query.query),
        route("query/*", GET=query.query_more),
        route("queryall", GET=query.query_all),
        route("queryall/*", GET=query.query_more),
        route("recent", GET=extras.recent),
        route("search", GET=extras.search),
        route(
            "parameterizedsearch",
            GET=extras.parameterized_search,
            POST=extras.parameterized_search,
        ),
        route("actions", GET=extras.actions),
        route("actions/*", GET=extras.action_list),
        route("actions/*/*", GET=extras.action, POST=extras.action),
        route("actions/*/*/*", GET=extras.action, POST=extras.action),
        route("jobs/ingest", GET=bulk.list_ingest, POST=bulk.create_ingest),
        route(
            "jobs/ingest/*",
            GET=bulk.info_ingest,
            PATCH=bulk.change_ingest,
            DELETE=bulk.delete_ingest,
        ),
        route("jobs/ingest/*/batches", PUT=bulk.upload),
        route("jobs/ingest/*/successfulresults", GET=bulk.successful),
        route("jobs/ingest/*/failedresults", GET=bulk.failed),
        route("jobs/ingest/*/unprocessedrecords", GET=bulk.unprocessed),
        route("jobs/query", GET=bulk.list_query, POST=bulk.create_query),
        route(
            "jobs/query/*",
            GET=bulk.info_query,
            PATCH=bulk.change_query,
            DELETE=bulk.delete_query,
        ),
        route("jobs/query/*/results", GET=bulk.results),
        route("jobs/query/*/resultpages", GET=bulk.result_pages),
        route("limits", GET=limits.limits),
        route("limits/recordcount", GET=limits.record_count),
        route("composite", POST=composite.composite),
        route("composite/batch", POST=composite.batch),
        route("composite/graph", POST=graph.graphs),
        route("composite/tree/*", POST=tree.create_tree),
        route(
            "composite/sobjects",
            POST=collections.create_many,
            PATCH=collections.update_many,
            DELETE=collections.delete_many,
        ),
        route(
            "composite/sobjects/*", GET=collections.read_many, POST=collections.read_many_by_body
        ),
        route("composite/sobjects/*/*", PATCH=collections.upsert_many),
    ]
)
REASONS = {status.value: status.phrase for status in HTTPStatus} | {420: "Site Unavailable"}
OAUTH_PATH = "/services/oauth2/"  # errors below it have a form of their own
SOAP_PATH = "/services/soap/"  # errors below it are told as faults
StartResponse = Callable[[str, list[tuple[str, str]]], Any]


LOG = logging.getLogger("l2c_sandbox")


def _soap(org: "Org", request: Request, segments: Sequence[str]) -> Answer:
    # SOAP takes a while to load: only who speaks it waits for it.
    from ..soap.endpoint import soap, wsdl

    answer = soap if segments[1].lower() == "soap" else wsdl
    return answer(org, request, segments)


def _as_fault(answer: Answer) -> Answer:
    from ..soap.endpoint import as_fault

    return as_fault(answer)


def _stumbled(number: str) -> Answer:
    message = (
        "An unexpected error occurred. Please include this ErrorId if you contact support: "
        f"{number}"
    )
    return Answer(500, ApiError(500, "UNKNOWN_EXCEPTION", message).body(), counted=False)


class ConnectionDropped(Exception):
    """A fault cuts the connection: no answer is to be written."""


def answer_inner(org: "Org", request: Request) -> Answer:
    """Answer a versioned call whose caller is known, errors included."""
    try:
        return _versioned(org, request)
    except ApiError as error:
        return Answer(error.status, error.body())


def _versioned(org: "Org", request: Request) -> Answer:
    segments = split_path(request.path)[2:]
    match = VERSION.match(segments[0])
    if match is None:
        raise not_found()
    number = int(match.group(1).split(".")[0])
    if number < info.FIRST_VERSION:
        message = f"The requested API version {match.group(1)} is no longer supported."
        raise ApiError(410 if number <= 30 else 404, "UNSUPPORTED_API_VERSION", message)
    if number > info.LAST_VERSION or not match.group(1).endswith(".0"):
        raise not_found()
    _check_accepted(request.headers.get("accept", ""))
    request.version = match.group(1)
    if request.session is None:
        request.session = authenticate(org, request)
        if not org.meter.count():
            message = "TotalRequests Limit exceeded."
            raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", message)
    if len(segments) == 1:
        return info.resources(org, request)
    if org.in_transaction:
        return ROUTER.dispatch(org, request, segments[1:])
    return org.locks.patiently(lambda: ROUTER.dispatch(org, request, segments[1:]))


def _check_accepted(accept: str) -> None:
    """Refuse a caller who wants XML and nothing else."""
    if "xml" in accept and not any(kind in accept for kind in ("json", "csv", "*/*")):
        message = "Only application/json is provided by the local org"
        raise ApiError(406, "NOT_ACCEPTABLE", message)


class Application:
    """Serves one org over WSGI."""

    def __init__(self, org: "Org", *, facts: Callable[[], dict[str, Any]]) -> None:
        self._org = org
        self._facts = facts
        self._numbers = itertools.count(1)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        try:
            answer, request = self._answer(environ)
        except ConnectionDropped:
            environ["l2c_sandbox.drop"]()
            return []
        except ApiError as error:
            answer, request = Answer(error.status, error.body(), counted=False), None
        except RecursionError:
            deep = ApiError(400, "JSON_PARSER_ERROR", "the request is nested too deeply")
            answer, request = Answer(deep.status, deep.body(), counted=False), None
        except Exception:
            answer, request = self._stumble(), None
        if environ["PATH_INFO"].lower().startswith(SOAP_PATH):
            answer = _as_fault(answer)
        try:
            return self._write(environ, start_response, answer, request)
        except (TypeError, ValueError):
            # Nothing has been written yet: the answer could not be put into words.
            return self._write(environ, start_response, self._stumble(), request)

    def _stumble(self) -> Answer:
        """Answer a bug of the local org, told on standard error, as an org would."""
        number = f"{next(self._numbers)}"
        LOG.exception("sandbox.bug error_id=%s", number)
        return _stumbled(number)

    def _answer(self, environ: dict[str, Any]) -> tuple[Answer, Request]:
        request = self._read(environ)
        number = None
        if request.path.startswith("/services/"):
            number = self._org.long_calls.begin()
            if number is None:
                message = "ConcurrentPerOrgLongTxn Limit exceeded."
                error = ApiError(403, "REQUEST_LIMIT_EXCEEDED", message)
                return Answer(403, error.body()), request
        try:
            return self._faulty(request), request
        finally:
            if number is not None:
                self._org.long_calls.end(number)

    def _faulty(self, request: Request) -> Answer:
        """Answer a request with the faults scheduled for it."""
        fault = self._fault_before(request)
        try:
            if fault is not None and request.path.lower().startswith(OAUTH_PATH):
                return Answer(fault.status, fault.oauth_error(), counted=False)
            if fault is not None:
                raise fault.error()
            answer = self._route(request)
        except ApiError as error:
            counted = error.status != 401
            answer = Answer(error.status, error.body(), counted=counted)
        if self._fault(request, "drop_after") is not None:
            raise ConnectionDropped
        return answer

    def _fault(self, request: Request, *kinds: str) -> Fault | None:
        """Return the scheduled fault of some kinds that hits a request."""
        faults = self._org.faults
        if not faults.any or request.path.startswith("/__sandbox__"):
            return None
        return faults.for_request(
            request.path,
            kinds,
            user=user_of(self._org, request),
            objects=lambda: objects_of(self._org, request),
        )

    def _fault_before(self, request: Request) -> Fault | None:
        latency = self._fault(request, "latency")
        if latency is not None:
            clock.pause(latency.seconds)
        if self._fault(request, "drop_before") is not None:
            raise ConnectionDropped
        return self._fault(request, "http")

    def _route(self, request: Request) -> Answer:
        segments = split_path(request.path)
        head = [part.lower() for part in segments[:2]]
        origin.set(origin_of(request.path, request.headers.get("sforce-call-options", "")))
        if head == ["services", "data"]:
            if len(segments) == 2:
                return Answer(200, info.versions(), counted=False)
            return _versioned(self._org, request)
        if head in (["services", "soap"], ["services", "wsdl"]):
            return _soap(self._org, request, segments)
        if head == ["services", "async"]:
            return bulk.refuse_bulk_one(self._org, request)
        if head == ["services", "oauth2"] and len(segments) == 3:
            return oauth(self._org, request, segments[2].lower())
        if head[:1] == ["id"] and len(segments) == 3:
            authenticate(self._org, request)
            return Answer(200, identity_body(self._org, request, segments[2]), counted=False)
        if head[:1] == ["__sandbox__"]:
            return admin(self._org, request, segments[1:], facts=self._facts)
        raise not_found()

    def _read(self, environ: dict[str, Any]) -> Request:
        method = environ["REQUEST_METHOD"]
        # Before anything is refused: what is left of a body would be taken for the next request.
        most = MAX_UPLOAD if method == "PUT" else MAX_BODY
        body = environ["wsgi.input"].read(most)
        if method not in METHODS:
            raise ApiError(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{method}' not allowed.")
        uri = environ.get("REQUEST_URI") or environ["PATH_INFO"]
        if len(uri) > MAX_URI:
            raise ApiError(414, "URI_TOO_LONG", "URI Too Long")
        path, _, query_text = uri.partition("?")
        if path.startswith("http"):
            path = "/" + path.split("/", 3)[-1]
        headers = {
            key[5:].replace("_", "-").lower(): value
            for key, value in environ.items()
            if key.startswith("HTTP_")
        }
        if len(uri) + sum(len(k) + len(v) for k, v in headers.items()) > MAX_URI:
            raise ApiError(431, "REQUEST_HEADER_FIELDS_TOO_LARGE", "headers too large")
        if environ.get("CONTENT_TYPE"):
            headers["content-type"] = environ["CONTENT_TYPE"]
        body = inflate(body, encoding=headers.get("content-encoding", ""), most=most)
        return Request(
            method=method,
            path=path,
            query=split_query(query_text),
            headers=headers,
            body=body,
            origin=f"{environ['wsgi.url_scheme']}://{headers.get('host', 'localhost')}",
            request_id=f"r{next(self._numbers)}",
            peer=environ.get("REMOTE_ADDR", ""),
        )

    def _write(
        self,
        environ: dict[str, Any],
        start_response: StartResponse,
        answer: Answer,
        request: Request | None,
    ) -> Iterable[bytes]:
        headers = dict(answer.headers)
        if clock.is_manual():
            headers["Date"] = formatdate(clock.epoch_s(), usegmt=True)
        pretty = request is not None and request.headers.get("x-prettyprint") == "1"
        content = answer.content(pretty=pretty)
        accepts = request.headers.get("accept-encoding", "") if request is not None else ""
        if len(content) >= GZIP_FROM and "gzip" in accepts:
            content = deflate(content)
            headers["Content-Encoding"] = "gzip"
        if content:
            headers["Content-Type"] = answer.media_type
        if answer.counted:
            headers["Sforce-Limit-Info"] = self._org.meter.header()
        if answer.status not in {204, 304}:
            headers["Content-Length"] = str(len(content))
        start_response(
            f"{answer.status} {REASONS.get(answer.status, 'Unknown')}", [*headers.items()]
        )
        if environ["REQUEST_METHOD"] == "HEAD":
            return []
        fault = self._fault(request, "truncate", "trickle") if request is not None else None
        if fault is None or not content:
            return [content]
        if fault.kind == "trickle":
            return trickled(content, seconds=fault.seconds)
        return truncated(content, drop=environ["l2c_sandbox.drop"])
