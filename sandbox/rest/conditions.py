"""Conditional requests: ETag of accounts, dates of every record and describe (fact sheet B.6)."""

import base64
import hashlib
import re
import sqlite3
from collections.abc import Mapping
from email.utils import formatdate, parsedate_to_datetime

from ..errors import ApiError
from ..schema.model import ObjectType
from ..storage.tables import quoted
from .http import Answer, Request

NAMES = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
TAG = re.compile(r'"([^"]*)"|(\*)')
TAGGED = "Account"  # the only object whose rows carry an ETag


def stamps_of(connection: sqlite3.Connection, item: ObjectType, record_id: str) -> int | None:
    """Return when a record was last changed, None where there is none."""
    sql = f'SELECT "LastModifiedDate" FROM {quoted(item.name)} WHERE "Id" = ?'
    row = connection.execute(sql, (record_id,)).fetchone()
    return None if row is None else int(row[0])


def validators(item: ObjectType | None, record_id: str, changed_s: int) -> dict[str, str]:
    """Return the headers a client can make the next call conditional with."""
    headers = {"Last-Modified": formatdate(changed_s, usegmt=True)}
    if item is not None and item.name == TAGGED:
        headers["ETag"] = f'"{_tag(record_id, changed_s)}"'
    return headers


def unless_known(request: Request, answer: Answer, headers: Mapping[str, str]) -> Answer:
    """Return the answer of a read, or 304 where the caller has it already.

    Raises:
        ApiError: 412 where the record is not the one the caller insists on.
    """
    answer.headers.update(headers)
    given = request.headers
    if not any(name in given for name in NAMES):
        return answer
    changed_s = _seconds(headers["Last-Modified"])
    _insist(given, headers, changed_s, strict=False)
    tag = headers.get("ETag")
    known = tag is not None and _names(given.get("if-none-match"), tag)
    since = _seconds(given.get("if-modified-since"))
    if known or (
        "if-none-match" not in given and None not in (since, changed_s) and changed_s <= since  # type: ignore[operator]
    ):
        return Answer(304, headers=dict(headers))
    return answer


def check_write(
    request: Request, connection: sqlite3.Connection, item: ObjectType, record_id: str
) -> None:
    """Refuse a write whose condition does not hold.

    Raises:
        ApiError: 412, or 400 for a header nobody can read.
    """
    if not any(name in request.headers for name in NAMES):
        return
    changed_s = stamps_of(connection, item, record_id)
    if changed_s is None:
        return
    headers = validators(item, record_id, changed_s)
    _insist(request.headers, headers, changed_s, strict=True)
    since_text = request.headers.get("if-modified-since")
    since = _read_date(since_text, strict=True)
    if since is not None and changed_s <= since:
        raise _failed("If-Modified-Since")
    tag = headers.get("ETag")
    if tag is not None and _names(request.headers.get("if-none-match"), tag):
        raise _failed("If-None-Match")


def _insist(
    given: Mapping[str, str], headers: Mapping[str, str], changed_s: int | None, *, strict: bool
) -> None:
    tag = headers.get("ETag")
    wanted = given.get("if-match")
    if wanted is not None and tag is not None:
        if strict and not TAG.search(wanted):
            raise ApiError(400, "INVALID_HEADER_VALUE", "If-Match is no entity tag")
        if not _names(wanted, tag):
            raise _failed("If-Match")
    until = _read_date(given.get("if-unmodified-since"), strict=strict)
    if until is not None and changed_s is not None and changed_s > until:
        raise _failed("If-Unmodified-Since")


def _failed(header: str) -> ApiError:
    return ApiError(412, "PRECONDITION_FAILED", f"the condition of {header} does not hold")


def _names(header: str | None, tag: str) -> bool:
    if header is None:
        return False
    wanted = tag.strip('"')
    return any(
        found.group(2) or (found.group(1) or "").removesuffix("-gzip") == wanted
        for found in TAG.finditer(header)
    )


def _tag(record_id: str, changed_s: int) -> str:
    digest = hashlib.sha256(f"{record_id}:{changed_s}".encode()).digest()
    return base64.b64encode(digest[:20]).decode()


def _read_date(text: str | None, *, strict: bool) -> int | None:
    seconds = _seconds(text)
    if text is not None and seconds is None and strict:
        raise ApiError(400, "INVALID_HEADER_VALUE", f"no HTTP date: {text[:100]}")
    return seconds


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
