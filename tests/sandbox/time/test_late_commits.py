"""Transactions that are open for long: late commits, held locks, a coverage that stays behind."""

import threading
from typing import Any

import pytest
import requests
from l2c_sandbox import clock
from org_client import Client

DATA = "/services/data/v59.0/sobjects"


def begin(org: Client, *requests_: dict[str, Any]) -> dict[str, Any]:
    answer = org.post("/__sandbox__/transactions", {"requests": list(requests_)})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def finish(org: Client, tx: dict[str, Any], verb: str = "commit") -> requests.Response:
    return org.post(f"/__sandbox__/transactions/{verb}", {"id": tx["id"]})


def advance(org: Client, seconds: int) -> None:
    assert org.post("/__sandbox__/clock", {"advance_s": seconds}).status_code == 200


def window() -> dict[str, str]:
    start = clock.from_epoch(clock.epoch_s() - 3_600).strftime("%Y-%m-%dT%H:%M:%SZ")
    end = clock.from_epoch(clock.epoch_s() + 60).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"start": start, "end": end}


def test_a_record_is_stamped_when_written_and_seen_when_committed(org: Client) -> None:
    tx = begin(org, {"url": f"{DATA}/Account", "body": {"Name": "late"}})
    opened = clock.epoch_s()
    advance(org, 300)
    early = org.create("Account", Name="early")
    unseen = org.query("SELECT Name FROM Account")

    committed = finish(org, tx).json()
    rows = org.query("SELECT Id, SystemModstamp FROM Account ORDER BY SystemModstamp")

    assert [r["Name"] for r in unseen] == ["early"]
    assert [r["Id"] for r in rows] == [tx["answers"][0]["body"]["id"], early]
    assert committed["answers"] == tx["answers"]
    assert rows[0]["SystemModstamp"].startswith(
        clock.from_epoch(opened).strftime("%Y-%m-%dT%H:%M:%S")
    )


def test_coverage_stays_behind_an_open_transaction(org: Client) -> None:
    opened = clock.epoch_s()
    tx = begin(org, {"url": f"{DATA}/Account", "body": {"Name": "late"}})
    advance(org, 600)

    held = org.get("/sobjects/Account/updated", params=window()).json()
    held_deleted = org.get("/sobjects/Account/deleted", params=window()).json()
    finish(org, tx)
    free = org.get("/sobjects/Account/updated", params=window()).json()

    stamp = clock.from_epoch(opened).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    assert held == {"ids": [], "latestDateCovered": stamp}
    assert held_deleted["latestDateCovered"] == stamp
    assert free["ids"] == [tx["answers"][0]["body"]["id"]]
    assert free["latestDateCovered"] > stamp


def test_what_is_rolled_back_never_was(org: Client) -> None:
    tx = begin(org, {"url": f"{DATA}/Account", "body": {"Name": "never"}})

    assert finish(org, tx, "rollback").status_code == 200
    assert org.query("SELECT Id FROM Account") == []
    assert org.get("/__sandbox__/audit").json()["audit"] == []
    assert finish(org, tx).status_code == 404


def test_a_transaction_that_is_refused_is_not_open(org: Client) -> None:
    body = {"requests": [{"url": f"{DATA}/Account", "body": {"Nope": 1}}]}

    answer = org.post("/__sandbox__/transactions", body)

    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_FIELD")
    assert org.get("/__sandbox__/transactions").json()["transactions"] == []


@pytest.mark.parametrize(
    "body",
    [{}, {"requests": []}, {"requests": [5]}, {"requests": [{"url": "http://elsewhere/"}]}],
)
def test_a_wrong_transaction_is_named(org: Client, body: dict[str, object]) -> None:
    answer = org.post("/__sandbox__/transactions", body)

    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_INPUT")


class TestLocks:
    @pytest.fixture(autouse=True)
    def short_wait(self, org: Client) -> None:
        org.post("/__sandbox__/limits", {"lock_wait_ms": 0})

    def test_a_held_record_cannot_be_written(self, org: Client) -> None:
        account = org.create("Account", Name="A")
        url = f"{DATA}/Account/{account}"
        tx = begin(org, {"method": "PATCH", "url": url, "body": {"Name": "B"}})

        refused = org.patch(f"/sobjects/Account/{account}", {"Name": "C"})
        deleted = org.delete(f"/sobjects/Account/{account}")
        finish(org, tx)
        accepted = org.patch(f"/sobjects/Account/{account}", {"Phone": "1"})

        assert refused.status_code == 400
        assert refused.json()[0]["errorCode"] == "UNABLE_TO_LOCK_ROW"
        assert account in refused.json()[0]["message"]
        assert deleted.json()[0]["errorCode"] == "UNABLE_TO_LOCK_ROW"
        assert accepted.status_code == 204
        assert org.query("SELECT Name FROM Account")[0]["Name"] == "B"

    def test_writing_a_child_locks_its_account(self, org: Client) -> None:
        account, other = org.create("Account", Name="A"), org.create("Account", Name="B")
        begin(org, {"url": f"{DATA}/Contact", "body": {"LastName": "L", "AccountId": account}})
        rows = [
            {"attributes": {"type": "Contact"}, "LastName": "M", "AccountId": parent}
            for parent in (account, other)
        ]

        items = org.post("/composite/sobjects", {"records": rows}).json()
        parent = org.patch(f"/sobjects/Account/{account}", {"Name": "C"})

        assert [item["success"] for item in items] == [False, True]
        assert items[0]["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"
        assert parent.json()[0]["errorCode"] == "UNABLE_TO_LOCK_ROW"

    def test_a_unique_value_in_use_is_locked(self, org: Client) -> None:
        tx = begin(org, {"url": f"{DATA}/Bill__c", "body": {"Key__c": "one"}})

        refused = org.patch("/sobjects/Bill__c/Key__c/one", {"Total__c": 1})
        finish(org, tx)
        accepted = org.patch("/sobjects/Bill__c/Key__c/one", {"Total__c": 1})

        assert refused.json()[0]["errorCode"] == "UNABLE_TO_LOCK_ROW"
        assert (accepted.status_code, accepted.json()["created"]) == (200, False)

    def test_a_reset_lets_go(self, org: Client) -> None:
        begin(org, {"url": f"{DATA}/Bill__c", "body": {"Key__c": "one"}})

        org.post("/__sandbox__/reset", {})

        assert org.patch("/sobjects/Bill__c/Key__c/one", {}).status_code == 201

    def test_waits_ten_seconds_of_the_clock(self, org: Client) -> None:
        account = org.create("Account", Name="A")
        org.post("/__sandbox__/limits", {"lock_wait_ms": 10_000})
        url = f"{DATA}/Account/{account}"
        begin(org, {"method": "PATCH", "url": url, "body": {"Name": "B"}})
        answers: list[str] = []
        waiter = Client(org.base_url)

        def write() -> None:
            answer = waiter.patch(f"/sobjects/Account/{account}", {"Name": "C"})
            answers.append(answer.json()[0]["errorCode"])

        thread = threading.Thread(target=write)
        thread.start()
        for _ in range(9):
            advance(org, 1)
            clock.pause(0.01)
        early = list(answers)
        for _ in range(200):
            if not thread.is_alive():
                break
            advance(org, 1)
            thread.join(0.02)

        assert (early, answers) == ([], ["UNABLE_TO_LOCK_ROW"])

    def test_a_lock_set_free_in_time_lets_the_waiter_in(self, org: Client) -> None:
        account = org.create("Account", Name="A")
        org.post("/__sandbox__/limits", {"lock_wait_ms": 10_000})
        url = f"{DATA}/Account/{account}"
        tx = begin(org, {"method": "PATCH", "url": url, "body": {"Phone": "1"}})
        answers: list[int] = []
        waiter = Client(org.base_url)

        def write() -> None:
            composite = {
                "compositeRequest": [
                    {
                        "method": "PATCH",
                        "url": url,
                        "referenceId": "a",
                        "body": {"Name": "C"},
                    }
                ]
            }
            part = waiter.post("/composite", composite).json()["compositeResponse"][0]
            answers.append(part["httpStatusCode"])

        thread = threading.Thread(target=write)
        thread.start()
        clock.pause(0.05)
        assert finish(org, tx).status_code == 200
        thread.join(5)

        assert answers == [204]
        row = org.query("SELECT Name, Phone FROM Account")[0]
        assert (row["Name"], row["Phone"]) == ("C", "1")


def test_a_purged_delete_log_is_told(org: Client) -> None:
    account = org.create("Account", Name="A")
    org.delete(f"/sobjects/Account/{account}")
    asked = window()
    before = org.get("/sobjects/Account/deleted", params=asked).json()

    purged = org.post("/__sandbox__/purge", {}).json()
    after = org.get("/sobjects/Account/deleted", params=asked)

    assert [r["id"] for r in before["deletedRecords"]] == [account]
    assert purged == {"purged": 1}
    assert after.json()[0]["errorCode"] == "INVALID_REPLICATION_DATE"
    everything = org.get("/queryAll", params={"q": "SELECT Id FROM Account"}).json()
    assert everything["records"] == []
