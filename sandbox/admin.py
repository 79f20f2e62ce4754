"""What only a local org can do: reset, faults, audit, addresses of outbound messages."""

import ipaddress
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .auth.admin import ROUTES as ACCESS_ROUTES
from .clock import from_epoch
from .errors import ApiError, method_not_allowed, not_found
from .outbound.queue import Routing
from .rest.http import Answer, Request, parse_json

if TYPE_CHECKING:
    from .org import Org

MAX_TIMES = 1_000
Handler = Callable[["Org", Request, Callable[[], dict[str, Any]]], Any]


def admin(
    org: "Org", request: Request, segments: Sequence[str], *, facts: Callable[[], dict[str, Any]]
) -> Answer:
    """Answer a call below /__sandbox__/.

    Raises:
        ApiError: 403 for another machine, 404, 405, or 400 with what is wrong with the body.
    """
    if not is_loopback(request.peer):
        # These calls ask for no credentials, so they are for this machine alone.
        raise ApiError(403, "FORBIDDEN", "admin calls are answered on loopback only")
    name = "/".join(part.lower() for part in segments)
    handlers = ROUTES.get(name)
    if handlers is None:
        raise not_found()
    handler = handlers.get(request.method)
    if handler is None:
        raise method_not_allowed(request.method, tuple(handlers))
    return Answer(200, handler(org, request, facts), counted=False)


def is_loopback(peer: str) -> bool:
    """Return whether an address is this machine's own."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _body(request: Request) -> dict[str, Any]:
    value = parse_json(request.body) if request.body else {}
    if not isinstance(value, dict):
        raise ApiError(400, "INVALID_INPUT", "the body must be a JSON object")
    return value


def _whole(body: dict[str, Any], name: str, default: int | None = None) -> int | None:
    value = body.get(name, default)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise ApiError(400, "INVALID_INPUT", f"{name} must be a whole number")
    return value


def _reset(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    org.reset()
    return {"reset": True}


def _info(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    return facts()


def _expire(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    return {"expired": org.sessions.expire_all()}


def _audit(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    text = request.query.get("limit", "100")
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 100
    entries = list(org.audit)[-limit:] if limit else []
    shown = [
        {"at": from_epoch(e["at_s"]).isoformat()} | {k: v for k, v in e.items() if k != "at_s"}
        for e in reversed(entries)
    ]
    return {"audit": shown}


def _add_faults(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    items = _body(request).get("faults")
    if not isinstance(items, list):
        raise ApiError(400, "INVALID_INPUT", "faults must be a list")
    org.faults.schedule(items)
    return {"scheduled": len(items)}


def _clear_faults(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    org.faults.clear()
    return {"scheduled": 0}


def _limits(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    body = _body(request)
    org.meter.set(most=_whole(body, "max"), used=_whole(body, "used"))
    return {"max": org.meter.most, "used": org.meter.used}


def _outbound(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    return org.outbound.overview()


def _route_outbound(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    body = _body(request)
    base, endpoints = body.get("endpoint_base"), body.get("endpoints") or {}
    given = [base, *endpoints.values()] if isinstance(endpoints, dict) else [None, None, 1]
    if not all(url is None or (isinstance(url, str) and url.startswith("http")) for url in given):
        message = "endpoint_base and every entry of endpoints must be http(s) addresses"
        raise ApiError(400, "INVALID_INPUT", message)
    now = org.outbound.routing
    routing = Routing(
        endpoint_base=base,
        endpoints=dict(endpoints),
        first_retry_ms=_whole(body, "first_retry_ms", now.first_retry_ms) or 1,
        longest_retry_ms=_whole(body, "longest_retry_ms", now.longest_retry_ms) or 1,
        timeout_s=_whole(body, "timeout_s") or now.timeout_s,
    )
    org.outbound.route(routing)
    return org.outbound.overview()


def _retry(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    return {"due": org.outbound.retry_now()}


def _resend(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    body = _body(request)
    notification_id = body.get("notification_id")
    sent = org.outbound.resend(
        notification_id=str(notification_id) if notification_id else None,
        last=_whole(body, "last", 1) or 1,
        times=min(_whole(body, "times", 1) or 1, MAX_TIMES),
    )
    return {"sent": sent}


ROUTES: dict[str, dict[str, Handler]] = {
    "reset": {"POST": _reset},
    "info": {"GET": _info},
    "sessions/expire": {"POST": _expire},
    "audit": {"GET": _audit},
    "faults": {"POST": _add_faults, "DELETE": _clear_faults},
    "limits": {"POST": _limits},
    "outbound": {"GET": _outbound, "PUT": _route_outbound},
    "outbound/retry": {"POST": _retry},
    "outbound/resend": {"POST": _resend},
    **ACCESS_ROUTES,
}
