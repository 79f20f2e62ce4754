"""A key pair of the contract's own, and assertions signed with it (fact sheet A.2)."""

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

ENDS_IN_S = 180


class Signer:
    """Signs assertions of one user of one client."""

    def __init__(self, *, client_id: str, username: str) -> None:
        self._key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        self._claims = {
            "iss": client_id,
            "sub": username,
            "aud": "https://login.salesforce.com",
        }

    def certificate(self) -> str:
        """Return the certificate to be registered."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "contract")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    def assertions(self) -> dict[str, str]:
        """Return the assertions that the cases name."""
        end = int(time.time()) + ENDS_IN_S
        return {
            "assertion_number": self._signed(exp=end),
            "assertion_text": self._signed(exp=str(end)),
            "assertion_audience": self._signed(exp=end, aud="https://example.com"),
            "assertion_expired": self._signed(exp=1_000),
            "assertion_client": self._signed(exp=end, iss="nobody"),
            "assertion_user": self._signed(exp=end, sub="nobody@nowhere.example"),
        }

    def _signed(self, **changes: Any) -> str:
        parts = ({"alg": "RS256"}, self._claims | changes)
        text = ".".join(_encoded(json.dumps(part).encode()) for part in parts)
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{_encoded(signature)}"


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
