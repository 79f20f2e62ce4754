"""Admin calls about events: what is recorded, gaps, settings."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .. import clock
from ..errors import ApiError
from ..ids import normalize
from ..rest.http import Request, parse_json
from .managed import Definition, ManagedSubscription

if TYPE_CHECKING:
    from ..org import Org

MOST_IDS = 1_000
DEFINED = tuple(field.name for field in fields(Definition))


def overview(org: "Org", request: Request, facts: Any) -> Any:
    """GET /__sandbox__/events."""
    return org.events.overview()


def settings(org: "Org", request: Request, facts: Any) -> Any:
    """PUT /__sandbox__/events: allowances, times, and when a transaction overflows."""
    body = _object(request)
    known: dict[str, Callable[[Any], None]] = {
        "daily_deliveries": lambda n: org.events.delivered.start_over(most=int(n)),
        "hourly_publishes": lambda n: org.events.published.start_over(most=int(n)),
        "overflow_at": lambda n: org.events.overflow_at(int(n)),
        "keep_alive_s": lambda n: setattr(org.events, "keep_alive_s", float(n)),
        "publish_idle_s": lambda n: setattr(org.events, "publish_idle_s", float(n)),
    }
    for name, value in body.items():
        number = isinstance(value, int | Decimal) and not isinstance(value, bool)
        if name not in known or not number or not 0 <= value <= 10**9:
            message = f"{name} must be one of {', '.join(known)} and a number"
            raise ApiError(400, "INVALID_INPUT", message)
    for name, value in body.items():
        known[name](value)
    return org.events.overview()


def select(org: "Org", request: Request, facts: Any) -> Any:
    """PUT /__sandbox__/cdc: the objects of the standard channel."""
    names = _object(request).get("entities")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ApiError(400, "INVALID_INPUT", "entities must be a list of object names")
    org.events.select(names)
    return {"entities": list(org.events.channels.selected)}


def gap(org: "Org", request: Request, facts: Any) -> Any:
    """POST /__sandbox__/events/gap."""
    body = _object(request)
    ids = body.get("record_ids", [])
    found = [normalize(i) if isinstance(i, str) else None for i in ids] if _is_list(ids) else [None]
    if None in found or len(found) > MOST_IDS:
        raise ApiError(400, "INVALID_INPUT", f"record_ids must be up to {MOST_IDS} record ids")
    kind = str(body.get("type", "GAP_UPDATE"))
    if not found and kind != "GAP_OVERFLOW":
        raise ApiError(400, "INVALID_INPUT", f"{kind} needs record_ids")
    with org.database.read() as connection:
        sql = 'SELECT "Id" FROM "User" ORDER BY "Id" LIMIT 1'
        (user_id,) = connection.execute(sql).fetchone()
    org.events.gap(
        str(body.get("entity", "")),
        kind=kind,
        record_ids=[i for i in found if i is not None],
        user_id=user_id,
        now_s=clock.epoch_s(),
    )
    return org.events.overview()


def expire(org: "Org", request: Request, facts: Any) -> Any:
    """POST /__sandbox__/events/expire: as if 72 hours had passed."""
    return {"expired": org.events.expire()}


def managed(org: "Org", request: Request, facts: Any) -> Any:
    """GET /__sandbox__/events/managed: the managed subscriptions and where their clients are."""
    return {"subscriptions": [_shown(org, one) for one in org.events.managed.all()]}


def define_managed(org: "Org", request: Request, facts: Any) -> Any:
    """PUT /__sandbox__/events/managed: define, change, start or stop a managed subscription."""
    changes = dict(_object(request))
    for name, value in changes.items():
        if name not in DEFINED or not isinstance(value, str):
            message = f"{name} must be one of {', '.join(DEFINED)} and a text"
            raise ApiError(400, "INVALID_INPUT", message)
    one = org.events.managed.define(changes.pop("developer_name", ""), changes)
    org.events.bus.wake()
    return _shown(org, one)


def remove_managed(org: "Org", request: Request, facts: Any) -> Any:
    """DELETE /__sandbox__/events/managed?developer_name=N."""
    removed = org.events.managed.remove(request.query.get("developer_name", ""))
    org.events.bus.wake()
    return {"removed": removed}


def _shown(org: "Org", one: ManagedSubscription) -> dict[str, Any]:
    name = one.definition.developer_name
    place = {"committed": one.committed, "connected": org.events.managed.is_held(name)}
    return {"id": one.id} | asdict(one.definition) | place


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _object(request: Request) -> Mapping[str, Any]:
    value = parse_json(request.body) if request.body else {}
    if not isinstance(value, dict):
        raise ApiError(400, "INVALID_INPUT", "the body must be a JSON object")
    return value


ROUTES = {
    "events": {"GET": overview, "PUT": settings},
    "events/gap": {"POST": gap},
    "events/expire": {"POST": expire},
    "events/managed": {"GET": managed, "PUT": define_managed, "DELETE": remove_managed},
    "cdc": {"PUT": select},
}
