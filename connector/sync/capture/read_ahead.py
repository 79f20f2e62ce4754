"""Reads a stream ahead of its reader, in a thread: while PostgreSQL works, the next rows come."""

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from queue import Full, Queue
from threading import Event, Thread
from typing import TypeVar

T = TypeVar("T")

_LOOK_S = 0.5  # how often a thread that is too far ahead looks whether anybody still reads


@dataclass(frozen=True, slots=True)
class _End:
    error: Exception | None = None


def read_ahead(source: Iterable[T], *, ahead: int) -> Generator[T, None, None]:
    """Yield what `source` yields, read by a thread that is up to `ahead` items before the reader.

    An error of the source is raised behind the items that came before it. Close the generator to
    give up early: the thread ends with the item it is at.
    """
    items: Queue[T | _End] = Queue(ahead)
    given_up = Event()

    def hand_over(item: T | _End) -> None:
        while not given_up.is_set():
            try:
                items.put(item, timeout=_LOOK_S)
                return
            except Full:
                continue

    def read() -> None:
        end = _End()
        try:
            for item in source:
                hand_over(item)
                if given_up.is_set():
                    return
        except Exception as error:  # for the reader to see
            end = _End(error)
        hand_over(end)

    thread = Thread(target=read, name="read-ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := items.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        given_up.set()
        thread.join()
