"""Faults on purpose: refusals, slowness, lost connections and locks, scheduled by the tests."""

import random
import re
import threading
from dataclasses import dataclass
from typing import Any

from .errors import ApiError

KINDS = ("http", "latency", "drop_before", "drop_after", "lock")
MAX_DELAY_S = 60.0
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
    object: str | None
    probability: float
    remaining: int | None
    seconds: float

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

    def for_request(self, path: str, kinds: tuple[str, ...]) -> Fault | None:
        """Return the fault that hits a request, and count it."""
        if not self._faults:
            return None
        with self._lock:
            for fault in self._faults:
                if fault.kind in kinds and fault.path.search(path) and self._hits(fault):
                    return fault
        return None

    def lock_refused(self, object_name: str) -> bool:
        """Return whether the next row of an object cannot be locked, and count it."""
        if not self._faults:
            return False
        with self._lock:
            return any(
                fault.kind == "lock" and fault.object in {None, object_name} and self._hits(fault)
                for fault in self._faults
            )

    def _hits(self, fault: Fault) -> bool:
        if fault.remaining == 0 or self._random.random() >= fault.probability:
            return False
        if fault.remaining is not None:
            fault.remaining -= 1
        return True


def _parse(item: Any) -> Fault:
    try:
        if item["kind"] not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}")
        count = item.get("count")
        return Fault(
            kind=item["kind"],
            status=int(item.get("status", 503)),
            path=re.compile(str(item.get("path", ""))),
            object=item.get("object"),
            probability=float(item.get("probability", 1.0)),
            remaining=None if count is None else int(count),
            seconds=min(float(item.get("seconds", 0.5)), MAX_DELAY_S),
        )
    except (KeyError, TypeError, ValueError, AttributeError, re.error) as error:
        raise ApiError(400, "INVALID_FAULT", f"fault {item!r}: {error}") from error
