"""A stream that is read by a thread, a little before whoever uses it."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from connector.sync.capture.read_ahead import read_ahead


def numbers(*, until: int, read: list[int], error: Exception | None = None) -> Iterator[int]:
    for number in range(until):
        read.append(number)
        yield number
    if error is not None:
        raise error


def test_everything_comes_in_order() -> None:
    assert list(read_ahead(numbers(until=50, read=[]), ahead=3)) == list(range(50))


def test_an_error_comes_behind_what_was_read_before_it() -> None:
    came: list[int] = []

    with pytest.raises(OSError, match="cut"):
        for number in read_ahead(numbers(until=3, read=[], error=OSError("cut")), ahead=8):
            came.append(number)

    assert came == [0, 1, 2]


def test_no_more_is_read_than_the_bound_allows() -> None:
    read: list[int] = []
    with closing(read_ahead(numbers(until=1_000, read=read), ahead=2)) as stream:
        for number in stream:
            # Two wait, one is in the hand of the thread, one in ours.
            assert len(read) <= number + 4
            if number == 100:
                break


def test_who_stops_reading_ends_the_thread() -> None:
    read: list[int] = []
    stream = read_ahead(numbers(until=1_000, read=read), ahead=2)
    next(stream)

    stream.close()

    assert len(read) <= 5
    assert not [one for one in threading.enumerate() if one.name == "read-ahead"]
