"""Tokens, sessions and the meter (fact sheet A, J)."""

import pytest
import requests
from org_client import Client

CLIENT = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
PASSWORD = {"grant_type": "password", "username": "admin@sandbox.example", "password": "sandbox"}


def token_call(org: Client, form: dict[str, str], **options: object) -> requests.Response:
    url = f"{org.base_url}/services/oauth2/token"
    return requests.post(url, data=form, timeout=10, **options)  # type: ignore[arg-type]


def test_client_credentials_run_as_the_integration_user(org: Client) -> None:
    answer = token_call(
        org,
        {"grant_type": "client_credentials"},
        auth=("sandbox-client", "sandbox-secret"),
    )

    assert answer.status_code == 200
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert body["instance_url"] == org.base_url
    assert body["access_token"].startswith("00DSb0000000001!")
    headers = {"Authorization": f"Bearer {body['access_token']}"}
    who = requests.get(f"{org.base_url}/services/oauth2/userinfo", headers=headers, timeout=10)
    assert who.json()["preferred_username"] == "integration@sandbox.example"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        (PASSWORD | CLIENT | {"password": "wrong"}, "invalid_grant"),
        (PASSWORD | CLIENT | {"username": "nobody@example.com"}, "invalid_grant"),
        (PASSWORD | CLIENT | {"client_id": "other"}, "invalid_client_id"),
        (PASSWORD | CLIENT | {"client_secret": "other"}, "invalid_client"),
        (CLIENT | {"grant_type": "dance"}, "unsupported_grant_type"),
        ({}, "unsupported_grant_type"),
    ],
)
def test_refuses_wrong_credentials_in_the_form_of_oauth(
    org: Client, form: dict[str, str], error: str
) -> None:
    answer = token_call(org, form)

    assert answer.status_code == 400
    assert answer.json()["error"] == error
    assert answer.json()["error_description"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_revoked_token_is_a_dead_session(org: Client) -> None:
    url = f"{org.base_url}/services/oauth2/revoke"
    assert requests.post(url, data={"token": org.token}, timeout=10).status_code == 200

    answer = org.get("/sobjects")

    assert answer.status_code == 401
    assert answer.json() == [
        {"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}
    ]
    again = requests.post(url, data={"token": org.token}, timeout=10)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_token")


def test_sessions_can_be_expired_by_command(org: Client) -> None:
    assert org.get("/limits").status_code == 200

    org.post("/__sandbox__/sessions/expire", {})

    assert org.get("/limits").json()[0]["errorCode"] == "INVALID_SESSION_ID"


def test_an_unreadable_header_is_named(org: Client) -> None:
    answer = org.get("/limits", headers={"Authorization": "Digest x"})

    assert (answer.status_code, answer.json()[0]["errorCode"]) == (401, "INVALID_AUTH_HEADER")


def test_the_oauth_scheme_works_as_bearer_does(org: Client) -> None:
    answer = org.get("/limits", headers={"Authorization": f"OAuth {org.token}"})

    assert answer.status_code == 200


def test_the_version_list_needs_no_session_and_is_not_counted(org: Client) -> None:
    answer = requests.get(f"{org.base_url}/services/data", timeout=10)

    assert {"label": "Summer '26", "url": "/services/data/v67.0", "version": "67.0"} in (
        answer.json()
    )
    assert next(v["version"] for v in answer.json()) == "50.0"
    assert "Sforce-Limit-Info" not in answer.headers


def test_every_counted_answer_shows_the_meter_and_the_limit_ends_it(org: Client) -> None:
    org.post("/__sandbox__/limits", {"max": 12, "used": 10})

    headers = [org.get("/limits").headers["Sforce-Limit-Info"] for _ in range(2)]
    refused = org.get("/limits")

    org.post("/__sandbox__/limits", {"max": 100_000, "used": 0})
    assert headers == ["api-usage=11/12", "api-usage=12/12"]
    assert refused.status_code == 403
    assert refused.json() == [
        {"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}
    ]


@pytest.mark.parametrize("version", ["49.0", "68.0", "59.5", "abc", "0.0"])
def test_versions_beyond_the_range_are_refused(org: Client, version: str) -> None:
    answer = org.get(f"/services/data/v{version}/limits")

    assert answer.status_code in {404, 410}
    assert isinstance(answer.json(), list)
