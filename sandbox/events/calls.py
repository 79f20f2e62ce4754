"""What every Pub/Sub call has: a caller, faults, and refusals with an `error-code` trailer."""

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import grpc

from .. import clock
from ..faults import Fault
from ..ids import normalize
from ..sessions import Session
from .channels import Topic

if TYPE_CHECKING:
    from ..org import Org

SERVICE = "eventbus.v1.PubSub"
PREFIX = "sfdc.platform.eventbus.grpc."
LOG = logging.getLogger("l2c_sandbox")
UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "service.unavailable")
BEFORE = ("http", "drop_before")
# One message is told as a whole or not at all, so a truncated one is lost.
AFTER = ("drop_after", "truncate")
_OF_HTTP = {
    401: (grpc.StatusCode.UNAUTHENTICATED, "service.auth.error"),
    403: (grpc.StatusCode.RESOURCE_EXHAUSTED, "subscription.limit.exceeded"),
}


class Refusal(Exception):
    """A call that ends with a gRPC status and Salesforce's error code (fact sheet H.4)."""

    def __init__(self, status: grpc.StatusCode, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = PREFIX + code
        self.message = message


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and from where: all that the handlers need to know of the wire."""

    session: Session
    context: Any
    rpc_id: str
    method: str

    @property
    def is_active(self) -> bool:
        """Whether the client still waits for answers."""
        return bool(self.context.is_active())


def authenticate(org: "Org", context: Any, method: str) -> Caller:
    """Return the caller of a call.

    Raises:
        Refusal: UNAUTHENTICATED for a missing or foreign token, address or tenant.
    """
    metadata = {key.lower(): value for key, value in context.invocation_metadata()}
    session = org.sessions.find(str(metadata.get("accesstoken", "")))
    tenant = normalize(str(metadata.get("tenantid", "")))
    if session is None or tenant != org.organization_id or not metadata.get("instanceurl"):
        raise refused_session()
    return Caller(session=session, context=context, rpc_id=str(uuid.uuid4()), method=method)


def refused_session() -> Refusal:
    """Return the refusal of a session that does not (or no longer) exist."""
    message = (
        "An error occurred while getting the metadata for Oauth token. "
        "The session is invalid or expired, or the tenant ID does not match."
    )
    return Refusal(grpc.StatusCode.UNAUTHENTICATED, "service.auth.error", message)


def check_session(org: "Org", caller: Caller) -> None:
    """Refuse to go on in a stream whose session has ended."""
    if org.sessions.find(caller.session.token) is None:
        raise refused_session()


def invalid(code: str, message: str) -> Refusal:
    """Return a refusal of what the client asked for."""
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, code, message)


def fault_of(
    org: "Org", caller: Caller, *, kinds: tuple[str, ...], topic: str = ""
) -> Fault | None:
    """Return the scheduled fault that hits a call; its path is `/eventbus.v1.PubSub/...`."""
    return org.faults.for_request(
        f"/{SERVICE}/{caller.method}",
        kinds,
        user=caller.session.actor.username,
        objects=lambda: org.events.channels.objects(topic),
    )


def meet_faults(org: "Org", caller: Caller, *, kinds: tuple[str, ...], topic: str = "") -> None:
    """Let a scheduled fault end the call.

    Raises:
        Refusal: What the fault says.
    """
    fault = fault_of(org, caller, kinds=kinds, topic=topic)
    if fault is None:
        return
    status, code = _OF_HTTP.get(fault.status, UNAVAILABLE) if fault.kind == "http" else UNAVAILABLE
    raise Refusal(status, code, fault.error().message)


def slow_down(org: "Org", caller: Caller, *, kinds: tuple[str, ...], topic: str = "") -> None:
    """Let a scheduled fault hold the call up."""
    slow = fault_of(org, caller, kinds=kinds, topic=topic)
    if slow is not None:
        clock.pause(slow.seconds)


def begin(org: "Org", caller: Caller, *, topic: str = "") -> None:
    """Meet the faults that come before anything is done."""
    slow_down(org, caller, kinds=("latency",), topic=topic)
    meet_faults(org, caller, kinds=BEFORE, topic=topic)


def topic_of(org: "Org", name: str) -> Topic:
    """Return a topic by its name.

    Raises:
        Refusal: INVALID_ARGUMENT without a name, NOT_FOUND for an unknown one.
    """
    if not name:
        raise invalid("topic.name.missing", "The topic name is missing.")
    topic = org.events.channels.find(name)
    if topic is None:
        message = f"The topic {name} does not exist or is not accessible."
        raise Refusal(grpc.StatusCode.NOT_FOUND, "topic.not.found", message)
    return topic


def end(context: Any, error: Exception) -> NoReturn:
    """End a call with a refusal; a bug is told on standard error."""
    if not isinstance(error, Refusal):
        LOG.error("sandbox.bug in Pub/Sub", exc_info=error)
        unavailable = grpc.StatusCode.UNAVAILABLE
        error = Refusal(unavailable, "service.unavailable", "The service is unavailable.")
    context.set_trailing_metadata((("error-code", error.code),))
    context.abort(error.status, f"{error.message} rpcId: {uuid.uuid4()}")
    raise AssertionError("abort does not return")


def guarded(org: "Org", method: str, handler: Callable[["Org", Any, Caller], Any]) -> Any:
    """Return a unary gRPC behaviour: known caller, faults, refusals."""

    def behave(request: Any, context: Any) -> Any:
        try:
            caller = authenticate(org, context, method)
            topic = getattr(request, "topic_name", "")
            begin(org, caller, topic=topic)
            answer = handler(org, request, caller)
            slow_down(org, caller, kinds=("trickle",), topic=topic)
            meet_faults(org, caller, kinds=AFTER, topic=topic)
            return answer
        except Exception as error:
            end(context, error)

    return behave
