"""The body of a request: read from the wire, and unpacked."""

import zlib
from typing import Any

from cheroot.errors import MaxSizeExceeded

from ..errors import ApiError

# Both forms in use are told apart by their first bytes.
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})
_EITHER = 47


class ConnectionLost(Exception):
    """The caller went away, or fell silent, before the whole request was there."""


def read_body(stream: Any, *, most: int) -> bytes:
    """Return the body as it was sent.

    Raises:
        ApiError: 400 for broken chunks or lengths, 413 for too much.
        ConnectionLost: There is nobody to answer to.
    """
    try:
        body: bytes = stream.read()
    except MaxSizeExceeded as error:
        raise _too_large() from error
    except ValueError as error:
        raise ApiError(400, "BAD_REQUEST", f"the request body is broken: {error}") from error
    except OSError as error:
        raise ConnectionLost from error
    if len(body) > most:
        raise _too_large()
    return body


def inflate(body: bytes, *, encoding: str, most: int) -> bytes:
    """Return a body unpacked, up to the size of a plain one.

    Raises:
        ApiError: 400 for broken data, 413 for too much of it, 415 for an unknown encoding.
    """
    name = encoding.strip().lower()
    if not body or name in {"", "identity"}:
        return body
    if name not in _PACKED:
        message = f"unsupported content encoding: {encoding}"
        raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", message)
    unpacker = zlib.decompressobj(wbits=_EITHER)
    try:
        data = unpacker.decompress(body, most)
    except zlib.error as error:
        message = f"the {name} body is broken: {error}"
        raise ApiError(400, "JSON_PARSER_ERROR", message) from error
    if unpacker.unconsumed_tail:
        raise _too_large()
    if not unpacker.eof:
        raise ApiError(400, "JSON_PARSER_ERROR", f"the {name} body is not complete")
    return data


def _too_large() -> ApiError:
    return ApiError(413, "REQUEST_TOO_LARGE", "the request body is too large")
