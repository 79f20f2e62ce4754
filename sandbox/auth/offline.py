"""Authorization codes and refresh tokens of the web flow (fact sheet A.5, A.6)."""

import base64
import hashlib
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass

from .. import clock
from ..errors import OAuthError

CODE_LIFE_S = 900
MOST = 10_000


@dataclass(frozen=True, slots=True)
class Code:
    """A granted authorization on its way to the client."""

    username: str
    redirect_uri: str
    challenge: str | None
    expires_s: float


class OfflineAccess:
    """Codes to be redeemed once, and the refresh tokens given for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._codes: OrderedDict[str, Code] = OrderedDict()
        self._refresh: OrderedDict[str, str] = OrderedDict()

    def grant(self, username: str, *, redirect_uri: str, challenge: str | None) -> str:
        """Return a new code."""
        name = "aPrx" + secrets.token_urlsafe(40)
        expires_s = clock.monotonic_s() + CODE_LIFE_S
        with self._lock:
            self._codes[name] = Code(username, redirect_uri, challenge, expires_s)
            while len(self._codes) > MOST:
                self._codes.popitem(last=False)
        return name

    def redeem(self, name: str, *, redirect_uri: str, verifier: str | None) -> str:
        """Return the username of a code, which is used up by this.

        Raises:
            OAuthError: Unknown, expired, or redeemed by somebody else.
        """
        with self._lock:
            code = self._codes.pop(name, None)
        if code is None:
            raise OAuthError("invalid_grant", "invalid authorization code")
        if code.expires_s < clock.monotonic_s():
            raise OAuthError("invalid_grant", "expired authorization code")
        if redirect_uri != code.redirect_uri:
            raise OAuthError("redirect_uri_mismatch", "redirect_uri must match configuration")
        if code.challenge is not None and _challenge(verifier or "") != code.challenge:
            raise OAuthError("invalid_grant", "invalid code verifier")
        return code.username

    def issue(self, username: str) -> str:
        """Return a new refresh token of a user."""
        token = "5Aep861" + secrets.token_urlsafe(48)
        with self._lock:
            self._refresh[token] = username
            while len(self._refresh) > MOST:
                self._refresh.popitem(last=False)
        return token

    def username(self, token: str) -> str | None:
        """Return whose refresh token it is."""
        return self._refresh.get(token)

    def revoke(self, token: str) -> bool:
        """Forget a refresh token; return whether it was known."""
        with self._lock:
            return self._refresh.pop(token, None) is not None


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
