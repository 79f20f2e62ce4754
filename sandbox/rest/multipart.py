"""Reads `multipart/form-data`: a record as JSON beside the bytes of its file (fact sheet I.2)."""

import base64
import re
from typing import Any

from ..errors import ApiError
from .http import Request, parse_json

BOUNDARY = re.compile(r'boundary="?([^";,]{1,200})"?', re.IGNORECASE)
NAME = re.compile(rb'[; ]name="?([^";\r\n]{1,200})"?', re.IGNORECASE)
JSON_PART = re.compile(rb"content-type:\s*application/json", re.IGNORECASE)
MAX_PARTS = 20


def is_multipart(request: Request) -> bool:
    """Return whether a body has several parts."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


def read_record(request: Request) -> dict[str, Any]:
    """Return the JSON part as a record, binary parts as base64 under their names.

    Raises:
        ApiError: The body has another form.
    """
    match = BOUNDARY.search(request.headers["content-type"])
    if match is None:
        raise _broken("the boundary is missing")
    pieces = request.body.split(b"--" + match.group(1).encode("latin-1", "replace"))
    if len(pieces) < 3 or not pieces[-1].lstrip().startswith(b"--"):
        raise _broken("the closing boundary is missing")
    if len(pieces) > MAX_PARTS:
        raise _broken("too many parts")
    record: dict[str, Any] | None = None
    files: dict[str, str] = {}
    for piece in pieces[1:-1]:
        head, separator, content = piece.partition(b"\r\n\r\n")
        name = NAME.search(head)
        if not separator or name is None:
            raise _broken("a part has no name")
        content = content.removesuffix(b"\r\n")
        if JSON_PART.search(head):
            value = parse_json(content)
            if not isinstance(value, dict) or record is not None:
                raise _broken("exactly one part must be a JSON object")
            record = value
        else:
            files[name.group(1).decode("latin-1")] = base64.b64encode(content).decode()
    if record is None:
        raise _broken("exactly one part must be a JSON object")
    return record | files


def _broken(what: str) -> ApiError:
    return ApiError(400, "INVALID_MULTIPART_REQUEST", f"the multipart body is broken: {what}")
