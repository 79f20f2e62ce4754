"""Signed notices: who sent one knows a secret, and sent it just now.

Header `L2C-Signature: t=<unix seconds>,v1=<hex>`, where v1 is the HMAC-SHA256 of `<t>.<body>` under
the shared secret. Several v1 may be given while a secret is exchanged.
"""

import hashlib
import hmac
import re

from connector.errors import NotPermitted

HEADER = "L2C-Signature"
SIGNATURES_MAX = 5
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class BadSignature(NotPermitted):
    """The notice was not signed by somebody who knows the secret, or not just now."""

    code = "webhooks.bad_signature"


def check_signature(*, header: str, body: bytes, secret: str, now_s: int, age_max_s: int) -> None:
    """Check that the body was signed with the secret, not long ago.

    Compared in constant time. A replay inside the age has to be harmless to whoever is told.

    Raises:
        BadSignature: It was not, or no secret is configured.
    """
    if not secret:
        raise BadSignature("No secret for these notices is configured; all are refused.")
    pairs = [part.strip().partition("=") for part in header.split(",", SIGNATURES_MAX)]
    stamps = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v1"]
    if len(stamps) != 1 or not _TIMESTAMP.fullmatch(stamps[0]) or not signatures:
        raise BadSignature(f"The header {HEADER} reads t=<seconds>,v1=<signature>.")
    if abs(now_s - int(stamps[0])) > age_max_s:
        raise BadSignature("The notice was signed too long ago, or in the future.")
    wanted = hmac.new(secret.encode(), f"{stamps[0]}.".encode() + body, hashlib.sha256).hexdigest()
    matches = [hmac.compare_digest(wanted.encode(), given.encode()) for given in signatures]
    if not any(matches):
        raise BadSignature("The signature does not fit the notice.")
