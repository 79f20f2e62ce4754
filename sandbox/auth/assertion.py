"""JWT bearer: registered certificates and the assertions signed with their keys (A.2, A.6)."""

import base64
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import OAuthError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

LOGIN_HOSTS = frozenset({"https://login.salesforce.com", "https://test.salesforce.com"})
MAX_CERTIFICATES = 100
MAX_REPLAYS = 100_000
MAX_CLAIM = 1_000
_NOT_VALID = "invalid assertion"


@dataclass(frozen=True, slots=True)
class Registered:
    """An uploaded certificate and who may be impersonated with it; None means everybody."""

    fingerprint: str
    key: "RSAPublicKey"
    approved: frozenset[str] | None


class Certificates:
    """The certificates of the connected app, and the assertions that were used up."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Registered] = OrderedDict()
        self._used: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def register(self, pem: str, *, approved: frozenset[str] | None) -> str:
        """Accept a certificate and return its SHA-256 fingerprint.

        Raises:
            ApiError: The text is no X.509 certificate of an RSA key.
        """
        from .signatures import read_certificate

        fingerprint, key = read_certificate(pem)
        with self._lock:
            self._known[fingerprint] = Registered(fingerprint, key, approved)
            while len(self._known) > MAX_CERTIFICATES:
                self._known.popitem(last=False)
        return fingerprint

    def subject(
        self, assertion: str, *, client_id: str, audiences: frozenset[str], now_s: int
    ) -> str:
        """Return the username an assertion stands for.

        Raises:
            OAuthError: Why it is refused, in the words of A.6.
        """
        head, claims, signed, signature = _split(assertion)
        if claims.get("iss") != client_id:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        signer = self._signer(signed, signature) if head.get("alg") == "RS256" else None
        if signer is None:
            raise OAuthError("invalid_grant", _NOT_VALID)
        if not _is_meant_for(claims.get("aud"), audiences):
            raise OAuthError("invalid_grant", "Audience validation failed")
        if _seconds(claims.get("exp")) <= now_s:
            raise OAuthError("invalid_grant", "expired")
        username = claims.get("sub")
        if not isinstance(username, str) or not username:
            raise OAuthError("invalid_grant", _NOT_VALID)
        if signer.approved is not None and username.lower() not in signer.approved:
            message = "user is not admin approved to access this app"
            raise OAuthError("invalid_app_access", message)
        self._use_up(claims.get("jti"))
        return username

    def _signer(self, signed: bytes, signature: bytes) -> Registered | None:
        with self._lock:
            known = list(self._known.values())
        if not known:
            return None
        from .signatures import is_signed

        signers = (k for k in known if is_signed(k.key, signed=signed, signature=signature))
        return next(signers, None)

    def _use_up(self, jti: Any) -> None:
        if jti is None:
            return
        name = str(jti)[:MAX_CLAIM]
        with self._lock:
            if name in self._used:
                raise OAuthError("invalid_grant", _NOT_VALID)
            self._used[name] = None
            while len(self._used) > MAX_REPLAYS:
                self._used.popitem(last=False)


def _split(assertion: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """Return header, claims, signed bytes and signature of a JWT."""
    parts = assertion.split(".")
    try:
        if len(parts) != 3:
            raise ValueError("a JWT has three parts")
        head, claims = (json.loads(_decoded(part)) for part in parts[:2])
        signature = _decoded(parts[2])
        signed = f"{parts[0]}.{parts[1]}".encode("ascii")
    except (ValueError, RecursionError) as error:
        raise OAuthError("invalid_grant", _NOT_VALID) from error
    if not isinstance(head, dict) or not isinstance(claims, dict):
        raise OAuthError("invalid_grant", _NOT_VALID)
    return head, claims, signed, signature


def _decoded(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _is_meant_for(aud: Any, audiences: frozenset[str]) -> bool:
    given = aud if isinstance(aud, list) else [aud]
    return any(isinstance(one, str) and one.rstrip("/").lower() in audiences for one in given)


def _seconds(exp: Any) -> int:
    """Return `exp`, a number or a string of digits; anything else is long past."""
    text = str(exp) if isinstance(exp, int | str) and not isinstance(exp, bool) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
