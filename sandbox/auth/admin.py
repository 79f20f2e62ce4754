"""Admin calls about who may come in: certificates, session length, users."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import ApiError
from ..rest.http import Request, parse_json
from .access import UnknownName, Wanted

if TYPE_CHECKING:
    from ..org import Org

ADMIN = "admin@sandbox.example"
MAX_USERNAME = 80
MOST_IDLE_S = 10**9
Facts = Callable[[], dict[str, Any]]


def _body(request: Request) -> dict[str, Any]:
    value = parse_json(request.body) if request.body else {}
    if not isinstance(value, dict):
        raise ApiError(400, "INVALID_INPUT", "the body must be a JSON object")
    return value


def names_in(body: dict[str, Any], name: str) -> list[str] | None:
    """Return a list of names of a body, None where it is not given."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ApiError(400, "INVALID_INPUT", f"{name} must be a list of names")
    return value


def add_certificate(org: "Org", request: Request, facts: Facts) -> Any:
    """POST certificates: `{"certificate": PEM, "users": [usernames]}`; no users means all."""
    body = _body(request)
    pem = body.get("certificate")
    if not isinstance(pem, str):
        raise ApiError(400, "INVALID_INPUT", "certificate must be an X.509 certificate in PEM")
    users = names_in(body, "users")
    approved = None if users is None else frozenset(name.lower() for name in users)
    return {"fingerprint": org.sessions.certificates.register(pem, approved=approved)}


def set_sessions(org: "Org", request: Request, facts: Facts) -> Any:
    """POST sessions: `{"idle_s": seconds}` without a call after which a session ends."""
    idle_s = _body(request).get("idle_s")
    if type(idle_s) is not int or not 0 <= idle_s <= MOST_IDLE_S:
        raise ApiError(400, "INVALID_INPUT", "idle_s must be a whole number")
    org.sessions.idle_s = idle_s
    return {"idle_s": idle_s}


def add_refresh_token(org: "Org", request: Request, facts: Facts) -> Any:
    """POST refresh-tokens: `{"username": name}` gives what the web flow would have given."""
    username = _body(request).get("username")
    if not isinstance(username, str) or not org.sessions.is_known(username):
        raise ApiError(400, "INVALID_INPUT", "username must name a user of the org")
    return {"refresh_token": org.sessions.offline.issue(username)}


def put_user(org: "Org", request: Request, facts: Facts) -> Any:
    """PUT users: a user with a profile and permission sets; open sessions see the change."""
    body = _body(request)
    username = body.pop("username", None)
    if not isinstance(username, str) or "@" not in username or len(username) > MAX_USERNAME:
        raise ApiError(400, "INVALID_INPUT", "username must have the form of an email address")
    profile = body.pop("profile", "Standard User")
    sets = names_in(body, "permission_sets") or []
    body.pop("permission_sets", None)
    wanted = Wanted(
        username=username, profile=str(profile), permission_sets=tuple(sets), fields=body
    )
    admin = org.sessions.access.actor(ADMIN)
    assert admin is not None
    try:
        user_id = org.sessions.access.put_user(
            org, wanted, actor=admin, request_id=request.request_id
        )
    except UnknownName as error:
        raise ApiError(400, "INVALID_INPUT", str(error)) from error
    org.sessions.renew(username)
    return {"id": user_id, "username": username}


ROUTES: dict[str, dict[str, Callable[["Org", Request, Facts], Any]]] = {
    "certificates": {"POST": add_certificate},
    "sessions": {"POST": set_sessions},
    "users": {"PUT": put_user},
    "refresh-tokens": {"POST": add_refresh_token},
}
