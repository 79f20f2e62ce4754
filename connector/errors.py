"""The errors of the connector, one tree.

::

    ConnectorError            every error this package raises on purpose
    ├── InvalidInput          the data is wrong: fix it (exit code 1, HTTP 400)
    ├── StateConflict         right data, wrong moment (HTTP 409)
    ├── NotPermitted          the caller may not do this (HTTP 403)
    ├── TransientFailure      the same call may succeed later (HTTP 503)
    └── Misconfigured         the set-up is wrong: fix the configuration (exit code 2)

Anything else that escapes is a bug. A concrete error lives beside the code that raises it, sets
`code` (stable, documented) and `remedy`, and carries its data as attributes.
"""

from enum import StrEnum
from typing import ClassVar


class Retry(StrEnum):
    """When a repetition of the same call can succeed."""

    NEVER = "never"
    AFTER_FIX = "after_fix"
    LATER = "later"


class ConnectorError(Exception):
    """Something the connector refuses or cannot do."""

    code: ClassVar[str] = "connector.error"
    retry: ClassVar[Retry] = Retry.NEVER
    remedy: str = ""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        if remedy:
            self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class InvalidInput(ConnectorError):
    """The data is wrong and has to be corrected before another try."""

    code = "input.invalid"
    retry = Retry.AFTER_FIX


class StateConflict(ConnectorError):
    """The act does not fit the present state of the thing."""

    code = "state.conflict"


class NotPermitted(ConnectorError):
    """The caller has no right to this act."""

    code = "not.permitted"


class TransientFailure(ConnectorError):
    """The other side did not answer properly; the same call may succeed later."""

    code = "transient.failure"
    retry = Retry.LATER


class Misconfigured(ConnectorError):
    """The set-up is wrong; no repetition helps before it is corrected."""

    code = "misconfigured"
    retry = Retry.AFTER_FIX
