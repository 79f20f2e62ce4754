"""Change events of every way to write a record: Bulk, SOAP, composite calls (fact sheet H.3)."""

from collections.abc import Callable
from typing import Any

import pytest
from bulk_client import BulkClient
from events_client import PubSub
from org_client import Client
from partner_client import Partner

ALL = "/data/ChangeEvents"


@pytest.fixture
def bulk(org: Client) -> BulkClient:
    return BulkClient(org)


@pytest.fixture
def partner(org: Client) -> Partner:
    return Partner(org.base_url, org.token)


@pytest.fixture
def told(org: Client, pubsub: PubSub) -> Callable[[int], list[dict[str, Any]]]:
    """The first events of the org since its reset, those of a marker record behind them."""
    names = ["Account", "Contact", "Lead", "Opportunity", "Circuit__c"]
    org.call("PUT", "/__sandbox__/cdc", json={"entities": names}).raise_for_status()

    def read(count: int) -> list[dict[str, Any]]:
        org.create("Account", Name="marker")
        events = pubsub.subscribe(ALL, preset="EARLIEST").read(count + 1)
        assert events[-1]["Name"] == "marker", kinds(events)
        return events[:-1]

    return read


def header(event: dict[str, Any]) -> dict[str, Any]:
    return dict(event["ChangeEventHeader"])


def kinds(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(header(e)["entityName"], header(e)["changeType"]) for e in events]


Told = Callable[[int], list[dict[str, Any]]]


class TestBulk:
    def test_every_operation_of_an_ingest_job_is_told(self, bulk: BulkClient, told: Told) -> None:
        saved = bulk.run("insert", "Circuit__c", "Name,Speed__c\nA,1\nB,2\nC,3\n").saved
        a, b, c = (row["sf__Id"] for row in saved)
        bulk.run("update", "Circuit__c", f"Id,Speed__c\n{a},9\n{b},9\n")
        bulk.run("delete", "Circuit__c", f"Id\n{b}\n")
        bulk.run("hardDelete", "Circuit__c", f"Id\n{c}\n")

        events = told(6)

        assert [(header(e)["changeType"], header(e)["recordIds"]) for e in events] == [
            ("CREATE", [a]),
            ("CREATE", [b]),
            ("CREATE", [c]),
            ("UPDATE", [a, b]),
            ("DELETE", [b]),
            ("DELETE", [c]),
        ]

    def test_an_upsert_creates_and_updates(self, org: Client, bulk: BulkClient, told: Told) -> None:
        record_id = org.create("Circuit__c", Name="A")

        bulk.run("upsert", "Circuit__c", f"Id,Name\n{record_id},B\n,C\n", externalIdFieldName="Id")

        assert sorted(kinds(told(3))[1:]) == [("Circuit__c", "CREATE"), ("Circuit__c", "UPDATE")]

    def test_the_origin_names_bulk_its_version_and_the_client_of_the_job(
        self, org: Client, bulk: BulkClient, told: Told
    ) -> None:
        options = {"Sforce-Call-Options": "client=loader"}
        body = {"operation": "insert", "object": "Circuit__c"}
        job = org.post("/jobs/ingest", body, headers=options).json()["id"]
        bulk.put(job, "Name\nA\n")
        bulk.state(job, "UploadComplete")
        bulk.wait(job)
        bulk.run("insert", "Circuit__c", "Name\nB\n")

        origins = [header(event)["changeOrigin"] for event in told(2)]

        assert origins == [
            "com/salesforce/api/bulkapi/59.0;client=loader",
            "com/salesforce/api/bulkapi/59.0",
        ]

    def test_rows_that_fail_are_not_told(self, bulk: BulkClient, told: Told) -> None:
        bulk.run("insert", "Circuit__c", "Name,Speed__c\ngood,1\nbad,fast\n")

        assert [event["Name"] for event in told(1)] == ["good"]


class TestSoap:
    def test_the_origin_names_soap_and_the_client_of_the_envelope(
        self, partner: Partner, told: Told
    ) -> None:
        options = {"CallOptions": {"client": "etl/1.0"}}
        partner.call("create", [partner.record("Account", Name="A")], headers=options)
        partner.create("Account", Name="B")

        origins = [header(event)["changeOrigin"] for event in told(2)]

        assert origins == [
            "com/salesforce/api/soap/64.0;client=etl/1.0",
            "com/salesforce/api/soap/64.0",
        ]

    def test_an_undelete_tells_the_record_and_its_children_in_full(
        self, org: Client, partner: Partner, told: Told
    ) -> None:
        account = org.create("Account", Name="A", Phone="1")
        org.create("Contact", LastName="K", AccountId=account)
        org.delete(f"/sobjects/Account/{account}")

        partner.call("undelete", [account])

        events = told(6)
        assert sorted(kinds(events[2:4])) == [("Account", "DELETE"), ("Contact", "DELETE")]
        assert sorted(kinds(events[4:])) == [("Account", "UNDELETE"), ("Contact", "UNDELETE")]
        restored = next(e for e in events[4:] if header(e)["entityName"] == "Account")
        assert (restored["Name"], restored["Phone"]) == ("A", "1")
        assert header(restored)["changedFields"] == []

    def test_emptying_the_bin_is_no_further_change(
        self, org: Client, partner: Partner, told: Told
    ) -> None:
        account = org.create("Account", Name="A")
        org.delete(f"/sobjects/Account/{account}")

        partner.call("emptyRecycleBin", [account])

        assert kinds(told(2)) == [("Account", "CREATE"), ("Account", "DELETE")]

    def test_a_merge_is_an_update_of_the_master_and_a_delete_of_the_loser(
        self, org: Client, partner: Partner, told: Told
    ) -> None:
        master, loser = (org.create("Account", Name=name) for name in ("M", "L"))
        child = org.create("Contact", LastName="K", AccountId=loser)
        wish = {
            "masterRecord": partner.record("Account", id=master, Phone="7"),
            "recordToMergeIds": [loser],
        }

        (result,) = partner.call("merge", [wish])

        assert result.success
        events = told(6)[3:]
        by_id = {header(e)["recordIds"][0]: header(e)["changeType"] for e in events}
        assert by_id == {master: "UPDATE", loser: "DELETE", child: "UPDATE"}
        assert len({header(e)["transactionKey"] for e in events}) == 1

    def test_a_conversion_is_account_contact_opportunity_lead_in_sequence(
        self, org: Client, partner: Partner, told: Told
    ) -> None:
        lead = org.create("Lead", LastName="L", Company="Acme")
        status = org.query("SELECT MasterLabel FROM LeadStatus WHERE IsConverted = true")[0]
        wish = {
            "leadId": lead,
            "convertedStatus": status["MasterLabel"],
            "doNotCreateOpportunity": False,
            "overwriteLeadSource": False,
            "sendNotificationEmail": False,
        }

        (result,) = partner.call("convertLead", [wish])

        assert result.success, result
        events = told(5)[1:]
        assert kinds(events) == [
            ("Account", "CREATE"),
            ("Contact", "CREATE"),
            ("Opportunity", "CREATE"),
            ("Lead", "UPDATE"),
        ]
        assert [header(e)["sequenceNumber"] for e in events] == [1, 2, 3, 4]
        assert len({header(e)["transactionKey"] for e in events}) == 1
        assert events[3]["ConvertedAccountId"] == result.accountId


class TestTransactions:
    def test_a_cascade_tells_every_record_it_takes_along(self, org: Client, told: Told) -> None:
        account = org.create("Account", Name="A")
        contact = org.create("Contact", LastName="K", AccountId=account)

        org.delete(f"/sobjects/Account/{account}")

        events = told(4)[2:]
        deleted = {i for e in events for i in header(e)["recordIds"]}
        assert deleted == {account, contact}
        assert {header(e)["changeType"] for e in events} == {"DELETE"}

    def test_a_composite_call_that_rolls_back_tells_nothing(self, org: Client, told: Told) -> None:
        address = "/services/data/v59.0/sobjects/Circuit__c"
        calls = [
            {"method": "POST", "url": address, "referenceId": "good", "body": {"Name": "x"}},
            {"method": "POST", "url": address, "referenceId": "bad", "body": {"Speed__c": "x"}},
        ]
        org.post("/composite", {"allOrNone": True, "compositeRequest": calls})
        graph = {"graphs": [{"graphId": "1", "compositeRequest": calls}]}
        org.post("/composite/graph", graph)
        tree = [
            {"attributes": {"type": "Circuit__c", "referenceId": "a"}, "Name": "x"},
            {"attributes": {"type": "Circuit__c", "referenceId": "b"}, "Speed__c": "x"},
        ]
        org.post("/composite/tree/Circuit__c", {"records": tree})

        assert told(0) == []

    def test_a_batch_keeps_and_tells_what_succeeded(self, org: Client, told: Told) -> None:
        calls = [
            {"method": "POST", "url": "v59.0/sobjects/Circuit__c", "richInput": {"Name": "x"}},
            {"method": "POST", "url": "v59.0/sobjects/Circuit__c", "richInput": {"Speed__c": "x"}},
        ]

        org.post("/composite/batch", {"batchRequests": calls})

        assert [event["Name"] for event in told(1)] == ["x"]

    def test_a_refused_update_is_not_told(self, org: Client, told: Told) -> None:
        record_id = org.create("Circuit__c", Name="A")

        refused = org.patch(f"/sobjects/Circuit__c/{record_id}", {"Speed__c": "fast"})

        assert refused.status_code == 400
        assert kinds(told(1)) == [("Circuit__c", "CREATE")]

    def test_a_late_commit_is_told_when_it_commits_with_the_origin_of_its_calls(
        self, org: Client, told: Told
    ) -> None:
        call = {"url": "/services/data/v59.0/sobjects/Circuit__c", "body": {"Name": "late"}}
        opened = org.post("/__sandbox__/transactions", {"requests": [call]}).json()
        org.create("Circuit__c", Name="early")

        org.post("/__sandbox__/transactions/commit", {"id": opened["id"]})

        events = told(2)
        assert [event["Name"] for event in events] == ["early", "late"]
        assert header(events[1])["changeOrigin"] == "com/salesforce/api/rest/59.0"


class TestPlatformEvents:
    def test_bulk_publishes_a_row_as_an_event(self, bulk: BulkClient, pubsub: PubSub) -> None:
        job = bulk.run("insert", "Service_Ready__e", "Key__c,Monthly__c\nS-1,12.5\n,1\n")

        assert [row["sf__Error"].split(":")[0] for row in job.failed] == ["REQUIRED_FIELD_MISSING"]
        assert [row["sf__Id"][:2] for row in job.saved] == ["e0"]
        got = pubsub.subscribe("/event/Service_Ready__e", preset="EARLIEST").read(1)
        assert (got[0]["Key__c"], got[0]["Monthly__c"]) == ("S-1", 12.5)

    def test_soap_publishes_with_the_uuid_of_the_event(
        self, partner: Partner, pubsub: PubSub
    ) -> None:
        record = partner.record("Service_Ready__e", Key__c="S-1")

        (result,) = partner.call("create", [record])

        assert result.success
        got = pubsub.subscribe("/event/Service_Ready__e", preset="EARLIEST").take(1)
        assert got[0].event.id == result.errors[0].message

    def test_a_rolled_back_collection_publishes_nothing(self, org: Client, pubsub: PubSub) -> None:
        event = {"attributes": {"type": "Service_Ready__e"}, "Key__c": "undone"}
        bad = {"attributes": {"type": "Service_Ready__e"}}
        org.post("/composite/sobjects", {"allOrNone": True, "records": [event, bad]})
        org.post("/sobjects/Service_Ready__e", {"Key__c": "kept"})

        got = pubsub.subscribe("/event/Service_Ready__e", preset="EARLIEST").read(1)

        assert [e["Key__c"] for e in got] == ["kept"]
