"""What only a local org can do: reset, faults, audit, addresses of outbound messages."""

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import clock
from .auth.admin import ROUTES as ACCESS_ROUTES
from .clock import from_epoch
from .errors import ApiError, method_not_allowed, not_found
from .events import admin as events
from .outbound.queue import Routing
from .records.audit import Noted
from .records.delete_log import purge
from .rest.http import Answer, Request, parse_json
from .rest.routing import METHODS, split_query
from .schema.model import ObjectType
from .storage.values import decoder, parse_datetime

if TYPE_CHECKING:
    from .org import Org

MAX_TIMES = 1_000
MOST = 10**15
DATA_PATH = re.compile(r"/services/data/v\d{2}\.0/\S")
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
    if value is None or (type(value) is int and 0 <= value <= MOST):
        return value
    raise ApiError(400, "INVALID_INPUT", f"{name} must be a whole number from 0 to {MOST}")


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
    return {"audit": [_shown(org, entry) for entry in reversed(entries)]}


def _shown(org: "Org", entry: Noted) -> dict[str, Any]:
    write = entry.write
    item = org.schema.get(write.object)
    return {
        "at": from_epoch(write.at_s).isoformat(),
        "user": write.user,
        "user_id": write.user_id,
        "verb": write.verb,
        "object": write.object,
        "id": entry.id,
        "request_id": write.request_id,
        "old": _decoded(item, entry.old),
        "new": _decoded(item, entry.new),
    }


def _decoded(item: ObjectType, values: dict[str, Any]) -> dict[str, Any]:
    """Return the noted values as the API shows them."""
    shown = {}
    for name, value in values.items():
        field = item.find(name)
        decode = decoder(field) if field is not None else None
        shown[name] = value if decode is None else decode(value)
    return shown


def _keep_audit(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    full = _body(request).get("full")
    if not isinstance(full, bool):
        raise ApiError(400, "INVALID_INPUT", "full must be true or false")
    org.keep_audit(full=full)
    return {"full": full}


def _clock(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    return {"now": clock.now().isoformat(), "manual": clock.is_manual()}


def _move_clock(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    body = _body(request)
    text, advance_s = body.get("set"), _whole(body, "advance_s")
    at_s = parse_datetime(text) if isinstance(text, str) else None
    if (at_s is None) == (advance_s is None):
        message = 'give {"advance_s": whole seconds} or {"set": "2026-07-01T00:00:00Z"}'
        raise ApiError(400, "INVALID_INPUT", message)
    try:
        at_ms = clock.epoch_ms() + (advance_s or 0) * clock.MS
        clock.move_to(at_ms if at_s is None else at_s * clock.MS)
    except ValueError as error:
        raise ApiError(400, "INVALID_INPUT", str(error)) from error
    org.outbound.wake()
    return _clock(org, request, facts)


def _transactions(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    return {"transactions": org.late.overview(), "lock_wait_s": org.locks.wait_s}


def _open_transaction(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    body = _body(request)
    items = body.get("requests")
    if not isinstance(items, list):
        raise ApiError(400, "INVALID_INPUT", "requests must be a list")
    user = body.get("user")
    calls = [_call(request, item) for item in items]
    return org.late.open(calls, username=str(user) if user is not None else None)


def _call(request: Request, item: Any) -> Request:
    """Return a call of a transaction as if it had come over the wire."""
    text = item.get("url") if isinstance(item, dict) else None
    method = item.get("method", "POST") if isinstance(item, dict) else None
    if not isinstance(text, str) or not DATA_PATH.match(text) or method not in METHODS:
        message = f"a request needs a method and a url below /services/data/vNN.0/: {item!r}"
        raise ApiError(400, "INVALID_INPUT", message)
    path, _, query_text = text.partition("?")
    body = item.get("body")
    return replace(
        request,
        method=method,
        path=path,
        query=split_query(query_text),
        headers={},
        body=b"",
        parsed=body,
        inner=True,
    )


def _commit(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    return org.late.commit(str(_body(request).get("id")))


def _roll_back(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    return org.late.roll_back(str(_body(request).get("id")))


def _purge(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    before_s = clock.epoch_s() - (_whole(_body(request), "older_than_s", 0) or 0)
    with org.database.write() as connection:
        return {"purged": purge(connection, org.schema, before_s=before_s + 1)}


def _faults(org: "Org", request: Request, facts: Callable[[], dict[str, Any]]) -> Any:
    return {"hits": dict(org.faults.hits)}


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
    long = org.long_calls
    long.most = _whole(body, "long_calls", long.most) or 0
    long.long_s = (_whole(body, "long_call_ms", int(long.long_s * clock.MS)) or 0) / clock.MS
    room = org.room
    room.set(
        data_mb=_whole(body, "data_storage_mb", room.data_mb) or 0,
        file_mb=_whole(body, "file_storage_mb", room.file_mb) or 0,
    )
    wait_ms = _whole(body, "lock_wait_ms", int(org.locks.wait_s * clock.MS)) or 0
    org.locks.wait_s = wait_ms / clock.MS
    return {
        "max": org.meter.most,
        "used": org.meter.used,
        "long_calls": long.most,
        "long_call_ms": int(long.long_s * clock.MS),
        "lock_wait_ms": wait_ms,
        "data_storage_mb": room.data_mb,
        "file_storage_mb": room.file_mb,
    }


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
    "audit": {"GET": _audit, "PUT": _keep_audit},
    "clock": {"GET": _clock, "POST": _move_clock},
    "transactions": {"GET": _transactions, "POST": _open_transaction},
    "transactions/commit": {"POST": _commit},
    "transactions/rollback": {"POST": _roll_back},
    "purge": {"POST": _purge},
    "faults": {"GET": _faults, "POST": _add_faults, "DELETE": _clear_faults},
    "limits": {"POST": _limits},
    "outbound": {"GET": _outbound, "PUT": _route_outbound},
    "outbound/retry": {"POST": _retry},
    "outbound/resend": {"POST": _resend},
    **events.ROUTES,
    **ACCESS_ROUTES,
}
