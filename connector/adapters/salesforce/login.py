"""OAuth: how the connector gets a session (design D13: never SOAP login)."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import requests
import structlog
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from connector.adapters.salesforce.errors import OrgLimit, OrgLoginFailed, OrgUnavailable
from connector.adapters.salesforce.ids import to_18
from connector.adapters.salesforce.transport import is_loopback, prepare
from connector.errors import Misconfigured
from connector.kernel.clock import SystemClock

log = structlog.get_logger(__name__)

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_JWT_LIFE = timedelta(minutes=3)
_LATER = frozenset({"unknown_error", "temporarily_unavailable", "server_error"})


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """Logs in as the run-as user of an app, with the app's secret (fact sheet A.3)."""

    client_id: str
    client_secret: str = field(repr=False)

    def form(self, *, login_url: str, now: datetime) -> dict[str, str]:  # noqa: ARG002
        """Return the fields of the token request."""
        return {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }


@dataclass(frozen=True, slots=True)
class JwtBearer:
    """Logs in as a pre-approved user, with a signed assertion (fact sheet A.2)."""

    client_id: str
    username: str
    private_key_pem: str = field(repr=False)
    audience: str = ""  # empty: the login address

    def form(self, *, login_url: str, now: datetime) -> dict[str, str]:
        """Return the fields of the token request."""
        claims = {
            "iss": self.client_id,
            "sub": self.username,
            "aud": self.audience or login_url,
            "exp": int((now + _JWT_LIFE).timestamp()),
        }
        return {"grant_type": _JWT_BEARER, "assertion": self._sign(claims)}

    def _sign(self, claims: dict[str, object]) -> str:
        try:
            key = serialization.load_pem_private_key(self.private_key_pem.encode(), password=None)
        except (ValueError, TypeError) as error:
            raise Misconfigured(
                "The private key for the JWT login cannot be read.",
                remedy="Give an unencrypted RSA key in PEM form.",
            ) from error
        if not isinstance(key, rsa.RSAPrivateKey):
            raise Misconfigured(
                "The JWT login needs an RSA key.", remedy="Make one: RSA, 2048 bit."
            )
        signed = f"{_base64url(orjson.dumps({'alg': 'RS256'}))}.{_base64url(orjson.dumps(claims))}"
        signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64url(signature)}"


Grant = ClientCredentials | JwtBearer


@dataclass(frozen=True, slots=True)
class Token:
    """An open session. Its life is not known beforehand: only a 401 says that it has ended."""

    access_token: str = field(repr=False)
    instance_url: str
    organization_id: str  # 18 characters


@dataclass(frozen=True, slots=True)
class Login:
    """Where and how to log in; with an `organization_id`, to that org and no other."""

    login_url: str
    grant: Grant
    ca_file: Path | None = None
    organization_id: str | None = None  # 15 or 18 characters
    timeout_s: float = 30
    now: Callable[[], datetime] = field(default=SystemClock().now, repr=False)

    def open(self) -> Token:
        """Open a session.

        Raises:
            OrgLoginFailed: Salesforce refuses these credentials, or it is another org.
            OrgLimit: Too many logins in this hour.
            OrgUnavailable: No usable answer.
        """
        with requests.Session() as http:
            prepare(http, url=self.login_url, ca_file=self.ca_file)
            form = self.grant.form(login_url=self.login_url, now=self.now())
            try:
                answer = http.post(
                    f"{self.login_url.rstrip('/')}/services/oauth2/token",
                    data=form,
                    timeout=self.timeout_s,
                    allow_redirects=False,  # the secret goes to this address or nowhere
                )
            except requests.RequestException as error:
                host = urlsplit(self.login_url).netloc.rpartition("@")[2]
                raise OrgUnavailable(
                    f"The login at {host} did not answer ({type(error).__name__})."
                ) from None
        body = _decoded(answer)
        if answer.status_code == 200:
            return self._token(body)
        raise _login_error(answer.status_code, body)

    def _token(self, body: dict[str, object]) -> Token:
        access_token, instance_url = body.get("access_token"), body.get("instance_url")
        if not isinstance(access_token, str) or not isinstance(instance_url, str):
            raise OrgUnavailable("The login's answer holds no session.")
        if is_loopback(instance_url) and not is_loopback(self.login_url):
            raise OrgLoginFailed("The login points the connector at its own machine.")
        token = Token(access_token, instance_url.rstrip("/"), _organization_id(body))
        if self.organization_id and token.organization_id != to_18(self.organization_id):
            raise OrgLoginFailed(
                f"{self.login_url} leads to the org {token.organization_id}, "
                f"not to {self.organization_id}.",
                remedy="Correct salesforce.login_url or salesforce.organization_id.",
            )
        log.info("org.logged_in", organization_id=token.organization_id)
        return token


def _organization_id(body: dict[str, object]) -> str:
    # The identity URL ends in /id/{organization id}/{user id} (fact sheet A.1).
    parts = str(body.get("id", "")).rstrip("/").split("/")
    return to_18(parts[-2]) if len(parts) >= 2 else ""


def _decoded(answer: requests.Response) -> dict[str, object]:
    try:
        body = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _login_error(status: int, body: dict[str, object]) -> Exception:
    error = str(body.get("error", ""))
    told = str(body.get("error_description", "") or f"HTTP {status}")
    if error == "rate_limit_exceeded":
        return OrgLimit(f"The login was refused: {told}.", is_daily=False)
    if status >= 500 or status in (408, 420, 429) or error in _LATER or not error:
        return OrgUnavailable(f"The login answered HTTP {status} {error}".rstrip() + ".")
    return OrgLoginFailed(f"Salesforce refused the login: {error}: {told}.")


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
