"""What the Pub/Sub API refuses, in our words (fact sheet H.4)."""

from typing import ClassVar

import grpc

from connector.adapters.salesforce.errors import OrgRefused, OrgSessionRefused, OrgUnavailable
from connector.errors import ConnectorError

_REFUSALS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)


class EventsRefused(OrgRefused):
    """The org delivers no events of this topic."""

    code: ClassVar[str] = "org.events_refused"
    remedy = (
        "Check pubsub.topics, and that the integration user may see all records of the object; "
        "until then the sweep finds the changes."
    )


class ReplayIdRefused(EventsRefused):
    """The org no longer knows, or never knew, the place where a stream wants to go on."""

    code: ClassVar[str] = "org.replay_id_refused"
    remedy = "Nothing: the connector starts at the oldest event kept and reads the rest again."


class EventLimit(OrgUnavailable):
    """The org's allowance of event deliveries is used up."""

    code: ClassVar[str] = "org.event_limit"
    remedy = (
        "Events come again as the last 24 hours move on; until then the sweep finds the changes. "
        "If it happens often, take out topics of objects that change most."
    )


def error_of_call(error: grpc.RpcError) -> ConnectorError:
    """Return our error for the end of a call; its trailer tells more than its status."""
    status = error.code()
    code = _trailer(error)
    told = f"{status.name} {code}".rstrip()
    if status is grpc.StatusCode.UNAUTHENTICATED:
        return OrgSessionRefused(f"The Pub/Sub API refuses the session: {told}.")
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED or code.endswith("limit.exceeded"):
        return EventLimit(f"The org delivers no more events for now: {told}.")
    if status in _REFUSALS:
        kind = ReplayIdRefused if ".replayid." in code else EventsRefused
        return kind(error.details() or "no explanation", error_code=code or status.name, status=0)
    return OrgUnavailable(f"The Pub/Sub API did not answer: {told}.")


def _trailer(error: grpc.RpcError) -> str:
    for key, value in error.trailing_metadata() or ():
        if key == "error-code":
            return value if isinstance(value, str) else value.decode(errors="replace")
    return ""
