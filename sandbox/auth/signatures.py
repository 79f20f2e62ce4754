"""X.509 certificates and RSA signatures.

Its library takes a tenth of a second to load: import it where a certificate is at hand.
"""

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from ..errors import ApiError


def read_certificate(pem: str) -> tuple[str, RSAPublicKey]:
    """Return the SHA-256 fingerprint and the key of a certificate.

    Raises:
        ApiError: The text is no X.509 certificate of an RSA key.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        key = certificate.public_key()
    except ValueError as error:
        message = f"certificate must be an X.509 certificate in PEM: {error}"
        raise ApiError(400, "INVALID_INPUT", message) from error
    if not isinstance(key, RSAPublicKey):
        raise ApiError(400, "INVALID_INPUT", "the certificate must hold an RSA key")
    return certificate.fingerprint(hashes.SHA256()).hex(), key


def is_signed(key: RSAPublicKey, *, signed: bytes, signature: bytes) -> bool:
    """Return whether an RS256 signature is that of a key."""
    try:
        key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True
