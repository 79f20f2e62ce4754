"""What can go wrong between the connector and an org.

::

    OrgUnavailable      no answer, or one that says "later" (retried here, then by the job)
    ├── OrgBusy         a lock or a time limit inside the org
    └── OrgSessionRefused   a session that was opened a moment ago is refused
    OrgLimit            the calls of the day, or of the moment, are used up
    OrgRefused          the org understood and said no
    OrgLoginFailed      the connector may not log in
    OrgReadOnly         this client was made for reading
"""

from typing import ClassVar

from connector.errors import InvalidInput, Misconfigured, NotPermitted, TransientFailure


class OrgUnavailable(TransientFailure):
    """The org gave no usable answer."""

    code: ClassVar[str] = "org.unavailable"
    remedy = "Nothing is lost; the connector tries again by itself."


class OrgBusy(OrgUnavailable):
    """The org could not get a lock or ran out of time."""

    code: ClassVar[str] = "org.busy"


class OrgSessionRefused(OrgUnavailable):
    """The org refuses a session it has just opened."""

    code: ClassVar[str] = "org.session_refused"
    remedy = "If it stays so, check the run-as user and the session policy of the connected app."


class OrgLimit(TransientFailure):
    """The org's allowance of API calls is used up."""

    code: ClassVar[str] = "org.limit"

    def __init__(self, message: str, *, is_daily: bool) -> None:
        super().__init__(
            message,
            remedy="The calls of the day are used up; work goes on when the org allows it."
            if is_daily
            else "Too many calls at once; the connector tries again in a moment.",
        )
        self.is_daily = is_daily


class OrgRefused(InvalidInput):
    """The org understood the call and refuses it; `error_code` is Salesforce's own."""

    code: ClassVar[str] = "org.refused"

    def __init__(self, message: str, *, error_code: str, status: int) -> None:
        super().__init__(f"Salesforce refused: {error_code}: {message}")
        self.error_code = error_code
        self.status = status


class OrgLoginFailed(Misconfigured):
    """The org does not let the connector in."""

    code: ClassVar[str] = "org.login_failed"
    remedy = "Check salesforce.login_url, client_id and client_secret, and the app's run-as user."


class OrgReadOnly(NotPermitted):
    """A call that may write was about to be sent by a client made for reading."""

    code: ClassVar[str] = "org.read_only"
    remedy = "This is a fault of the connector: report it."
