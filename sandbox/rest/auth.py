"""OAuth: tokens, revocation, user info (fact sheet A)."""

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

from .. import clock
from ..errors import ApiError, OAuthError, not_found
from ..sessions import CLIENT_ID, CLIENT_SECRET, INTEGRATION, PASSWORD, Session
from .http import Answer, Request
from .routing import split_query

if TYPE_CHECKING:
    from ..org import Org

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
UNSUPPORTED = frozenset(
    {"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"}
)


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
    try:
        if name == "token":
            return _token(org, request)
        if name == "revoke":
            return _revoke(org, request)
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
    grant = form.get("grant_type", "")
    if grant in UNSUPPORTED or grant not in {"client_credentials", "password"}:
        raise OAuthError("unsupported_grant_type", "grant type not supported")
    _check_client(request, form)
    if grant == "client_credentials":
        username = INTEGRATION
    else:
        username = form.get("username", "")
        if not hmac.compare_digest(form.get("password", "").encode(), PASSWORD.encode()):
            raise OAuthError("invalid_grant", "authentication failure")
    session = org.sessions.begin(username, organization_id=org.organization_id)
    if session is None:
        raise OAuthError("invalid_grant", "authentication failure")
    return Answer(200, _token_body(org, request, session), headers=dict(NO_STORE), counted=False)


def _check_client(request: Request, form: dict[str, str]) -> None:
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
    if not hmac.compare_digest((secret or "").encode(), CLIENT_SECRET.encode()):
        raise OAuthError("invalid_client", "invalid client credentials")


def _token_body(org: "Org", request: Request, session: Session) -> dict[str, str]:
    identity = f"{request.origin}/id/{org.organization_id}/{session.actor.user_id}"
    issued_at = str(clock.epoch_ms())
    digest = hmac.new(CLIENT_SECRET.encode(), (identity + issued_at).encode(), hashlib.sha256)
    return {
        "access_token": session.token,
        "signature": base64.b64encode(digest.digest()).decode(),
        "scope": "api",
        "instance_url": request.origin,
        "id": identity,
        "token_type": "Bearer",
        "issued_at": issued_at,
    }


def _revoke(org: "Org", request: Request) -> Answer:
    token = _form(request).get("token", "")
    if not org.sessions.end(token):
        raise OAuthError("invalid_token", "invalid token: the token is unknown")
    return Answer(200, raw=b"", counted=False)


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
