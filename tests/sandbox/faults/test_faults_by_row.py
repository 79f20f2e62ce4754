"""Faults that hit one user, some rows, or the answer on its way; and the audit with values."""

import time

import pytest
import requests
from l2c_sandbox.server import SandboxServer
from org_client import Client


def schedule(org: Client, *faults: dict[str, object]) -> None:
    assert org.post("/__sandbox__/faults", {"faults": list(faults)}).status_code == 200


def test_a_fault_hits_one_user_only(org: Client, integration: Client) -> None:
    schedule(org, {"kind": "http", "status": 503, "user": "integration@sandbox.example"})

    assert org.get("/sobjects").status_code == 200
    assert integration.get("/sobjects").status_code == 503


def test_rows_of_one_user_fail(org: Client, integration: Client) -> None:
    schedule(org, {"kind": "lock", "user": "integration@sandbox.example", "object": "Account"})

    assert org.post("/sobjects/Account", {"Name": "A"}).status_code == 201
    refused = integration.post("/sobjects/Account", {"Name": "A"})
    assert refused.json()[0]["errorCode"] == "UNABLE_TO_LOCK_ROW"


def test_a_collection_fails_in_part(org: Client) -> None:
    fault = {"kind": "rows", "object": "Account", "code": "FIELD_CUSTOM_VALIDATION_EXCEPTION"}
    schedule(org, fault | {"message": "not today", "count": 1})
    rows = [{"attributes": {"type": "Account"}, "Name": n} for n in "ABC"]

    items = org.post("/composite/sobjects", {"records": rows}).json()

    assert [item["success"] for item in items] == [False, True, True]
    assert items[0]["errors"] == [
        {"statusCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "message": "not today", "fields": []}
    ]
    assert len(org.query("SELECT Id FROM Account")) == 2


def test_a_delete_fails_by_a_row_fault(org: Client) -> None:
    account = org.create("Account", Name="A")
    schedule(org, {"kind": "rows", "object": "Account", "code": "DELETE_FAILED", "count": 1})

    assert org.delete(f"/sobjects/Account/{account}").json()[0]["errorCode"] == "DELETE_FAILED"
    assert org.delete(f"/sobjects/Account/{account}").status_code == 204


def test_an_answer_is_cut_off_after_the_write(org: Client) -> None:
    schedule(org, {"kind": "truncate", "path": "sobjects/Account", "count": 1})

    with pytest.raises(requests.exceptions.RequestException):
        org.post("/sobjects/Account", {"Name": "written"})

    assert [r["Name"] for r in org.query("SELECT Name FROM Account")] == ["written"]


def test_an_answer_trickles(org: Client) -> None:
    schedule(org, {"kind": "trickle", "path": "/limits$", "seconds": 0.2, "count": 1})
    began = time.monotonic()

    answer = org.get("/limits", stream=True)
    first = time.monotonic() - began
    body = answer.json()

    assert "DailyApiRequests" in body
    assert time.monotonic() - began >= 0.15 > first


def test_the_audit_tells_old_and_new(org: Client) -> None:
    account = org.create("Account", Name="A", AnnualRevenue=12)
    org.patch(f"/sobjects/Account/{account}", {"Name": "B"})
    org.delete(f"/sobjects/Account/{account}")

    deleted, updated, created = org.get("/__sandbox__/audit").json()["audit"]

    assert (created["old"], created["new"]["Name"]) == ({}, "A")
    assert created["new"]["AnnualRevenue"] == 12
    assert (updated["old"]["Name"], updated["new"]["Name"]) == ("A", "B")
    assert "AnnualRevenue" not in updated["new"]
    assert (deleted["old"]["Name"], deleted["new"]) == ("B", {})
    assert deleted["old"]["IsDeleted"] is False


def test_the_audit_is_a_ring_unless_asked_for_in_full(
    org: Client, server: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2c_sandbox.org.AUDIT_LENGTH", 2)
    lengths = []
    for full in (False, True, False):
        org.call("PUT", "/__sandbox__/audit", json={"full": full})
        for _ in range(2):
            org.create("Account", Name="A")
        lengths.append(len(org.get("/__sandbox__/audit").json()["audit"]))

    assert lengths == [2, 4, 2]
    assert org.call("PUT", "/__sandbox__/audit", json={}).status_code == 400
    monkeypatch.undo()
    server.org.keep_audit(full=False)
