"""Requests and answers, apart from any server."""

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from ..errors import ApiError
from ..sessions import Session

MAX_BODY = 52_428_800
MAX_UPLOAD = 104_857_600  # the data of a bulk job
GZIP_FROM = 1_400
JSON_TYPE = "application/json;charset=UTF-8"
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_PRETTY = orjson.OPT_INDENT_2
PRETTY_KEY = re.compile(rb'^( *"(?:[^"\\]|\\.)*"):', re.MULTILINE)


@dataclass(slots=True)
class Request:
    """One call, from the wire or from inside a composite call."""

    method: str
    path: str  # decoded segments are in `segments`; this is as sent, without the query string
    query: Mapping[str, str]
    headers: Mapping[str, str]  # lower-case names
    body: bytes
    origin: str  # scheme and host the caller used
    request_id: str
    peer: str = ""  # the address of the caller
    version: str = ""
    session: Session | None = None
    parsed: Any = None  # a body that is JSON already (composite)
    inner: bool = False  # part of a composite call

    @property
    def base(self) -> str:
        """The path of the version in use: `/services/data/v59.0`."""
        return f"/services/data/v{self.version}"

    @property
    def me(self) -> Session:
        """The session of an authenticated call."""
        assert self.session is not None
        return self.session

    def json(self) -> Any:
        """Return the body as JSON; decimals keep all their digits.

        Raises:
            ApiError: JSON_PARSER_ERROR for anything that is no JSON.
        """
        if self.parsed is not None:
            return self.parsed
        media = self.headers.get("content-type", "application/json").split(";")[0].strip()
        if media and media.lower() != "application/json":
            message = f"unsupported content type: {media}"
            raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", message)
        return parse_json(self.body)

    def json_object(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object."""
        value = self.json()
        if not isinstance(value, dict):
            message = "The request body must be a JSON object at [line:1, column:1]"
            raise ApiError(400, "JSON_PARSER_ERROR", message)
        return value

    def flag(self, name: str) -> bool:
        """Return whether a query parameter says true."""
        return self.query.get(name, "").lower() == "true"


@dataclass(slots=True)
class Answer:
    """What goes back: a JSON value, raw bytes, or nothing."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    media_type: str = JSON_TYPE
    counted: bool = True

    def content(self, *, pretty: bool) -> bytes:
        """Return the bytes of the body."""
        if self.raw is not None:
            return self.raw
        if self.body is None:
            return b""
        if not pretty:
            return orjson.dumps(self.body, default=_jsonable)
        # Two blanks of indentation and a blank before the colon (fact sheet B.1).
        return PRETTY_KEY.sub(rb"\1 :", orjson.dumps(self.body, option=_PRETTY, default=_jsonable))


def _jsonable(value: Any) -> Any:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError(type(value).__name__)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def parse_json(body: bytes) -> Any:
    """Return JSON with exact decimals.

    Raises:
        ApiError: JSON_PARSER_ERROR.
    """
    try:
        value = json.loads(body, parse_float=Decimal, parse_constant=_refuse_constant)
        if SURROGATE.search(body):
            # Half a character can be written in JSON and nowhere else.
            json.dumps(value, ensure_ascii=False, default=str).encode()
        return value
    except json.JSONDecodeError as error:
        message = f"{error.msg} at [line:{error.lineno}, column:{error.colno}]"
        raise ApiError(400, "JSON_PARSER_ERROR", message) from error
    except (ValueError, RecursionError, ArithmeticError) as error:
        message = f"The request body is no valid JSON: {type(error).__name__} at [line:1, column:1]"
        raise ApiError(400, "JSON_PARSER_ERROR", message) from error


def deflate(content: bytes) -> bytes:
    """Return content packed with gzip, fast rather than small."""
    return gzip.compress(content, compresslevel=1)
