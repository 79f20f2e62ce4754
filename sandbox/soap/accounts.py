"""Logging in and out by SOAP, and who the caller is (fact sheet A.7)."""

import hmac
from typing import TYPE_CHECKING, Any

from ..ids import normalize
from ..rest.http import Request
from ..schema.currencies import USER_CURRENCY
from ..sessions import PASSWORD
from .faults import SoapFault
from .reading import Call, no_operation
from .types import PARTNER

if TYPE_CHECKING:
    from ..org import Org

LAST_LOGIN_VERSION = 64
MOST_LOGIN_BYTES = 10_240
SESSION_S = 7_200
ATTACHMENT_LIMIT = 5_242_880


def login(org: "Org", request: Request, call: Call) -> dict[str, Any]:
    """Open a session for a user name and password.

    Raises:
        SoapFault: The org does not allow it, the version has no login, or the pair is wrong.
    """
    if float(request.version) > LAST_LOGIN_VERSION:
        raise no_operation(PARTNER, "login")
    if not org.soap_login:
        message = "SOAP API login() is disabled by default in this org."
        raise SoapFault("API_DISABLED_FOR_ORG", message, kind="LoginFault")
    if len(request.body) > MOST_LOGIN_BYTES:
        message = "the login request is larger than 10 KB"
        raise SoapFault("EXCEEDED_MAX_SIZE_REQUEST", message)
    scope = call.header("LoginScopeHeader", "organizationId")
    username = call.arguments.one("username") or ""
    password = call.arguments.one("password") or ""
    matches = hmac.compare_digest(password.encode(), PASSWORD.encode())
    here = scope is None or normalize(scope) == org.organization_id
    session = None
    if matches and here:
        session = org.sessions.begin(username, organization_id=org.organization_id)
    if session is None:
        message = "Invalid username, password, security token; or user locked out."
        raise SoapFault("INVALID_LOGIN", message, kind="LoginFault")
    path = f"{request.origin}/services/Soap/{{}}/{request.version}/{org.organization_id[:15]}"
    return {
        "metadataServerUrl": path.format("m"),
        "passwordExpired": False,
        "sandbox": True,
        "serverUrl": path.format("u"),
        "sessionId": session.token,
        "userId": session.actor.user_id,
        "userInfo": user_info(org, session.actor.user_id),
    }


def logout(org: "Org", request: Request, call: Call) -> None:
    """Close the caller's session."""
    org.sessions.end(request.me.token)


def invalidate_sessions(org: "Org", request: Request, call: Call) -> list[dict[str, Any]]:
    """Close sessions by their ids."""
    results = []
    for token in call.arguments.texts("sessionIds"):
        known = org.sessions.end(token)
        error = {"message": "Invalid session id", "statusCode": "INVALID_SESSION_ID"}
        results.append({"success": known, "errors": [] if known else [error]})
    return results


def get_user_info(org: "Org", request: Request, call: Call) -> dict[str, Any]:
    """Return who the caller is."""
    return user_info(org, request.me.actor.user_id)


def user_info(org: "Org", user_id: str) -> dict[str, Any]:
    """Return what the API tells about a user and the organization."""
    several = org.multi_currency
    currency = f'u."{USER_CURRENCY}"' if several else "NULL"
    sql = (
        'SELECT u."Email", u."Name", u."LanguageLocaleKey", u."LocaleSidKey", u."Username", '
        'u."TimeZoneSidKey", u."UserType", u."ProfileId", o."Name", '
        '(SELECT COUNT(*) FROM "RecordType" WHERE "IsPersonType" = 1 AND "IsActive" = 1), '
        f'{currency}, u."UserRoleId" FROM "User" u, "Organization" o WHERE u."Id" = ?'
    )
    with org.database.read() as connection:
        row = connection.execute(sql, (user_id,)).fetchone()
    return {
        "accessibilityMode": False,
        "chatterExternal": False,
        "currencySymbol": None if several else "$",
        "orgAttachmentFileSizeLimit": ATTACHMENT_LIMIT,
        "orgDefaultCurrencyIsoCode": None if several else "USD",
        "orgDefaultCurrencyLocale": None if several else "en_US",
        "orgDisallowHtmlAttachments": False,
        "orgHasPersonAccounts": row[9] > 0,
        "organizationId": org.organization_id,
        "organizationMultiCurrency": several,
        "organizationName": row[8],
        "profileId": row[7] or "",
        "roleId": row[11],
        "sessionSecondsValid": SESSION_S,
        "userDefaultCurrencyIsoCode": row[10],
        "userEmail": row[0],
        "userFullName": row[1],
        "userId": user_id,
        "userLanguage": row[2],
        "userLocale": row[3],
        "userName": row[4],
        "userTimeZone": row[5],
        "userType": row[6] or "Standard",
        "userUiSkin": "Theme3",
    }
