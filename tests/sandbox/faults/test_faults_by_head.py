"""Scheduled faults find their callers on every head: REST, composite, Bulk, SOAP."""

from typing import Any

import pytest
import requests
from bulk_client import BulkClient
from org_client import Client
from partner_client import Partner, fault_code

OTHER = "integration@sandbox.example"


def schedule(org: Client, **fault: object) -> None:
    assert org.post("/__sandbox__/faults", {"faults": [fault]}).status_code == 200


@pytest.fixture
def partner(org: Client) -> Partner:
    return Partner(org.base_url, org.token)


@pytest.fixture
def other(integration: Client) -> Partner:
    return Partner(integration.base_url, integration.token)


def create(partner: Partner, name: str = "A") -> requests.Response:
    body = (
        f"<create><sObjects><sf:type>Account</sf:type><sf:Name>{name}</sf:Name></sObjects></create>"
    )
    return partner.post(partner.envelope(body))


class TestSoap:
    @pytest.mark.parametrize(
        ("status", "code"),
        [
            (401, "sf:INVALID_SESSION_ID"),
            (403, "sf:REQUEST_LIMIT_EXCEEDED"),
            (503, "sf:SERVER_UNAVAILABLE"),
        ],
    )
    def test_a_refusal_is_a_fault_for_the_user_it_is_meant_for(
        self, partner: Partner, other: Partner, org: Client, status: int, code: str
    ) -> None:
        schedule(org, kind="http", status=status, user=OTHER)

        assert create(partner).status_code == 200
        assert fault_code(create(other)) == code

    def test_the_object_of_a_call_counts_whatever_the_call(
        self, partner: Partner, org: Client
    ) -> None:
        account = org.create("Account", Name="A")
        schedule(org, kind="http", status=503, object="account")
        calls = {
            "<create><sObjects><sf:type>Contact</sf:type></sObjects></create>": False,
            "<query><queryString>SELECT Id FROM Contact</queryString></query>": False,
            "<getServerTimestamp/>": False,
            "<create><sObjects><sf:type>Account</sf:type></sObjects></create>": True,
            "<query><queryString>select Id from Account</queryString></query>": True,
            f"<delete><ids>{account}</ids></delete>": True,
            "<describeSObject><sObjectType>Account</sObjectType></describeSObject>": True,
        }

        hit = {body: partner.post(partner.envelope(body)).status_code == 503 for body in calls}

        assert hit == calls

    def test_a_count_is_used_up(self, partner: Partner, org: Client) -> None:
        schedule(org, kind="http", status=503, path="/services/Soap", count=2)

        assert [create(partner).status_code for _ in range(3)] == [503, 503, 200]

    @pytest.mark.parametrize(("probability", "expected"), [(0, 200), (1, 503)])
    def test_a_probability_holds(
        self, partner: Partner, org: Client, probability: float, expected: int
    ) -> None:
        schedule(org, kind="http", status=503, probability=probability)

        assert create(partner).status_code == expected

    @pytest.mark.parametrize(
        ("kind", "written"), [("drop_before", 0), ("drop_after", 1), ("truncate", 1)]
    )
    def test_a_lost_connection_leaves_the_write_done_or_not(
        self, partner: Partner, org: Client, kind: str, written: int
    ) -> None:
        schedule(org, kind=kind, path="/services/Soap", count=1)

        with pytest.raises(requests.exceptions.RequestException):
            create(partner, kind)

        assert len(org.query("SELECT Id FROM Account")) == written

    @pytest.mark.parametrize("kind", ["latency", "trickle"])
    def test_a_slow_answer_is_whole(self, partner: Partner, org: Client, kind: str) -> None:
        schedule(org, kind=kind, path="/services/Soap", seconds=0.05, count=1)

        assert "<success>true</success>" in create(partner).text

    def test_a_row_fails_for_its_user(self, partner: Partner, other: Partner, org: Client) -> None:
        schedule(org, kind="lock", object="Account", user=OTHER)

        assert "<success>true</success>" in create(partner).text
        assert "UNABLE_TO_LOCK_ROW" in create(other).text


class TestRest:
    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", "/sobjects/account/describe", None),
            ("GET", "/query?q=SELECT+Id+FROM+Account", None),
            ("POST", "/composite/sobjects", {"records": [{"attributes": {"type": "Account"}}]}),
            ("POST", "/composite/tree/Account", {"records": []}),
            (
                "POST",
                "/composite",
                {
                    "compositeRequest": [
                        {
                            "method": "GET",
                            "url": "/services/data/v59.0/query?q=SELECT%20Id%20FROM%20Account",
                            "referenceId": "a",
                        }
                    ]
                },
            ),
            ("POST", "/jobs/ingest", {"object": "Account", "operation": "insert"}),
            ("POST", "/jobs/query", {"query": "SELECT Id FROM Account", "operation": "query"}),
        ],
    )
    def test_a_call_about_the_object_is_hit(
        self, org: Client, method: str, path: str, body: Any
    ) -> None:
        schedule(org, kind="http", status=503, object="Account")

        assert org.call(method, path, json=body).status_code == 503

    @pytest.mark.parametrize("path", ["/sobjects/Contact/describe", "/limits", "/sobjects"])
    def test_other_calls_are_spared(self, org: Client, path: str) -> None:
        schedule(org, kind="http", status=503, object="Account")

        assert org.get(path).status_code == 200


class TestBulk:
    def test_a_job_is_hit_by_its_object(self, org: Client) -> None:
        bulk = BulkClient(org)
        job = bulk.create("insert", "Account")["id"]
        other = bulk.create("insert", "Contact")["id"]
        schedule(org, kind="http", status=503, object="Account")

        statuses = [bulk.put(i, "Name\nA\n").status_code for i in (job, other)]

        assert statuses == [503, 201]

    def test_rows_fail_in_part_and_locked_ones_are_tried_again(self, org: Client) -> None:
        bulk = BulkClient(org)
        schedule(org, kind="rows", object="Account", code="CUSTOM", message="no", count=1)
        schedule(org, kind="lock", object="Account", count=1)

        job = bulk.run("insert", "Account", "Name\nA\nB\nC\n")

        assert [row["Name"] for row in job.failed] == ["A"]
        assert sorted(row["Name"] for row in job.saved) == ["B", "C"]
        assert job.info["retries"] == 1


class TestTokenEndpoints:
    @pytest.mark.parametrize(
        ("error", "description"),
        [
            ("inactive_org", "organization is inactive"),
            ("unauthorized_client", "client is not authorized"),
            ("invalid_grant", "ip restricted"),
            ("rate_limit_exceeded", "login rate exceeded"),
        ],
    )
    def test_a_refusal_has_the_form_and_words_of_oauth(
        self, org: Client, error: str, description: str
    ) -> None:
        path = "^/services/oauth2/token"
        schedule(org, kind="http", path=path, status=400, code=error, message=description, count=1)

        answers = [self.ask(org) for _ in "ab"]

        assert [answer.status_code for answer in answers] == [400, 200]
        assert answers[0].json() == {"error": error, "error_description": description}

    def test_a_refusal_without_words_is_an_unknown_error(self, org: Client) -> None:
        schedule(org, kind="http", path="/oauth2/", status=503)

        assert (self.ask(org).status_code, self.ask(org).json()["error"]) == (503, "unknown_error")

    def ask(self, org: Client) -> requests.Response:
        form = {"grant_type": "client_credentials"}
        client = ("sandbox-client", "sandbox-secret")
        url = f"{org.base_url}/services/oauth2/token"
        return requests.post(url, data=form, auth=client, timeout=10)


def test_a_refusal_may_bring_its_code_and_message(org: Client) -> None:
    schedule(org, kind="http", status=400, path="/query", code="QUERY_TIMEOUT", message="too long")

    answer = org.get("/query", params={"q": "SELECT Id FROM User"})

    assert answer.status_code == 400
    assert answer.json() == [{"message": "too long", "errorCode": "QUERY_TIMEOUT"}]
