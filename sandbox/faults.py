"""Faults on purpose: refusals, slowness, lost connections, locks, scheduled by the tests."""

import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from . import clock
from .errors import ApiError, RowError

REQUEST_KINDS = ("http", "latency", "drop_before", "drop_after", "truncate", "trickle")
ROW_KINDS = ("lock", "rows")
EVENT_KINDS = ("event_duplicate", "event_reorder")
KINDS = REQUEST_KINDS + ROW_KINDS + EVENT_KINDS
MAX_DELAY_S = 60.0
MOST_HITS = 1_000_000
TRICKLES = 10
MEMBERS = frozenset(
    {"kind", "status", "path", "object", "user", "code", "message", "probability", "count"}
    | {"seconds"}
)
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
        return ApiError(self.status, self.code, self.message)

    def oauth_error(self) -> dict[str, str]:
        """Return the refusal of a token endpoint; without a code of its own it is unknown."""
        is_own = (self.code, self.message) != _refusal(self.kind, self.status)
        return {
            "error": self.code if is_own else "unknown_error",
            "error_description": self.message,
        }


class Faults:
    """The schedule of faults of one org."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self.hits: Counter[str] = Counter()  # by kind, since the last `clear`
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
            self.hits.clear()

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
        self.hits[fault.kind] += 1
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
    if not isinstance(item, dict):
        raise ApiError(400, "INVALID_FAULT", f"fault {item!r}: it must be a JSON object")
    try:
        return _read(item)
    except (TypeError, ValueError, OverflowError, re.error) as error:
        raise ApiError(400, "INVALID_FAULT", f"fault {item!r}: {error}") from error


def _read(item: dict[str, Any]) -> Fault:
    """Return a fault; a ValueError says what is wrong with it."""
    unknown = sorted(set(item) - MEMBERS)
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}; known: {', '.join(sorted(MEMBERS))}")
    if item.get("kind") not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}")
    about, count = _text(item, "object"), item.get("count")
    status = int(_number(item, "status", default=503, least=400, most=599))
    code, message = _refusal(item["kind"], status)
    return Fault(
        kind=item["kind"],
        status=status,
        path=re.compile(_text(item, "path") or ""),
        object=None if about is None else about.lower(),
        user=_text(item, "user"),
        code=_text(item, "code") or code,
        message=_text(item, "message") or message,
        probability=_number(item, "probability", default=1.0, least=0, most=1),
        remaining=None if count is None else int(_number(item, "count", most=MOST_HITS)),
        seconds=_number(item, "seconds", default=0.5, most=MAX_DELAY_S),
    )


def _refusal(kind: str, status: int) -> tuple[str, str]:
    """Return the code and message of a fault that brings none."""
    if kind in ROW_KINDS:
        return "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "a trigger failed: refused on purpose"
    return _BODIES.get(status, ("UNKNOWN_EXCEPTION", "An unexpected error occurred."))


def _text(item: dict[str, Any], name: str) -> str | None:
    value = item.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} must be a text")
    return value


def _number(
    item: dict[str, Any], name: str, *, default: float = 0, least: float = 0, most: float
) -> float:
    value = item.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(f"{name} must be a number")
    if not least <= value <= most:
        raise ValueError(f"{name} must be between {least} and {most:g}")
    return float(value)
