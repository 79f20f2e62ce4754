"""Reads and unpacks the body of a request: all of what was announced, never more than is taken.

The HTTP server's own reader takes what a broken connection left of a body for the whole of it, and
lets the line before a chunk grow without a bound.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from ..errors import ApiError

PIECE = 262_144
MOST_DISCARDED = 268_435_456  # read and dropped, so that the caller gets to reading the answer
MAX_LINE = 4_096
MOST_TRAILERS = 100
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n\Z")
LINE_ENDS = (b"\r\n", b"\n")
PACKED = frozenset({"gzip", "x-gzip", "deflate"})
EITHER = 47  # zlib tells the forms in use apart by their first bytes


class Source(Protocol):
    """The bytes of a connection."""

    def read(self, size: int, /) -> bytes:
        """Return so many bytes, fewer only where the connection ends."""

    def readline(self, size: int, /) -> bytes:
        """Return a line of at most so many bytes."""


class Body:
    """The body of one request, to be read once.

    `give_up` is called when the rest is not read: no other request can follow on the connection.
    """

    def __init__(self, source: Source, *, length: int | None, give_up: Callable[[], None]) -> None:
        self._source = source
        self._length = length  # None: sent in chunks
        self._give_up = give_up

    def read(self, most: int) -> bytes:
        """Return all of it.

        Raises:
            ApiError: 413 for more than `most` bytes, 408 for a caller that stopped sending, 400
                for a body that ends early or whose chunks are malformed.
        """
        try:
            return self._read(most)
        except ApiError:
            self._give_up()
            raise
        except OSError as error:
            self._give_up()
            raise ApiError(408, "REQUEST_TIMEOUT", "the request body did not arrive") from error

    def _read(self, most: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        for piece in self._pieces():
            size += len(piece)
            if size <= most:
                pieces.append(piece)
                continue
            pieces.clear()
            if size > most + MOST_DISCARDED:
                break
        if size > most:
            raise _too_large()
        return b"".join(pieces)

    def _pieces(self) -> Iterator[bytes]:
        if self._length is not None:
            if self._length < 0:
                raise _malformed("a length below zero")
            yield from self._exactly(self._length)
            return
        while size := self._chunk_size():
            yield from self._exactly(size)
            if self._source.readline(MAX_LINE) not in LINE_ENDS:
                raise _malformed("a chunk is longer than it says")
        for _ in range(MOST_TRAILERS):
            if self._source.readline(MAX_LINE) in {*LINE_ENDS, b""}:
                return
        raise _malformed("too many trailers")

    def _chunk_size(self) -> int:
        found = CHUNK_SIZE.match(self._source.readline(MAX_LINE))
        if found is None:
            raise _malformed("a chunk without its size")
        return int(found[1], 16)

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._source.read(min(size, PIECE))
            if not piece:
                raise _malformed("it ends early")
            size -= len(piece)
            yield piece


def inflate(body: bytes, *, encoding: str, most: int) -> bytes:
    """Return a body unpacked, up to the size of a plain one.

    Raises:
        ApiError: 400 for broken data, 413 for too much of it, 415 for an unknown encoding.
    """
    name = encoding.strip().lower()
    if not body or name in {"", "identity"}:
        return body
    if name not in PACKED:
        message = f"unsupported content encoding: {encoding}"
        raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", message)
    unpacker = zlib.decompressobj(wbits=EITHER)
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


def _malformed(what: str) -> ApiError:
    return ApiError(400, "BAD_REQUEST", f"the request body is incomplete or malformed: {what}")
