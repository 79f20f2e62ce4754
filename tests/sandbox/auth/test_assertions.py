"""JWT bearer, refresh and the web flow, expiry by time, introspection (fact sheet A.2 to A.6)."""

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from org_client import Client

CLIENT = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
ADMIN = "admin@sandbox.example"
BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@cache
def key_pair(name: str) -> tuple[rsa.RSAPrivateKey, str]:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return key, certificate.public_bytes(serialization.Encoding.PEM).decode()


def encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def assertion(key: rsa.RSAPrivateKey, *, alg: str = "RS256", **changes: Any) -> str:
    claims = {
        "iss": "sandbox-client",
        "sub": ADMIN,
        "aud": "https://login.salesforce.com",
        "exp": int(time.time()) + 180,
    } | changes
    parts = [encoded(json.dumps(part).encode()) for part in ({"alg": alg}, claims)]
    signed = ".".join(parts)
    return f"{signed}.{encoded(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def token(org: Client, **form: str) -> requests.Response:
    return requests.post(f"{org.base_url}/services/oauth2/token", data=form, timeout=10)


def bearer(org: Client, text: str) -> requests.Response:
    return token(org, grant_type=BEARER, assertion=text)


@pytest.fixture
def key(org: Client) -> rsa.RSAPrivateKey:
    private, pem = key_pair("connector")
    assert org.post("/__sandbox__/certificates", {"certificate": pem}).status_code == 200
    return private


@pytest.mark.parametrize("as_text", [False, True])
def test_an_assertion_opens_a_session_and_gives_no_refresh_token(
    org: Client, key: rsa.RSAPrivateKey, as_text: bool
) -> None:
    exp = int(time.time()) + 180

    answer = bearer(org, assertion(key, exp=str(exp) if as_text else exp))

    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"access_token", "scope", "instance_url", "id", "token_type"}
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert requests.get(answer.json()["id"], headers=headers, timeout=10).json()["username"] == (
        ADMIN
    )


@pytest.mark.parametrize(
    ("changes", "error", "description"),
    [
        ({"aud": "https://example.com"}, "invalid_grant", "Audience validation failed"),
        ({"aud": None}, "invalid_grant", "Audience validation failed"),
        ({"exp": 1_000}, "invalid_grant", "expired"),
        ({"exp": "soon"}, "invalid_grant", "expired"),
        ({"exp": True}, "invalid_grant", "expired"),
        ({"iss": "other"}, "invalid_client_id", "client identifier invalid"),
        ({"sub": "nobody@x.example"}, "invalid_grant", "user hasn't approved this consumer"),
        ({"sub": 7}, "invalid_grant", "invalid assertion"),
        ({"alg": "none"}, "invalid_grant", "invalid assertion"),
    ],
)
def test_a_wrong_claim_is_named(
    org: Client, key: rsa.RSAPrivateKey, changes: Any, error: str, description: str
) -> None:
    answer = bearer(org, assertion(key, **changes))

    assert answer.status_code == 400
    assert answer.json() == {"error": error, "error_description": description}


def test_a_strange_key_is_refused(org: Client, key: rsa.RSAPrivateKey) -> None:
    other, _ = key_pair("stranger")

    assert bearer(org, assertion(other)).json()["error_description"] == "invalid assertion"


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "é.é.é", "W10.W10.W10", "e30.e30."])
def test_what_is_no_assertion_is_refused(org: Client, text: str) -> None:
    answer = bearer(org, text)

    assert answer.status_code == 400
    assert answer.json()["error"] in {"invalid_grant", "invalid_client_id"}


def test_an_assertion_with_a_jti_works_once(org: Client, key: rsa.RSAPrivateKey) -> None:
    text = assertion(key, jti=f"once-{time.time_ns()}")

    assert bearer(org, text).status_code == 200
    assert bearer(org, text).json()["error"] == "invalid_grant"


def test_a_certificate_can_be_approved_for_some_users_only(org: Client) -> None:
    private, pem = key_pair("narrow")
    body = {"certificate": pem, "users": ["integration@sandbox.example"]}
    org.post("/__sandbox__/certificates", body)

    answer = bearer(org, assertion(private))

    assert answer.json() == {
        "error": "invalid_app_access",
        "error_description": "user is not admin approved to access this app",
    }
    assert bearer(org, assertion(private, sub="Integration@sandbox.example")).status_code == 200


@pytest.mark.parametrize("body", [{}, {"certificate": "x"}, {"certificate": 1}])
def test_what_is_no_certificate_is_refused(org: Client, body: Any) -> None:
    assert org.post("/__sandbox__/certificates", body).status_code == 400


def test_an_inactive_user_is_told_so(org: Client, key: rsa.RSAPrivateKey) -> None:
    user = org.query("SELECT Id FROM User WHERE Username = 'integration@sandbox.example'")[0]
    org.patch(f"/sobjects/User/{user['Id']}", {"IsActive": False})

    answer = bearer(org, assertion(key, sub="integration@sandbox.example"))

    assert answer.json()["error_description"] == "user is inactive"


def test_a_refresh_token_gives_sessions_until_it_is_revoked(org: Client) -> None:
    given = org.post("/__sandbox__/refresh-tokens", {"username": ADMIN}).json()["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": given} | CLIENT

    answer = token(org, **form).json()
    headers = {"Authorization": f"Bearer {answer['access_token']}"}
    limits = f"{org.base_url}/services/data/v59.0/limits"
    before = requests.get(limits, headers=headers, timeout=10)
    revoke = f"{org.base_url}/services/oauth2/revoke"
    assert requests.post(revoke, data={"token": given}, timeout=10).status_code == 200

    assert "refresh_token" not in answer
    assert before.status_code == 200
    assert requests.get(limits, headers=headers, timeout=10).status_code == 401
    assert token(org, **form).json() == {
        "error": "invalid_grant",
        "error_description": "expired access/refresh token",
    }


def test_the_web_flow_gives_a_code_that_works_once(org: Client) -> None:
    verifier = "v" * 50
    challenge = encoded(hashlib.sha256(verifier.encode()).digest())
    home = "http://localhost:1717/OauthRedirect"
    query = {
        "response_type": "code",
        "client_id": "sandbox-client",
        "redirect_uri": home,
        "state": "s1",
        "code_challenge": challenge,
    }
    place = requests.get(
        f"{org.base_url}/services/oauth2/authorize",
        params=query,
        allow_redirects=False,
        timeout=10,
    ).headers["Location"]
    answer = parse_qs(urlsplit(place).query)
    form = {
        "grant_type": "authorization_code",
        "client_id": "sandbox-client",
        "code": answer["code"][0],
        "redirect_uri": home,
        "code_verifier": verifier,
    }

    first, second = token(org, **form), token(org, **form)

    assert place.startswith(home)
    assert answer["state"] == ["s1"]
    assert first.json()["refresh_token"]
    assert second.json()["error_description"] == "invalid authorization code"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"redirect_uri": "https://evil.example"}, "redirect_uri_mismatch"),
        ({"redirect_uri": "http://localhost.evil.example"}, "redirect_uri_mismatch"),
        ({"redirect_uri": "http://[x"}, "redirect_uri_mismatch"),
        ({"client_id": "other"}, "invalid_client_id"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
)
def test_codes_go_to_clients_on_this_machine_only(
    org: Client, changes: dict[str, str], error: str
) -> None:
    query = {
        "response_type": "code",
        "client_id": "sandbox-client",
        "redirect_uri": "http://localhost:1717/x",
    }
    url = f"{org.base_url}/services/oauth2/authorize"

    answer = requests.get(url, params=query | changes, allow_redirects=False, timeout=10)

    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_introspection_tells_whether_a_token_lives(org: Client) -> None:
    url = f"{org.base_url}/services/oauth2/introspect"

    alive = requests.post(url, data=CLIENT | {"token": org.token}, timeout=10).json()
    dead = requests.post(url, data=CLIENT | {"token": "x"}, timeout=10).json()

    assert (alive["active"], alive["username"]) == (True, ADMIN)
    assert alive["exp"] > time.time() + 7_000
    assert dead == {"active": False}


@pytest.fixture
def short_sessions(org: Client) -> Iterator[None]:
    org.post("/__sandbox__/sessions", {"idle_s": 0})
    yield
    org.post("/__sandbox__/sessions", {"idle_s": 7_200})


@pytest.mark.usefixtures("short_sessions")
def test_an_idle_session_ends_by_itself(org: Client) -> None:
    answer = org.get("/limits")

    assert (answer.status_code, answer.json()[0]["errorCode"]) == (401, "INVALID_SESSION_ID")


def test_an_unknown_kind_of_token_is_not_revoked(org: Client) -> None:
    url = f"{org.base_url}/services/oauth2/revoke"
    form = {"token": org.token, "token_type_hint": "cookie"}

    assert requests.post(url, data=form, timeout=10).json()["error"] == "unsupported_token_type"


def test_client_credentials_are_refused_on_the_generic_login_host(org: Client) -> None:
    answer = requests.post(
        f"{org.base_url}/services/oauth2/token",
        data=CLIENT | {"grant_type": "client_credentials"},
        headers={"Host": "login.salesforce.com"},
        timeout=10,
    )

    assert answer.json()["error_description"] == "request not supported on this domain"
