"""What only a local org can do: faults, audit, reset, changes since."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
import requests
from l2c_sandbox.admin import is_loopback
from org_client import Client


def schedule(org: Client, *faults: dict[str, object]) -> None:
    assert org.post("/__sandbox__/faults", {"faults": list(faults)}).status_code == 200


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "INVALID_SESSION_ID"),
        (403, "REQUEST_LIMIT_EXCEEDED"),
        (503, "SERVER_UNAVAILABLE"),
    ],
)
def test_refuses_as_often_as_scheduled(org: Client, status: int, code: str) -> None:
    schedule(org, {"kind": "http", "status": status, "path": "/limits$", "count": 2})

    answers = [org.get("/limits") for _ in range(3)]

    assert [a.status_code for a in answers] == [status, status, 200]
    assert answers[0].json()[0]["errorCode"] == code
    assert org.get("/sobjects").status_code == 200


def test_a_connection_drops_before_or_after_the_write(org: Client) -> None:
    schedule(org, {"kind": "drop_before", "path": "sobjects/Account", "count": 1})
    with pytest.raises(requests.ConnectionError):
        org.post("/sobjects/Account", {"Name": "lost"})
    schedule(org, {"kind": "drop_after", "path": "sobjects/Account", "count": 1})
    with pytest.raises(requests.ConnectionError):
        org.post("/sobjects/Account", {"Name": "written"})

    assert [r["Name"] for r in org.query("SELECT Name FROM Account")] == ["written"]


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("", False),
    ],
)
def test_only_this_machine_may_call_without_credentials(peer: str, expected: bool) -> None:
    assert is_loopback(peer) is expected


def test_locks_fail_row_by_row(org: Client) -> None:
    schedule(org, {"kind": "lock", "object": "Bill__c", "count": 2})
    rows = [{"attributes": {"type": "Bill__c"}, "Key__c": str(n)} for n in range(4)]

    items = org.post("/composite/sobjects", {"records": rows}).json()

    assert [item["success"] for item in items] == [False, False, True, True]
    assert items[0]["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"


def test_latency_delays_an_answer(org: Client) -> None:
    schedule(org, {"kind": "latency", "seconds": 0.2, "count": 1})
    started = time.monotonic()

    org.get("/limits")

    assert time.monotonic() - started >= 0.2


def test_faults_are_cleared_and_bad_ones_named(org: Client) -> None:
    schedule(org, {"kind": "http", "status": 503})
    org.delete("/__sandbox__/faults")

    assert org.get("/limits").status_code == 200
    for bad in (
        {"kind": "fire"},
        {"kind": "http", "path": "("},
        {"kind": "http", "count": -1},
        {"kind": "http", "status": 99_999},
        {"kind": "http", "probability": 2},
        {"kind": "latency", "seconds": -1},
        {"kind": "lock", "objekt": "Account"},
        {"kind": "lock", "object": 5},
        {},
        5,
    ):
        answer = org.post("/__sandbox__/faults", {"faults": [bad]})
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_FAULT")


def test_the_audit_tells_who_wrote_what(org: Client, integration: Client) -> None:
    account = org.create("Account", Name="A")
    integration.patch(f"/sobjects/Account/{account}", {"Name": "B"})
    org.delete(f"/sobjects/Account/{account}")

    entries = org.get("/__sandbox__/audit?limit=10").json()["audit"]

    assert [(e["verb"], e["user"].split("@")[0], e["id"]) for e in entries] == [
        ("delete", "admin", account),
        ("update", "integration", account),
        ("create", "admin", account),
    ]
    assert len({e["request_id"] for e in entries}) == 3


def test_stamps_name_the_acting_user(org: Client, integration: Client) -> None:
    account = org.create("Account", Name="A")
    integration.patch(f"/sobjects/Account/{account}", {"Name": "B"})

    row = org.query(
        "SELECT CreatedBy.Username, LastModifiedBy.Username, Owner.Username FROM Account"
    )[0]

    assert row["CreatedBy"]["Username"] == "admin@sandbox.example"
    assert row["LastModifiedBy"]["Username"] == "integration@sandbox.example"


def test_reset_restores_the_seed_and_keeps_sessions(org: Client) -> None:
    org.create("Account", Name="A")

    org.post("/__sandbox__/reset", {})

    assert org.query("SELECT Id FROM Account") == []
    assert len(org.query("SELECT Id FROM OpportunityStage")) == 10
    assert [r["Name"] for r in org.query("SELECT Name FROM Group ORDER BY Name")] == [
        "Field Service",
        "Provisioning",
    ]
    assert org.query("SELECT IsStandard FROM Pricebook2")[0]["IsStandard"] is True


class TestChangesSince:
    def window(self, *, start_minutes: int, end_minutes: int) -> dict[str, str]:
        now = datetime.now(UTC)
        start, end = (now + timedelta(minutes=m) for m in (start_minutes, end_minutes))
        form = "%Y-%m-%dT%H:%M:%S+00:00"
        return {"start": start.strftime(form), "end": end.strftime(form)}

    def test_lists_updated_and_deleted_records(self, org: Client) -> None:
        kept, gone = org.create("Account", Name="A"), org.create("Account", Name="B")
        org.delete(f"/sobjects/Account/{gone}")
        window = self.window(start_minutes=-5, end_minutes=0)

        updated = org.get("/sobjects/Account/updated", params=window).json()
        deleted = org.get("/sobjects/Account/deleted/", params=window).json()

        assert updated["ids"] == [kept]
        assert updated["latestDateCovered"].endswith("+0000")
        assert [r["id"] for r in deleted["deletedRecords"]] == [gone]
        assert set(deleted) == {"deletedRecords", "earliestDateAvailable", "latestDateCovered"}

    @pytest.mark.parametrize(("start", "end"), [(0, -10), (-60 * 24 * 31, 0)])
    def test_refuses_windows_it_cannot_cover(self, org: Client, start: int, end: int) -> None:
        window = self.window(start_minutes=start, end_minutes=end)

        answer = org.get("/sobjects/Account/updated", params=window)

        assert answer.status_code == 400
        assert answer.json()[0]["errorCode"] == "INVALID_REPLICATION_DATE"

    def test_deletions_are_asked_for_a_minute_at_least(self, org: Client) -> None:
        short = {"start": "2026-01-01T00:00:10Z", "end": "2026-01-01T00:01:09Z"}

        answer = org.get("/sobjects/Account/deleted", params=short)

        assert answer.json()[0]["message"] == (
            "startDate must be at least one minute before endDate"
        )

    @pytest.mark.parametrize("what", ["updated", "deleted"])
    def test_definitions_have_no_changes(self, org: Client, what: str) -> None:
        window = self.window(start_minutes=-5, end_minutes=0)

        answer = org.get(f"/sobjects/FieldDefinition/{what}", params=window)

        assert answer.json()[0]["errorCode"] == "INVALID_TYPE_FOR_OPERATION"
        assert not org.get("/sobjects/FieldDefinition/describe").json()["replicateable"]


def test_counts_records(org: Client) -> None:
    org.create("Account", Name="A")

    answer = org.get("/limits/recordCount?sObjects=Account,Contact,Nothing").json()

    assert answer == {"sObjects": [{"count": 1, "name": "Account"}]}


def test_concurrent_writers_of_one_key_make_one_record(org: Client) -> None:
    clients = [Client(org.base_url) for _ in range(6)]
    answers: list[int] = []

    def write(client: Client) -> None:
        for number in range(5):
            body = {"Total__c": number}
            answers.append(client.patch("/sobjects/Bill__c/Key__c/same", body).status_code)

    threads = [threading.Thread(target=write, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [200] * 29 + [201]
    assert len(org.query("SELECT Id FROM Bill__c")) == 1
