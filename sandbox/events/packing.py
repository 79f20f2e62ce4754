"""Events of one commit in one row of the ring, packed: those of a load are much alike."""

import zlib
from array import array
from collections.abc import Sequence
from uuid import UUID

FAST = 1  # more effort hardly makes them smaller
_LENGTH = array("I").itemsize


def packed(payloads: Sequence[bytes]) -> bytes:
    """Return payloads as one piece; a single one stays as it is."""
    if len(payloads) == 1:
        return payloads[0]
    lengths = array("I", map(len, payloads)).tobytes()
    return zlib.compress(lengths + b"".join(payloads), level=FAST)


def unpacked(content: bytes, *, count: int) -> list[bytes]:
    """Return the payloads of a piece."""
    if count == 1:
        return [content]
    data = zlib.decompress(content)
    at = count * _LENGTH
    payloads = []
    for length in array("I", data[:at]):
        payloads.append(data[at : at + length])
        at += length
    return payloads


def nth_id(first_id: str, place: int) -> str:
    """Return the id of an event in a row; the row has the id of the first."""
    return str(UUID(int=(UUID(first_id).int + place) % 2**128)) if place else first_id
