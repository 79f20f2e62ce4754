"""What an org answers, in our words: sub-answers, results per row, errors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.adapters.salesforce.errors import (
    OrgBusy,
    OrgLimit,
    OrgRefused,
    OrgSessionRefused,
    OrgUnavailable,
)
from connector.errors import ConnectorError

LOCKED = "UNABLE_TO_LOCK_ROW"
_BUSY = frozenset({LOCKED, "QUERY_TIMEOUT", "REQUEST_RUNNING_TOO_LONG", "SERVER_UNAVAILABLE"})
_LATER_STATUS = frozenset({408, 420, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Subrequest:
    """One call inside a composite call; `path` begins behind `/services/data/vNN.N/`."""

    method: str
    path: str
    reference: str
    body: object = None  # anything `payload.encode` takes


@dataclass(frozen=True, slots=True)
class SubResponse:
    """The answer to one subrequest."""

    reference: str
    status: int
    body: Any

    @property
    def is_success(self) -> bool:
        """Return whether Salesforce did it."""
        return 200 <= self.status < 300

    def raise_for_status(self) -> None:
        """Raise the error this answer stands for, if it is one."""
        if not self.is_success:
            raise error_of(status=self.status, content=self.body)


@dataclass(frozen=True, slots=True)
class RowError:
    """Why a row was not written; `code` is Salesforce's own."""

    code: str
    message: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RowResult:
    """What became of one row of a collection."""

    success: bool
    sfid: str | None = None
    created: bool = False
    errors: tuple[RowError, ...] = field(default=())

    @property
    def is_locked(self) -> bool:
        """Return whether only a lock stood in the way."""
        return any(LOCKED in (error.code, *error.message.split()) for error in self.errors)


def row_result(item: Mapping[str, Any]) -> RowResult:
    """Read one item of a collections answer (fact sheet D.4)."""
    return RowResult(
        success=bool(item.get("success")),
        sfid=item.get("id"),
        created=bool(item.get("created", False)),
        errors=row_errors(item.get("errors")),
    )


def row_errors(content: object) -> tuple[RowError, ...]:
    """Read the errors of a row, or of a whole call."""
    if not isinstance(content, list):
        return ()
    return tuple(
        RowError(
            code=str(item.get("statusCode") or item.get("errorCode") or "UNKNOWN_EXCEPTION"),
            message=str(item.get("message", "")),
            fields=tuple(item.get("fields") or ()),
        )
        for item in content
        if isinstance(item, dict)
    )


def results_of(answer: SubResponse, count: int) -> list[RowResult]:
    """Return what became of each of so many rows; one reason for all if the whole was refused."""
    if answer.is_success and isinstance(answer.body, list) and len(answer.body) == count:
        return [row_result(item) for item in answer.body]
    unexplained = RowError("UNKNOWN_EXCEPTION", f"The org answered HTTP {answer.status}.")
    return [RowResult(success=False, errors=row_errors(answer.body) or (unexplained,))] * count


def error_of(*, status: int, content: object) -> ConnectorError:
    """Return our error for an answer that is none of the 2xx (fact sheet B.5)."""
    errors = row_errors(content) if isinstance(content, list) else ()
    code = errors[0].code if errors else f"HTTP_{status}"
    message = errors[0].message if errors else "no explanation"
    if status == 401:
        return OrgSessionRefused(f"The org refuses the session: {code}.")
    if code == "REQUEST_LIMIT_EXCEEDED":
        return OrgLimit(f"The org refuses more calls: {message}", is_daily="Total" in message)
    if code in _BUSY:
        return OrgBusy(f"The org is busy: {code}.")
    if status in _LATER_STATUS:
        return OrgUnavailable(f"The org answered HTTP {status} {code}.")
    return OrgRefused(message, error_code=code, status=status)
