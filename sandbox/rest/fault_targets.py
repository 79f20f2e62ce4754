"""Whom and what a request is about, as far as scheduled faults ask: its user and its objects.

Read from the request as it was sent, before anything checks it, so that a fault can hit a call
whatever becomes of it.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from ..bulk import store
from ..ids import normalize
from .http import Request

if TYPE_CHECKING:
    from ..org import Org

MOST_READ = 1_000_000
_IN_PATH = re.compile(r"/(?:sobjects|tree)/([a-z]\w*)", re.IGNORECASE)
_IN_SOQL = re.compile(r"\bfrom\s+([a-z]\w*)", re.IGNORECASE)
_IN_JSON = re.compile(r'"(?:type|object)"\s*:\s*"(\w+)"', re.IGNORECASE)
_IN_XML = re.compile(r"<(?:\w+:)?(?:type|sObjectType)\b[^>]*>\s*(\w+)\s*<")
_IDS_IN_XML = re.compile(r"<(?:\w+:)?(?:ids|leadId|recordToMergeIds)\b[^>]*>\s*(\w+)\s*<")
_TOKEN_IN_XML = re.compile(r"<(?:\w+:)?sessionId\b[^>]*>\s*([^<\s]+)\s*<")
_JOB = re.compile(r"/jobs/(ingest|query)/(\w{15,18})(?:/|$)", re.IGNORECASE)


def user_of(org: "Org", request: Request) -> str | None:
    """Return the user name of a caller; SOAP tells the session inside the envelope."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not scheme:
        found = _TOKEN_IN_XML.search(_text(request))
        token = found.group(1) if found is not None else ""
    session = org.sessions.find(token.strip()) if token else None
    return session.actor.username if session is not None else None


def objects_of(org: "Org", request: Request) -> frozenset[str]:
    """Return the lower-case names of the objects that a request names."""
    return frozenset(name.lower() for name in _names(org, request))


def _names(org: "Org", request: Request) -> Iterator[str]:
    body = _text(request)
    address = unquote_plus(request.path)
    # Addresses of composite calls are part of the body; blanks in them may be written as + or %20.
    for text in (address, unquote_plus(body)):
        yield from _IN_PATH.findall(text)
    for text in (request.query.get("q", ""), body, unquote_plus(body)):
        yield from _IN_SOQL.findall(text)
    yield from _IN_JSON.findall(body)
    yield from _IN_XML.findall(body)
    listed = [*request.query.get("ids", "").split(","), *_IDS_IN_XML.findall(body)]
    for text in listed:
        record_id = normalize(text)
        item = org.schema.of_id(record_id) if record_id is not None else None
        if item is not None:
            yield item.name
    job = _JOB.search(address)
    if job is not None:
        yield from _object_of_job(org, job.group(2), is_query=job.group(1).lower() == "query")


def _object_of_job(org: "Org", job_id: str, *, is_query: bool) -> Iterator[str]:
    with org.database.read() as connection:
        job = store.find(connection, normalize(job_id) or "", is_query=is_query)
    if job is not None:
        yield job.object


def _text(request: Request) -> str:
    return request.body[:MOST_READ].decode("utf-8", "replace")
