"""The session under simple-salesforce: login, renewal, limits, what never leaves."""

import gzip
import threading
from base64 import urlsafe_b64decode
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlsplit

import orjson
import pytest
import requests
import responses
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from connector.adapters.salesforce.answers import Subrequest
from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.errors import (
    OrgLimit,
    OrgLoginFailed,
    OrgRefused,
    OrgSessionRefused,
    OrgUnavailable,
)
from connector.adapters.salesforce.login import ClientCredentials, JwtBearer, Login
from connector.adapters.salesforce.retry import RetryPolicy
from connector.adapters.salesforce.session import TokenHolder
from connector.errors import Misconfigured

LOGIN_URL = "https://acme.my.salesforce.com"
TOKEN_URL = f"{LOGIN_URL}/services/oauth2/token"
DATA = f"{LOGIN_URL}/services/data/v64.0"
ORG_15, ORG_18 = "00D000000000062", "00D000000000062EAA"
EXPIRED = [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
NO_PAUSE = RetryPolicy(attempts=3, first_pause_s=0, longest_pause_s=0)


@pytest.fixture
def http() -> responses.RequestsMock:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def client() -> OrgClient:
    login = Login(LOGIN_URL, ClientCredentials("id", "a secret"))
    return OrgClient(login, retry=NO_PAUSE)


def answer_logins(http: responses.RequestsMock, *tokens: str) -> None:
    for token in tokens or ("first",):
        http.post(
            TOKEN_URL,
            json={
                "access_token": token,
                "instance_url": LOGIN_URL,
                "id": f"{LOGIN_URL}/id/{ORG_15}/005000000000001",
                "token_type": "Bearer",
            },
        )


def an_empty_page() -> dict[str, object]:
    return {"totalSize": 0, "done": True, "records": []}


class TestLogin:
    def test_tells_the_organization_in_18_characters(self, http, client) -> None:
        answer_logins(http)

        assert client.identity() == ORG_18

    def test_reports_refused_credentials_as_a_set_up_mistake(self, http, client) -> None:
        http.post(TOKEN_URL, status=400, json={"error": "invalid_client", "error_description": "x"})

        with pytest.raises(OrgLoginFailed, match="invalid_client"):
            client.identity()
        assert len(http.calls) == 1

    def test_tries_again_when_the_login_host_is_away(self, http, client) -> None:
        http.post(TOKEN_URL, status=503, body="<html>maintenance</html>")
        answer_logins(http)

        assert client.identity() == ORG_18

    def test_says_where_nobody_answers(self, http, client) -> None:
        http.post(TOKEN_URL, body=requests.ConnectionError("no route"))

        with pytest.raises(OrgUnavailable, match=urlsplit(TOKEN_URL).netloc):
            client.identity()

    def test_never_follows_a_redirect_with_the_secret(self, http, client) -> None:
        http.post(TOKEN_URL, status=302, headers={"Location": "https://elsewhere.example/"})

        with pytest.raises(OrgUnavailable):
            client.identity()
        assert {call.request.url for call in http.calls} == {TOKEN_URL}

    def test_refuses_plain_http_to_another_machine(self) -> None:
        client = OrgClient(Login("http://acme.example", ClientCredentials("id", "secret")))

        with pytest.raises(Misconfigured, match="open network"):
            client.identity()

    def test_shows_no_secret_when_printed(self, client) -> None:
        assert "a secret" not in repr(client.login)

    def test_signs_a_jwt_that_its_key_verifies(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()
        now = datetime(2026, 6, 1, 12, tzinfo=UTC)

        form = JwtBearer("app", "ops@acme.example", pem).form(login_url=LOGIN_URL, now=now)

        head, claims, signature = form["assertion"].split(".")
        key.public_key().verify(
            _decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
        )
        assert orjson.loads(_decoded(claims)) == {
            "iss": "app",
            "sub": "ops@acme.example",
            "aud": LOGIN_URL,
            "exp": int(now.timestamp()) + 180,
        }


class TestRenewal:
    def test_logs_in_again_once_and_replays_after_a_401(self, http, client) -> None:
        answer_logins(http, "first", "second")
        http.get(f"{DATA}/query", status=401, json=EXPIRED)
        http.get(f"{DATA}/query", json=an_empty_page())

        assert client.query_all("SELECT Id FROM Account") == []
        assert http.calls[-1].request.headers["Authorization"] == "Bearer second"

    def test_gives_up_when_the_new_session_is_refused_too(self, http, client) -> None:
        answer_logins(http, "first", "second")
        http.get(f"{DATA}/query", status=401, json=EXPIRED)

        with pytest.raises(OrgSessionRefused):
            client.query_all("SELECT Id FROM Account")
        assert client.calls == 2

    def test_survives_a_401_whose_body_is_no_list(self, http, client) -> None:
        answer_logins(http, "first", "second")
        http.get(f"{DATA}/query", status=401, body="<html>no</html>")

        with pytest.raises(OrgSessionRefused):
            client.query_all("SELECT Id FROM Account")

    def test_many_threads_cause_one_login(self) -> None:
        opened: list[str] = []

        def open_session():
            opened.append(f"token {len(opened)}")
            return type("T", (), {"access_token": opened[-1]})()

        holder = TokenHolder(open_session)
        refused = holder.current()
        start = threading.Barrier(8)

        def renew() -> None:
            start.wait()
            holder.renewed(instead_of=refused)

        threads = [threading.Thread(target=renew) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert opened == ["token 0", "token 1"]


class TestAnswers:
    def test_reads_the_limit_on_errors_too(self, http, client) -> None:
        answer_logins(http)
        http.get(
            f"{DATA}/query",
            status=400,
            json=[{"errorCode": "MALFORMED_QUERY", "message": "unexpected token: 'FROM'"}],
            headers={"Sforce-Limit-Info": "api-usage=18/5000; per-app-api-usage=17/250(appName=a)"},
        )

        with pytest.raises(OrgRefused) as refused:
            client.query_all("SELECT FROM")

        assert refused.value.error_code == "MALFORMED_QUERY"
        assert client.limit_info
        assert (client.limit_info.used, client.limit_info.allowed) == (18, 5000)

    def test_parks_at_once_when_the_calls_of_the_day_are_used_up(self, http, client) -> None:
        answer_logins(http)
        http.get(
            f"{DATA}/query",
            status=403,
            json=[
                {"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}
            ],
        )

        with pytest.raises(OrgLimit) as limit:
            client.query_all("SELECT Id FROM Account")
        assert limit.value.is_daily
        assert client.calls == 1

    def test_waits_out_a_concurrency_limit(self, http, client) -> None:
        answer_logins(http)
        told = "ConcurrentPerOrgLongTxn Limit exceeded."
        http.get(
            f"{DATA}/query",
            status=403,
            json=[{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": told}],
        )
        http.get(f"{DATA}/query", json=an_empty_page())

        assert client.query_all("SELECT Id FROM Account") == []

    def test_takes_an_html_502_for_a_failure_that_passes(self, http, client) -> None:
        answer_logins(http)
        http.get(f"{DATA}/query", status=502, body="<html>Bad Gateway</html>")
        http.get(f"{DATA}/query", json=an_empty_page())

        assert client.query_all("SELECT Id FROM Account") == []

    def test_takes_a_200_that_is_no_json_for_a_failure_that_passes(self, http, client) -> None:
        answer_logins(http)
        http.get(f"{DATA}/query", body="<html>We are down for maintenance</html>")

        with pytest.raises(OrgUnavailable):
            client.query_all("SELECT Id FROM Account")
        assert client.calls == NO_PAUSE.attempts

    def test_reads_numbers_without_losing_a_digit(self, http, client) -> None:
        answer_logins(http)
        page = b'{"totalSize":1,"done":true,"records":[{"Amount":12345678901234.5600}]}'
        http.get(f"{DATA}/query", body=page, content_type="application/json")

        (row,) = client.query("SELECT Amount FROM Opportunity")

        assert row["Amount"] == Decimal("12345678901234.5600")
        assert isinstance(row["Amount"], Decimal)

    def test_follows_pages_to_the_end(self, http, client) -> None:
        answer_logins(http)
        following = "/services/data/v64.0/query/01gD0000002HU6KIAW-2000"
        http.get(
            f"{DATA}/query",
            json={
                "totalSize": 2,
                "done": False,
                "nextRecordsUrl": following,
                "records": [{"a": 1}],
            },
        )
        http.get(LOGIN_URL + following, json=an_empty_page() | {"records": [{"a": 2}]})

        assert client.query_all("SELECT a FROM B") == [{"a": 1}, {"a": 2}]

    def test_sends_exact_numbers_compressed_and_without_pretty_print(self, http, client) -> None:
        answer_logins(http)
        http.post(f"{DATA}/composite", json={"compositeResponse": [_item("w", 200, [])]})
        row = {"Total__c": Decimal("1234567890123.10"), "Text__c": "x" * 2000}

        client.composite([Subrequest("PATCH", "composite/sobjects", "w", {"records": [row]})])

        request = http.calls[-1].request
        assert request.headers["Content-Encoding"] == "gzip"
        assert "X-PrettyPrint" not in request.headers
        assert b'"Total__c":1234567890123.10,' in gzip.decompress(request.body)

    def test_sends_a_creating_call_only_once(self, http, client) -> None:
        answer_logins(http)
        http.post(f"{DATA}/composite", status=503)

        with pytest.raises(OrgUnavailable):
            client.composite([Subrequest("POST", "sobjects/Account", "a", {"Name": "x"})])
        assert client.calls == 1


class TestLocks:
    def test_sends_only_the_locked_rows_again(self, http, client) -> None:
        answer_logins(http)
        locked = _refused("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")
        done = {"id": "001000000000001AAA", "success": True, "created": True, "errors": []}
        bad = _refused("STRING_TOO_LONG", "Name: data value too large")
        first = _item("w0", 200, [done, locked, bad])
        http.post(f"{DATA}/composite", json={"compositeResponse": [first]})
        http.post(f"{DATA}/composite", json={"compositeResponse": [_item("w0", 200, [done])]})

        results = client.upsert_collections("X__c", "Key__c", [{"Key__c": k} for k in "abc"])

        assert [result.success for result in results] == [True, True, False]
        assert results[2].errors[0].code == "STRING_TOO_LONG"
        again = orjson.loads(http.calls[-1].request.body)["compositeRequest"][0]["body"]["records"]
        assert [record["Key__c"] for record in again] == ["b"]

    def test_returns_a_row_that_stays_locked_as_locked(self, http, client) -> None:
        answer_logins(http)
        locked = _refused("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access")
        http.post(f"{DATA}/composite", json={"compositeResponse": [_item("w0", 200, [locked])]})

        (result,) = client.update_collections("X__c", [{"Id": "a01000000000001AAA"}])

        assert result.is_locked
        assert client.calls == NO_PAUSE.attempts

    def test_gives_every_row_the_reason_when_a_collection_is_refused(self, http, client) -> None:
        answer_logins(http)
        refused = [{"errorCode": "INVALID_FIELD", "message": "No such column 'a'"}]
        http.post(f"{DATA}/composite", json={"compositeResponse": [_item("w0", 400, refused)]})

        results = client.update_collections("X__c", [{"Id": "1"}, {"Id": "2"}])

        assert [result.errors[0].code for result in results] == ["INVALID_FIELD"] * 2


def _item(reference: str, status: int, body: object) -> dict[str, object]:
    return {"referenceId": reference, "httpStatusCode": status, "body": body, "httpHeaders": {}}


def _refused(code: str, message: str) -> dict[str, object]:
    return {"success": False, "errors": [{"statusCode": code, "message": message, "fields": []}]}


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
