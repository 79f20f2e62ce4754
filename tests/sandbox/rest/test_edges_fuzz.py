"""Nonsense at the edges of REST and OAuth ends in Salesforce's errors, never in a 500."""

import json
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from org_client import Client

QUIET = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
TEXT = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
PLACES = st.sampled_from(
    [
        "/recent",
        "/search",
        "/actions",
        "/sobjects/Account",
        "/composite/graph",
        "/sobjects/Account/x",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["graphs", "graphId", "compositeRequest", "url", "method", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def told(answer: requests.Response) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.json()[0]["errorCode"]


@QUIET
@given(body=JSON)
def test_any_json_as_graphs(org: Client, body: Any) -> None:
    told(org.post("/composite/graph", body))


@QUIET
@given(place=PLACES, name=st.sampled_from(["If-Match", "If-Modified-Since"]), value=TEXT)
def test_any_condition(org: Client, place: str, name: str, value: str) -> None:
    told(org.get(place, headers={name: value.strip()}, params={"limit": value, "q": value}))


@QUIET
@given(content=st.binary(max_size=200), boundary=TEXT)
def test_any_bytes_as_parts(org: Client, content: bytes, boundary: str) -> None:
    mark = boundary.encode()
    data = b"--" + mark + b'\r\nx; name="a"\r\n\r\n' + content + b"\r\n--" + mark + b"--"
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}".strip()}
    told(org.call("POST", "/sobjects/ContentVersion", data=data, headers=headers))


@QUIET
@given(
    name=st.sampled_from(["token", "introspect", "revoke", "authorize"]),
    form=st.dictionaries(
        st.sampled_from(["grant_type", "assertion", "code", "token", "refresh_token", "username"]),
        TEXT | st.sampled_from(["password", "authorization_code", "refresh_token"]),
    ),
)
def test_any_form_at_oauth(org: Client, name: str, form: dict[str, str]) -> None:
    known = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}

    answer = requests.post(f"{org.base_url}/services/oauth2/{name}", data=known | form, timeout=10)

    assert answer.status_code < 500
    if answer.status_code >= 400:
        assert answer.json()["error"]


@pytest.mark.parametrize("name", ["certificates", "sessions", "refresh-tokens", "users"])
@pytest.mark.parametrize("body", [None, [], 1, {}, {"users": "x"}, {"username": {}}])
def test_admin_calls_without_sense(org: Client, name: str, body: Any) -> None:
    method = "PUT" if name == "users" else "POST"

    answer = org.call(method, f"/__sandbox__/{name}", data=json.dumps(body))

    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("limits", {"data_storage_mb": 10**29}),
        ("limits", {"max": 10**400}),
        ("sessions", {"idle_s": 10**29}),
        ("outbound/resend", {"last": 2**64}),
    ],
)
def test_admin_numbers_beyond_all_use(org: Client, name: str, body: Any) -> None:
    answer = org.call("POST", f"/__sandbox__/{name}", data=json.dumps(body))

    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_INPUT")


def test_a_text_holds_no_nul(org: Client) -> None:
    saved = org.create("Bill__c", Key__c="B\x001", Notes__c="\x00")

    answers = [org.patch(f"/sobjects/Bill__c/Key__c/{key}", {}) for key in ("B1", "B%001")]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert org.get(f"/sobjects/Bill__c/{saved}").json()["Notes__c"] is None
