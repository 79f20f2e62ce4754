"""The address of the SOAP API: from a posted envelope to an answered one."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ApiError, not_found
from ..origin import origin, soap_origin
from ..rest.http import Answer, Request
from ..rest.info import FIRST_VERSION, LAST_VERSION
from ..sessions import Session
from .accounts import LAST_LOGIN_VERSION, login
from .faults import SoapFault, client_fault, fault_of
from .operations import HANDLERS
from .outbound_wsdl import outbound_wsdl
from .reading import Call, no_operation, read_call
from .types import METADATA, OPERATIONS, PARTNER
from .writing import envelope, limit_info, written
from .wsdl import partner_wsdl

if TYPE_CHECKING:
    from ..org import Org

MEDIA = "text/xml; charset=UTF-8"
VERSION = re.compile(r"(\d{2,3})\.0\Z")
NOT_PROVIDED = {
    "c": "The enterprise API is not provided by the local org; use the partner API (/u/)",
    "t": "The tooling API is not provided by the local org",
    "s": "The Apex API is not provided by the local org",
}


def as_fault(answer: Answer) -> Answer:
    """Return the fault that says what a JSON error says; other answers stay."""
    if answer.raw is not None or not isinstance(answer.body, list) or not answer.body:
        return answer
    first = answer.body[0]
    error = ApiError(answer.status, str(first.get("errorCode")), str(first.get("message")))
    return _fault_answer(fault_of(error))


def soap(org: "Org", request: Request, segments: Sequence[str]) -> Answer:
    """Answer a call to `/services/Soap/u/NN.0`."""
    try:
        return _answer(org, request, segments)
    except SoapFault as fault:
        return _fault_answer(fault)
    except ApiError as error:
        return _fault_answer(fault_of(error))


def _fault_answer(fault: SoapFault) -> Answer:
    return Answer(fault.status, raw=fault.envelope(), media_type=MEDIA, counted=False)


def _answer(org: "Org", request: Request, segments: Sequence[str]) -> Answer:
    door = segments[2].lower() if len(segments) > 2 else ""
    if door == "m":
        message = "The Metadata API is not provided by the local org; start it with --schema DIR"
        raise SoapFault("INVALID_OPERATION", message, namespace=METADATA)
    if door in NOT_PROVIDED:
        raise SoapFault("INVALID_OPERATION", NOT_PROVIDED[door])
    if door != "u" or not 4 <= len(segments) <= 5:
        raise client_fault("There is no such SOAP service")
    if request.method != "POST":
        raise client_fault(f"A SOAP call is sent by POST, not {request.method}")
    match = VERSION.match(segments[3])
    if match is None or not FIRST_VERSION <= int(match.group(1)) <= LAST_VERSION:
        message = f"Invalid Api version specified on URL: {segments[3]}"
        raise SoapFault("UNSUPPORTED_API_VERSION", message)
    request.version = segments[3]
    call = read_call(request.body)
    client = call.header("CallOptions", "client")
    if client is not None:
        origin.set(soap_origin(request.version, client))
    if call.operation == "login":
        return _written(call, login(org, request, call), header="")
    handler = HANDLERS.get(call.operation)
    if handler is None:
        raise no_operation(PARTNER, call.operation)
    request.session = _session(org, call)
    if not org.meter.count():
        raise SoapFault("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    result = org.locks.patiently(lambda: handler(org, request, call))
    return _written(call, result, header=limit_info(org.meter.used, org.meter.most))


def _session(org: "Org", call: Call) -> Session:
    token = call.header("SessionHeader", "sessionId")
    session = org.sessions.find(token) if token is not None else None
    if session is None:
        message = "Invalid Session ID found in SessionHeader: Illegal Session"
        raise SoapFault("INVALID_SESSION_ID", message)
    return session


def _written(call: Call, result: Any, *, header: str) -> Answer:
    """Return a result in the form its operation declares."""
    element = OPERATIONS[call.operation].result
    text = ""
    if element is not None:
        items = result if isinstance(result, list) else [result]
        text = "".join(written(element.name, element.type, item) for item in items)
    body = envelope(call.operation, text, header=header)
    return Answer(200, raw=body, media_type=MEDIA, counted=False)


def wsdl(org: "Org", request: Request, segments: Sequence[str]) -> Answer:
    """Answer `/services/wsdl/partner` and `/services/wsdl/outbound/NAME`.

    Raises:
        ApiError: 404 for a WSDL there is not, 405 for anything but GET.
    """
    if request.method not in {"GET", "HEAD"}:
        raise ApiError(405, "METHOD_NOT_ALLOWED", "A WSDL is read by GET")
    rest = [part.lower() for part in segments[2:]]
    if rest == ["partner"]:
        address = f"{request.origin}/services/Soap/u/{LAST_LOGIN_VERSION}.0"
        return Answer(200, raw=partner_wsdl(address), media_type=MEDIA, counted=False)
    if len(rest) == 2 and rest[0] == "outbound":
        for message in org.automation.messages:
            if rest[1] in {message.name.lower(), message.full_name.lower()}:
                raw = outbound_wsdl(message, org.schema.get(message.object))
                return Answer(200, raw=raw, media_type=MEDIA, counted=False)
    raise not_found()
