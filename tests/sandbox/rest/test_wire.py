"""Over the wire: broken requests, encodings, versions, pretty answers (fact sheet B.1)."""

import gzip
import json
import socket
import zlib
from urllib.parse import urlsplit

import pytest
from org_client import Client


def raw(org: Client, headers: list[str], body: bytes = b"") -> bytes:
    """Send a create as it is, end the request there, and return what comes back."""
    lines = [
        "POST /services/data/v59.0/sobjects/Account HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        f"Authorization: Bearer {org.token}",
        *headers,
    ]
    parts = urlsplit(org.base_url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    return answer


CHUNKED = "Transfer-Encoding: chunked"


def test_a_chunked_body_is_taken(org: Client) -> None:
    answer = raw(org, [CHUNKED], b'5\r\n{"Nam\r\n8\r\ne":"ch"}\r\n0\r\n\r\n')

    assert answer.startswith(b"HTTP/1.1 201 ")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([CHUNKED], b"zz\r\n{}\r\n0\r\n\r\n"),
        ([CHUNKED], b"5\r\n{}"),
        (["Content-Length: -5"], b"{}"),
        (["Content-Length: many"], b"{}"),
    ],
)
def test_a_broken_body_is_the_callers_fault(org: Client, headers: list[str], body: bytes) -> None:
    assert raw(org, headers, body).startswith(b"HTTP/1.1 400 ")


def test_a_chunked_body_that_never_ends_is_too_large(
    org: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2c_sandbox.rest.app.MAX_BODY", 1_000)
    chunk = b"3e8\r\n" + b"x" * 1_000 + b"\r\n"

    assert raw(org, [CHUNKED], chunk * 3 + b"0\r\n\r\n").startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)],
)
def test_a_packed_body_is_unpacked(org: Client, encoding: str, pack: type[bytes]) -> None:
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}

    answer = org.call("POST", "/sobjects/Account", data=pack(b'{"Name": "A"}'), headers=headers)

    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("gzip", b"not packed", 400),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-4], 400),
        ("deflate", b"not packed", 400),
        ("br", b"{}", 415),
    ],
)
def test_a_body_packed_badly_is_refused(
    org: Client, encoding: str, body: bytes, status: int
) -> None:
    headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}

    assert org.call("POST", "/sobjects/Account", data=body, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("v50.0", 200),
        ("V67.0", 200),
        ("v49.0", 404),
        ("v68.0", 404),
        ("v30.0", 410),
        ("v050.0", 404),
        ("v59", 404),
        ("v59.1", 404),
        ("vabc", 404),
    ],
)
def test_only_known_versions_are_served(org: Client, version: str, status: int) -> None:
    assert org.get(f"/services/data/{version}/limits").status_code == status


def test_a_pretty_answer_has_a_blank_before_each_colon(org: Client) -> None:
    account = org.create("Account", Name='say "x": 1\n"y": 2')

    answer = org.get(f"/sobjects/Account/{account}", headers={"X-PrettyPrint": "1"})

    assert answer.text.startswith('{\n  "attributes" : {\n    "type" : "Account",\n')
    assert json.loads(answer.text) == org.get(f"/sobjects/Account/{account}").json()


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/xml", 406),
        ("text/xml", 406),
        ("application/xml, application/json;q=0.5", 200),
        ("*/*", 200),
    ],
)
def test_an_answer_is_json_or_refused(org: Client, accept: str, status: int) -> None:
    assert org.get("/limits", headers={"Accept": accept}).status_code == status


@pytest.mark.parametrize(("value", "shape"), [(True, "VALUE_TRUE"), (False, "VALUE_FALSE")])
def test_a_boolean_for_a_text_is_named_as_json_names_it(
    org: Client, value: bool, shape: str
) -> None:
    message = org.post("/sobjects/Account", {"Name": value}).json()[0]["message"]

    assert f"from {shape} value {str(value).lower()} " in message


def test_a_user_cannot_live_in_a_time_zone_that_is_none(org: Client) -> None:
    user = org.query("SELECT Id FROM User LIMIT 1")[0]["Id"]

    refused = org.patch(f"/sobjects/User/{user}", {"TimeZoneSidKey": "Nowhere/Land"})

    assert refused.json()[0]["errorCode"] == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    accepted = org.patch(f"/sobjects/User/{user}", {"TimeZoneSidKey": "Europe/Berlin"})
    assert accepted.status_code == 204
