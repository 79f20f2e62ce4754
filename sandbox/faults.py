"""Faults on purpose: refusals, slowness, lost connections, locks, scheduled by the tests."""

import random
import re
import threading
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from typing import Any

from . import clock
from .errors import ApiError, RowError

REQUEST_KINDS = ("http", "latency", "drop_before", "drop_after", "truncate", "trickle")
ROW_KINDS = ("lock", "rows")
EVENT_KINDS = ("event_duplicate", "event_reorder")
KINDS = REQUEST_KINDS + ROW_KINDS + EVENT_KINDS
MAX_DELAY_S = 60.0
TRICKLES = 10
_BODIES = {
    401: ("INVALID_SESSION_ID", "Session expired or invalid"),
    403: ("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    503: ("SERVER_UNAVAILABLE", "Service temporarily unavailable"),
}


@dataclass(slots=True)
class Fault:
    """One scheduled fault; `remaining` counts down, None means for ever."""

    kind: str
    status: int
    path: re.Pattern[str]
    object: str | None  # in lower case
    user: str | None
    code: str
    message: str
    probability: float
    remaining: int | None
    seconds: float

    def row_error(self) -> RowError:
        """Return why a row fails."""
        if self.kind == "lock":
            message = "unable to obtain exclusive access to this record"
            return RowError("UNABLE_TO_LOCK_ROW", message)
        return RowError(self.code, self.message)

    def error(self) -> ApiError:
        """Return the refusal of an `http` fault."""
        code, message = _BODIES.get(
            self.status, ("UNKNOWN_EXCEPTION", "An unexpected error occurred.")
        )
        return ApiError(self.status, code, message)


class Faults:
    """The schedule of faults of one org."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        # Reproducible, and none of its uses is about secrets.
        self._random = random.Random(1)  # noqa: S311

    @property
    def any(self) -> bool:
        """Whether something is scheduled."""
        return bool(self._faults)

    def schedule(self, items: list[Any]) -> None:
        """Add faults as given to the admin call.

        Raises:
            ApiError: 400 naming what is wrong with the first bad item.
        """
        parsed = [_parse(item) for item in items]
        with self._lock:
            self._faults += parsed

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()

    def for_request(
        self,
        path: str,
        kinds: tuple[str, ...],
        *,
        user: str | None = None,
        objects: Callable[[], Set[str]] = frozenset,
    ) -> Fault | None:
        """Return the fault that hits a request of a user, and count it.

        `objects` tells the lower-case names of the objects the request is about; it is asked
        only where a fault names one.
        """
        if not self._faults:
            return None
        asked = any(fault.object is not None and fault.kind in kinds for fault in self._faults)
        about = objects() if asked else frozenset()
        with self._lock:
            for fault in self._faults:
                meant = fault.kind in kinds and fault.user in {None, user}
                meant = meant and (fault.object is None or fault.object in about)
                if meant and fault.path.search(path) and self._hits(fault):
                    return fault
        return None

    def for_row(self, object_name: str, *, user: str) -> RowError | None:
        """Return why the next row of an object fails, and count it."""
        if not self._faults:
            return None
        with self._lock:
            for fault in self._faults:
                meant = fault.kind in ROW_KINDS and fault.user in {None, user}
                named = fault.object in {None, object_name.lower()}
                if meant and named and self._hits(fault):
                    return fault.row_error()
        return None

    def _hits(self, fault: Fault) -> bool:
        if fault.remaining == 0 or self._random.random() >= fault.probability:
            return False
        if fault.remaining is not None:
            fault.remaining -= 1
        return True


def trickled(content: bytes, *, seconds: float) -> Iterator[bytes]:
    """Give an answer away in small pieces, over so many seconds."""
    size = -(-len(content) // TRICKLES)
    for start in range(0, len(content), size):
        clock.pause(seconds / TRICKLES)
        yield content[start : start + size]


def truncated(content: bytes, *, drop: Callable[[], None]) -> Iterator[bytes]:
    """Give half an answer away, then cut the connection."""
    if len(content) > 1:
        yield content[: len(content) // 2]
    drop()


def _parse(item: Any) -> Fault:
    try:
        if item["kind"] not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}")
        count, about = item.get("count"), item.get("object")
        return Fault(
            kind=item["kind"],
            status=int(item.get("status", 503)),
            path=re.compile(str(item.get("path", ""))),
            object=None if about is None else str(about).lower(),
            user=item.get("user"),
            code=str(item.get("code", "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY")),
            message=str(item.get("message", "a trigger failed: refused on purpose")),
            probability=float(item.get("probability", 1.0)),
            remaining=None if count is None else int(count),
            seconds=min(float(item.get("seconds", 0.5)), MAX_DELAY_S),
        )
    except (KeyError, TypeError, ValueError, AttributeError, re.error) as error:
        raise ApiError(400, "INVALID_FAULT", f"fault {item!r}: {error}") from error
