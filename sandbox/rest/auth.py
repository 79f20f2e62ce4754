"""OAuth: tokens, revocation, introspection, user info (fact sheet A)."""

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from .. import clock
from ..admin import is_loopback
from ..auth.assertion import LOGIN_HOSTS
from ..errors import ApiError, OAuthError, not_found
from ..sessions import ADMIN, CLIENT_ID, CLIENT_SECRET, INTEGRATION, PASSWORD, Session
from .http import Answer, Request
from .routing import split_query

if TYPE_CHECKING:
    from ..org import Org

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_HINTS = frozenset({"", "access_token", "refresh_token"})
MAX_USERNAME = 80
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


def authenticate(org: "Org", request: Request) -> Session:
    """Return the session a call belongs to.

    Raises:
        ApiError: 401 where the header or the token is no good.
    """
    header = request.headers.get("authorization")
    if header is None:
        raise ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")
    scheme, _, token = header.partition(" ")
    if scheme.lower() not in {"bearer", "oauth"} or not token.strip():
        raise ApiError(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
    session = org.sessions.find(token.strip())
    if session is None:
        raise ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")
    return session


def oauth(org: "Org", request: Request, name: str) -> Answer:
    """Answer one of the OAuth endpoints; errors have OAuth's own form."""
    handler = ENDPOINTS.get(name)
    try:
        if handler is not None:
            return handler(org, request)
    except OAuthError as error:
        body = {"error": error.error, "error_description": error.description}
        return Answer(error.status, body, headers=dict(NO_STORE), counted=False)
    if name == "userinfo":
        return _userinfo(org, request)
    raise not_found()


def _form(request: Request) -> dict[str, str]:
    if request.method not in {"POST", "GET"}:
        raise OAuthError("invalid_request", "only POST is allowed")
    try:
        text = request.body.decode("utf-8")
    except UnicodeDecodeError:
        raise OAuthError("invalid_request", "the body is no form") from None
    return {**request.query, **split_query(text)}


def _token(org: "Org", request: Request) -> Answer:
    if request.method != "POST":
        raise OAuthError("invalid_request", "must use HTTP POST")
    form = _form(request)
    grant = GRANTS.get(form.get("grant_type", ""))
    if grant is None:
        raise OAuthError("unsupported_grant_type", "grant type not supported")
    username, refresh = grant(org, request, form)
    if not org.sessions.count_login(username[:MAX_USERNAME]):
        raise OAuthError("rate_limit_exceeded", "login rate exceeded")
    session = org.sessions.begin(username, organization_id=org.organization_id, refresh=refresh)
    if session is None:
        raise _no_user(org, username, grant is _by_assertion)
    body = _token_body(org, request, session)
    if grant is _by_code and refresh is not None:
        body["refresh_token"] = refresh
    elif grant is _by_assertion:
        body = {k: v for k, v in body.items() if k not in {"issued_at", "signature"}}
    return Answer(200, body, headers=dict(NO_STORE), counted=False)


def _no_user(org: "Org", username: str, asserted: bool) -> OAuthError:
    if org.sessions.is_known(username):
        return OAuthError("invalid_grant", "user is inactive")
    text = "user hasn't approved this consumer" if asserted else "authentication failure"
    return OAuthError("invalid_grant", text)


# --- the grants: each returns the username and, where there is one, the refresh token ---

Granted = tuple[str, str | None]


def _by_client(org: "Org", request: Request, form: dict[str, str]) -> Granted:
    _check_client(request, form)
    if f"https://{request.headers.get('host', '').lower()}" in LOGIN_HOSTS:
        raise OAuthError("invalid_grant", "request not supported on this domain")
    return INTEGRATION, None


def _by_password(org: "Org", request: Request, form: dict[str, str]) -> Granted:
    _check_client(request, form)
    if not hmac.compare_digest(form.get("password", "").encode(), PASSWORD.encode()):
        raise OAuthError("invalid_grant", "authentication failure")
    return form.get("username", ""), None


def _by_refresh_token(org: "Org", request: Request, form: dict[str, str]) -> Granted:
    _check_client(request, form, secret_needed=False)
    token = form.get("refresh_token", "")
    username = org.sessions.offline.username(token)
    if username is None:
        raise OAuthError("invalid_grant", "expired access/refresh token")
    return username, token


def _by_code(org: "Org", request: Request, form: dict[str, str]) -> Granted:
    proven = "code_verifier" in form
    _check_client(request, form, secret_needed=not proven)
    username = org.sessions.offline.redeem(
        form.get("code", ""),
        redirect_uri=form.get("redirect_uri", ""),
        verifier=form.get("code_verifier"),
    )
    return username, org.sessions.offline.issue(username)


def _by_assertion(org: "Org", request: Request, form: dict[str, str]) -> Granted:
    origins = {request.origin.lower(), (org.outbound.base_url or "").lower()}
    username = org.sessions.certificates.subject(
        form.get("assertion", ""),
        client_id=CLIENT_ID,
        audiences=LOGIN_HOSTS | frozenset(origins),
        now_s=clock.epoch_s(),
    )
    return username, None


def _check_client(request: Request, form: dict[str, str], *, secret_needed: bool = True) -> None:
    client, secret = form.get("client_id"), form.get("client_secret")
    header = request.headers.get("authorization", "")
    if header.lower().startswith("basic "):
        try:
            pair = base64.b64decode(header[6:], validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise OAuthError("invalid_client", "invalid client credentials") from None
        client, _, secret = pair.partition(":")
    if client != CLIENT_ID:
        raise OAuthError("invalid_client_id", "client identifier invalid")
    if secret is None and not secret_needed:
        return
    if not hmac.compare_digest((secret or "").encode(), CLIENT_SECRET.encode()):
        raise OAuthError("invalid_client", "invalid client credentials")


def _token_body(org: "Org", request: Request, session: Session) -> dict[str, str]:
    identity = f"{request.origin}/id/{org.organization_id}/{session.actor.user_id}"
    issued_at = str(clock.epoch_ms())
    digest = hmac.new(CLIENT_SECRET.encode(), (identity + issued_at).encode(), hashlib.sha256)
    return {
        "access_token": session.token,
        "signature": base64.b64encode(digest.digest()).decode(),
        "scope": "api refresh_token",
        "instance_url": request.origin,
        "id": identity,
        "token_type": "Bearer",
        "issued_at": issued_at,
    }


def _authorize(org: "Org", request: Request) -> Answer:
    """Grant a code without asking: the user is `login_hint`, else the administrator."""
    form = _form(request)
    target = form.get("redirect_uri", "")
    if form.get("client_id") != CLIENT_ID:
        raise OAuthError("invalid_client_id", "client identifier invalid")
    if form.get("response_type") != "code":
        raise OAuthError("unsupported_response_type", "response type not supported")
    if not is_loopback(request.peer):
        # Nobody is asked for a password here, so the way is for this machine alone.
        raise OAuthError("access_denied", "end-user denied authorization")
    if not _is_local(target):
        raise OAuthError("redirect_uri_mismatch", "redirect_uri must match configuration")
    code = org.sessions.offline.grant(
        form.get("login_hint") or ADMIN,
        redirect_uri=target,
        challenge=form.get("code_challenge"),
    )
    answer = {"code": code} | ({"state": form["state"]} if "state" in form else {})
    place = f"{target}{'&' if '?' in target else '?'}{urlencode(answer)}"
    return Answer(302, raw=b"", headers={"Location": place, **NO_STORE}, counted=False)


def _is_local(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in {"http", "https"} and parts.hostname in LOCAL_HOSTS
    except ValueError:
        return False


def _revoke(org: "Org", request: Request) -> Answer:
    form = _form(request)
    token = form.get("token", "")
    if form.get("token_type_hint", "") not in TOKEN_HINTS:
        raise OAuthError("unsupported_token_type", "this token type cannot be revoked")
    if org.sessions.offline.revoke(token):
        org.sessions.end_of_refresh(token)
    elif not org.sessions.end(token):
        raise OAuthError("invalid_token", "invalid token: the token is unknown")
    return Answer(200, raw=b"", counted=False)


def _introspect(org: "Org", request: Request) -> Answer:
    """Tell a client about a token; asking does not keep a session alive."""
    form = _form(request)
    _check_client(request, form)
    token = form.get("token", "")
    username = org.sessions.offline.username(token)
    if username is not None:
        body: dict[str, object] = {"active": True, "token_type": "refresh_token"}
        body |= {"username": username, "client_id": CLIENT_ID, "scope": "api refresh_token"}
        return Answer(200, body, headers=dict(NO_STORE), counted=False)
    session = org.sessions.peek(token)
    if session is None:
        return Answer(200, {"active": False}, headers=dict(NO_STORE), counted=False)
    body = {
        "active": True,
        "scope": "api refresh_token",
        "client_id": CLIENT_ID,
        "username": session.actor.username,
        "sub": f"{request.origin}/id/{org.organization_id}/{session.actor.user_id}",
        "token_type": "access_token",
        "iat": session.began_s,
        "nbf": session.began_s,
        "exp": org.sessions.ends_s(session),
    }
    return Answer(200, body, headers=dict(NO_STORE), counted=False)


def _userinfo(org: "Org", request: Request) -> Answer:
    session = authenticate(org, request)
    return Answer(200, identity_body(org, request, session.actor.user_id), counted=False)


def identity_body(org: "Org", request: Request, user_id: str) -> dict[str, object]:
    """Return who a user is, as userinfo and the identity address tell it."""
    sql = (
        'SELECT "Username", "Name", "Email", "FirstName", "LastName", "TimeZoneSidKey", '
        '"LocaleSidKey", "LanguageLocaleKey", "UserType", "IsActive" FROM "User" WHERE "Id" = ?'
    )
    with org.database.read() as connection:
        row = connection.execute(sql, (user_id,)).fetchone()
    if row is None:
        raise not_found()
    identity = f"{request.origin}/id/{org.organization_id}/{user_id}"
    return {
        "sub": identity,
        "id": identity,
        "user_id": user_id,
        "organization_id": org.organization_id,
        "preferred_username": row[0],
        "username": row[0],
        "name": row[1],
        "display_name": row[1],
        "email": row[2],
        "given_name": row[3],
        "family_name": row[4],
        "zoneinfo": row[5],
        "locale": row[6],
        "language": row[7],
        "user_type": (row[8] or "").upper(),
        "active": row[9] == 1,
        "urls": {
            "rest": f"{request.origin}/services/data/v{{version}}/",
            "sobjects": f"{request.origin}/services/data/v{{version}}/sobjects/",
            "query": f"{request.origin}/services/data/v{{version}}/query/",
        },
    }


GRANTS = {
    "client_credentials": _by_client,
    "password": _by_password,
    "refresh_token": _by_refresh_token,
    "authorization_code": _by_code,
    JWT_BEARER: _by_assertion,
}
ENDPOINTS = {
    "token": _token,
    "revoke": _revoke,
    "introspect": _introspect,
    "authorize": _authorize,
}
