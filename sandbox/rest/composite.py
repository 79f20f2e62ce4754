"""Several calls in one: /composite and /composite/batch (fact sheet D.2, D.3)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..errors import ApiError
from .http import Answer, Request
from .routing import split_query

if TYPE_CHECKING:
    from ..org import Org

MOST = 25
MOST_HEAVY = 5
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
FORBIDDEN_HEADERS = frozenset({"accept", "authorization", "content-type"})
SHOWN_HEADERS = frozenset({"Location", "ETag", "Last-Modified"})
REFERENCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]*\Z")
REFERENCE = re.compile(r"@\{([A-Za-z0-9][A-Za-z0-9_]*)((?:\.[A-Za-z_]\w*|\[\d+\])*)\}")
STEP = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+)\]")
VERSIONED = re.compile(r"/services/data/v\d+\.\d+/")
NESTED = re.compile(r"/composite(/batch|/tree|/graph|/?$|\?)", re.IGNORECASE)
HEAVY = re.compile(r"/services/data/v[\d.]+/(composite/sobjects|query|queryAll)\b", re.IGNORECASE)
HALTED = "The transaction was rolled back since another operation in the same transaction failed."


class RollBack(Exception):
    """Undoes all parts of a call in which one failed."""


class _UnknownReference(Exception):
    """A reference to something that no earlier part answered."""


@dataclass(slots=True)
class Part:
    """One subrequest."""

    method: str
    url: str
    reference_id: str
    body: Any
    headers: dict[str, str]


@dataclass(slots=True)
class Result:
    """What a subrequest answered."""

    reference_id: str
    status: int
    body: Any
    headers: dict[str, str]

    @property
    def failed(self) -> bool:
        """Whether it was refused."""
        return self.status >= 400

    def as_json(self) -> dict[str, Any]:
        """Return the item of the answer."""
        return {
            "body": self.body,
            "httpHeaders": self.headers,
            "httpStatusCode": self.status,
            "referenceId": self.reference_id,
        }


def composite(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """POST /composite."""
    body = request.json_object()
    parts = read_parts(body)
    if body.get("allOrNone") is not True:
        results = run_parts(org, request, parts, all_or_none=False)
        return Answer(200, {"compositeResponse": [r.as_json() for r in results]})
    results = []
    try:
        with org.transaction(request.me.actor, request_id=request.request_id):
            results = run_parts(org, request, parts, all_or_none=True)
            if any(result.failed for result in results):
                raise RollBack
    except RollBack:
        results = halted(parts, results)
    return Answer(200, {"compositeResponse": [r.as_json() for r in results]})


def read_parts(body: dict[str, Any], *, most: int = MOST) -> list[Part]:
    """Return the subrequests of a call.

    Raises:
        ApiError: One of them, or their number, is refused.
    """
    items = body.get("compositeRequest")
    if not isinstance(items, list) or not items:
        message = "compositeRequest must be a list of subrequests at [line:1, column:1]"
        raise ApiError(400, "JSON_PARSER_ERROR", message)
    if len(items) > most:
        message = f"The request can have no more than {most} subrequests"
        raise ApiError(400, "INVALID_INPUT", message)
    parts = [_part(item) for item in items]
    names = [part.reference_id for part in parts]
    if len(set(names)) != len(names):
        raise ApiError(400, "INVALID_INPUT", "The referenceId values must be unique")
    if sum(1 for part in parts if HEAVY.match(part.url)) > MOST_HEAVY:
        message = f"The request can have no more than {MOST_HEAVY} query or collection operations"
        raise ApiError(400, "INVALID_INPUT", message)
    return parts


def _part(item: Any) -> Part:
    if not isinstance(item, dict):
        message = "a subrequest must be an object at [line:1, column:1]"
        raise ApiError(400, "JSON_PARSER_ERROR", message)
    method, url, name = item.get("method"), item.get("url"), item.get("referenceId")
    if not isinstance(name, str) or not REFERENCE_ID.match(name):
        message = f"Provided referenceId ({name}) is not valid"
        raise ApiError(400, "INVALID_INPUT", message)
    if method not in METHODS:
        raise ApiError(400, "INVALID_INPUT", f"Unsupported HTTP method: {method}")
    if not isinstance(url, str) or not VERSIONED.match(url):
        raise ApiError(400, "INVALID_INPUT", f"Invalid subrequest url: {url}")
    headers = item.get("httpHeaders") or {}
    if not isinstance(headers, dict) or any(h.lower() in FORBIDDEN_HEADERS for h in headers):
        message = "httpHeaders cannot contain Accept, Authorization or Content-Type"
        raise ApiError(400, "INVALID_INPUT", message)
    return Part(
        method=method,
        url=url,
        reference_id=name,
        body=item.get("body"),
        headers={key.lower(): str(value) for key, value in headers.items()},
    )


def run_parts(
    org: "Org", request: Request, parts: Sequence[Part], *, all_or_none: bool
) -> list[Result]:
    """Answer subrequests in order; with all or none, up to the first failure."""
    results: list[Result] = []
    known: dict[str, Result] = {}
    for part in parts:
        result = _run_part(org, request, part, known, all_or_none=all_or_none)
        results.append(result)
        known[part.reference_id] = result
        if all_or_none and result.failed:
            break
    return results


def _run_part(
    org: "Org",
    request: Request,
    part: Part,
    known: dict[str, Result],
    *,
    all_or_none: bool,
) -> Result:
    try:
        url = _substitute_url(part.url, known)
        body = _substitute(part.body, known)
    except _UnknownReference as error:
        return _failed(part.reference_id, "PROCESSING_HALTED", str(error))
    if NESTED.search(url):
        message = f"The url is not allowed in a composite request: {url}"
        return _failed(part.reference_id, "INVALID_INPUT", message)
    if all_or_none and isinstance(body, dict) and "records" in body:
        # The outer flag overrides the one of a collection (fact sheet D.2).
        body = {**body, "allOrNone": True}
    answer = call(org, request, method=part.method, url=url, body=body, headers=part.headers)
    if all_or_none and _has_failed_rows(answer):
        answer.status = 400
    headers = {k: v for k, v in answer.headers.items() if k in SHOWN_HEADERS}
    return Result(part.reference_id, answer.status, answer.body, headers)


def _has_failed_rows(answer: Answer) -> bool:
    rows = answer.body
    return (
        isinstance(rows, list)
        and answer.status == 200
        and any(isinstance(row, dict) and row.get("success") is False for row in rows)
    )


def call(
    org: "Org", request: Request, *, method: str, url: str, body: Any, headers: dict[str, str]
) -> Answer:
    """Answer a subrequest as if it had come alone; errors become its answer."""
    from .app import answer_inner

    path, _, query = url.partition("?")
    inner = replace(
        request,
        method=method,
        path=path,
        query=split_query(query),
        headers=headers,
        body=b"",
        parsed=body,
        inner=True,
    )
    return answer_inner(org, inner)


def _substitute_url(url: str, known: dict[str, Result]) -> str:
    return REFERENCE.sub(lambda m: quote(_text(_look_up(m, known)), safe=""), url)


def _substitute(value: Any, known: dict[str, Result]) -> Any:
    if isinstance(value, str):
        whole = REFERENCE.fullmatch(value)
        if whole:
            return _look_up(whole, known)
        return REFERENCE.sub(lambda m: _text(_look_up(m, known)), value)
    if isinstance(value, dict):
        return {key: _substitute(inner, known) for key, inner in value.items()}
    if isinstance(value, list):
        return [_substitute(inner, known) for inner in value]
    return value


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _look_up(match: re.Match[str], known: dict[str, Result]) -> Any:
    name, path = match.group(1), match.group(2)
    result = known.get(name)
    if result is None or result.failed:
        raise _unknown(match, name)
    value = result.body
    for step in STEP.finditer(path):
        key, index = step.group(1), step.group(2)
        if key is not None and isinstance(value, dict) and key in value:
            value = value[key]
        elif index is not None and isinstance(value, list) and int(index) < len(value):
            value = value[int(index)]
        else:
            raise _unknown(match, name)
    if isinstance(value, dict | list):
        raise _unknown(match, name)
    return value


def _unknown(match: re.Match[str], name: str) -> _UnknownReference:
    path = match.group(0)[2:-1]
    return _UnknownReference(f"Invalid reference specified. No value for {path} found in {name}")


def _failed(reference_id: str, code: str, message: str) -> Result:
    body = [{"errorCode": code, "message": message}]
    return Result(reference_id, 400, body, {})


def halted(parts: Sequence[Part], results: Sequence[Result]) -> list[Result]:
    """Keep the answer that failed; every other part is told that it was undone."""
    by_name = {result.reference_id: result for result in results if result.failed}
    return [
        by_name.get(part.reference_id) or _failed(part.reference_id, "PROCESSING_HALTED", HALTED)
        for part in parts
    ]


def batch(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """POST /composite/batch: independent calls, each counted."""
    body = request.json_object()
    items = body.get("batchRequests")
    if not isinstance(items, list) or not items:
        message = "batchRequests must be a list of subrequests at [line:1, column:1]"
        raise ApiError(400, "JSON_PARSER_ERROR", message)
    if len(items) > MOST:
        message = f"The request can have no more than {MOST} subrequests"
        raise ApiError(400, "LIMIT_EXCEEDED", message)
    results: list[dict[str, Any]] = []
    halted = False
    for item in items:
        if halted:
            error = {"errorCode": "BATCH_PROCESSING_HALTED", "message": "Batch processing halted"}
            results.append({"statusCode": 412, "result": [error]})
            continue
        answer = _batch_part(org, request, item)
        results.append({"statusCode": answer.status, "result": answer.body})
        halted = answer.status >= 400 and body.get("haltOnError") is True
    org.meter.count(len(items) - 1)
    has_errors = any(result["statusCode"] >= 400 for result in results)
    return Answer(200, {"hasErrors": has_errors, "results": results})


def _batch_part(org: "Org", request: Request, item: Any) -> Answer:
    method = item.get("method") if isinstance(item, dict) else None
    url = item.get("url") if isinstance(item, dict) else None
    if method not in METHODS or not isinstance(url, str):
        message = "a subrequest needs a method and a url"
        return Answer(400, [{"errorCode": "INVALID_INPUT", "message": message}])
    path = url if url.startswith("/services/data/") else f"/services/data/{url.lstrip('/')}"
    if NESTED.search(path):
        message = f"The url is not allowed in a batch request: {url}"
        return Answer(400, [{"errorCode": "INVALID_INPUT", "message": message}])
    return call(org, request, method=method, url=path, body=item.get("richInput"), headers={})
