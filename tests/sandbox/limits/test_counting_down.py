"""`/limits` counts events, Bulk and storage down as they are used (fact sheet J, E.5)."""

import base64
from pathlib import Path
from typing import Any

import pytest
from bulk_client import BulkClient
from l2c_sandbox.limits import PROFILES
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer
from org_client import Client

EVENTS = Path(__file__).parent.parent / "events" / "schema"
MB = 1_048_576
KEYS = ("DailyDeliveredPlatformEvents", "HourlyPublishedPlatformEvents", "DataStorageMB")


@pytest.fixture(scope="module")
def server() -> object:
    started = SandboxServer(Org(OrgSettings(schema=EVENTS)), host="127.0.0.1", port=0)
    started.start()
    yield started
    started.close()


def left(org: Client, name: str) -> int:
    return int(org.get("/limits").json()[name]["Remaining"])


def used(org: Client, name: str) -> int:
    entry = org.get("/limits").json()[name]
    return int(entry["Max"]) - int(entry["Remaining"])


@pytest.mark.parametrize("profile", PROFILES)
def test_the_edition_decides_what_there_is(profile: str) -> None:
    expected = PROFILES[profile].limits
    started = SandboxServer(
        Org(OrgSettings(schema=EVENTS, profile=profile)), host="127.0.0.1", port=0
    )
    started.start()
    try:
        body = Client(started.base_url).get("/limits").json()
    finally:
        started.close()

    assert {key: body[key]["Max"] for key in KEYS} == {key: expected[key] for key in KEYS}
    assert body["DailyApiRequests"]["Max"] == PROFILES[profile].daily_calls


def test_published_events_count_once_each(org: Client) -> None:
    rows = [{"attributes": {"type": "Service_Ready__e"}, "Key__c": key} for key in "abc"]
    before = left(org, "HourlyPublishedPlatformEvents")

    org.post("/sobjects/Service_Ready__e", {"Key__c": "S"})
    org.post("/composite/sobjects", {"records": rows})
    org.create("Circuit__c", Name="a change is no publication")

    assert before - left(org, "HourlyPublishedPlatformEvents") == 4


def test_undone_and_refused_events_do_not_count(org: Client) -> None:
    good = {"attributes": {"type": "Service_Ready__e"}, "Key__c": "a"}
    bad = {"attributes": {"type": "Service_Ready__e"}}

    org.post("/composite/sobjects", {"allOrNone": True, "records": [good, bad]})
    org.post("/sobjects/Service_Ready__e", {})

    assert used(org, "HourlyPublishedPlatformEvents") == 0


def test_one_call_cannot_publish_more_than_is_left(org: Client) -> None:
    org.call("PUT", "/__sandbox__/events", json={"hourly_publishes": 2})
    rows = [{"attributes": {"type": "Service_Ready__e"}, "Key__c": key} for key in "abc"]

    results = org.post("/composite/sobjects", {"records": rows}).json()

    assert [result["success"] for result in results] == [True, True, False]
    assert results[2]["errors"][0]["statusCode"] == "LIMIT_EXCEEDED"
    body = org.get("/limits").json()
    assert body["HourlyPublishedPlatformEvents"] == {"Max": 2, "Remaining": 0}


def test_data_storage_counts_two_kilobytes_per_living_record(org: Client) -> None:
    before = used(org, "DataStorageMB")
    ids = []
    for _ in range(3):
        rows = [{"attributes": {"type": "Circuit__c"}, "Name": "C"}] * 200
        ids += [r["id"] for r in org.post("/composite/sobjects", {"records": rows}).json()]
    full = used(org, "DataStorageMB")

    for start in range(0, 600, 200):
        org.delete("/composite/sobjects", params={"ids": ",".join(ids[start : start + 200])})

    assert (full - before, used(org, "DataStorageMB") - before) == (1, 0)


def test_file_storage_counts_the_bytes_of_all_versions(org: Client) -> None:
    for size in (MB, 1):
        org.create(
            "ContentVersion",
            Title="F",
            PathOnClient="f.txt",
            VersionData=base64.b64encode(b"x" * size).decode(),
        )

    assert used(org, "FileStorageMB") == 2


def test_a_record_without_room_is_refused_until_others_are_deleted(org: Client) -> None:
    taken = used(org, "DataStorageMB")
    org.call("POST", "/__sandbox__/limits", json={"data_storage_mb": taken})
    rows = [{"attributes": {"type": "Circuit__c"}, "Name": "C"}] * 200
    results: list[dict[str, Any]] = []
    for _ in range(4):
        results += org.post("/composite/sobjects", {"records": rows}).json()
    saved = [result["id"] for result in results if result["success"]]

    refused = org.post("/sobjects/Circuit__c", {"Name": "D"})
    changed = org.patch(f"/sobjects/Circuit__c/{saved[0]}", {"Name": "E"})
    org.delete(f"/sobjects/Circuit__c/{saved[1]}")
    fits = org.post("/sobjects/Circuit__c", {"Name": "F"})

    assert 0 < len(saved) <= 512
    assert [r["errors"][0]["statusCode"] for r in results if not r["success"]] == [
        "STORAGE_LIMIT_EXCEEDED"
    ] * (800 - len(saved))
    assert refused.status_code == 400
    assert refused.json()[0]["errorCode"] == "STORAGE_LIMIT_EXCEEDED"
    assert (changed.status_code, fits.status_code) == (204, 201)


def test_a_file_without_room_is_refused(org: Client) -> None:
    org.call("POST", "/__sandbox__/limits", json={"file_storage_mb": 1})
    file = {"Title": "F", "PathOnClient": "f.txt"}
    half = base64.b64encode(b"x" * (MB // 2 + 1)).decode()

    answers = [org.post("/sobjects/ContentVersion", file | {"VersionData": half}) for _ in "ab"]

    assert [answer.status_code for answer in answers] == [201, 400]
    assert answers[1].json()[0]["errorCode"] == "STORAGE_LIMIT_EXCEEDED"


def test_bulk_jobs_use_batches_queries_and_room_for_results(org: Client) -> None:
    bulk = BulkClient(org)

    bulk.run("insert", "Circuit__c", "Name\nA\nB\n")
    bulk.extract("SELECT Id FROM Circuit__c")

    names = ("DailyBulkApiBatches", "DailyBulkV2QueryJobs", "DailyBulkV2QueryFileStorageMB")
    assert [used(org, name) for name in names] == [1, 1, 1]


def test_permission_sets_count_and_name_the_custom_ones(org: Client) -> None:
    count = len(org.query("SELECT Id FROM PermissionSet"))

    body = org.get("/limits").json()["PermissionSets"]

    assert body["Max"] - body["Remaining"] == count
    assert set(body["CreateCustom"]) == {"Max", "Remaining"}


def test_a_reset_gives_everything_back(org: Client) -> None:
    org.post("/sobjects/Service_Ready__e", {"Key__c": "S"})

    org.call("POST", "/__sandbox__/reset")

    assert used(org, "HourlyPublishedPlatformEvents") == 0
