"""Recycle bin, undelete, merge and lead conversion (fact sheet F.5)."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from l2c_sandbox import clock
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer
from org_client import Client
from partner_client import Partner

ALL_OR_NONE = {"AllOrNoneHeader": {"allOrNone": True}}
DAY_S = 86_400
SCHEMA = Path(__file__).parent.parent / "schema"


def one(org: Client, soql: str) -> dict[str, Any]:
    (record,) = org.query(soql)
    return record


class TestUndelete:
    def test_restores_a_record_with_its_children_and_lookups(
        self, partner: Partner, org: Client
    ) -> None:
        account = org.create("Account", Name="A")
        contact = org.create("Contact", LastName="K", AccountId=account)
        lookup = org.create("Contact", LastName="L", ReportsToId=contact)
        org.delete(f"/sobjects/Account/{account}")
        assert org.query("SELECT Id FROM Contact WHERE LastName = 'K'") == []
        assert (
            one(org, f"SELECT ReportsToId FROM Contact WHERE Id = '{lookup}'")["ReportsToId"]
            is None
        )

        (result,) = partner.call("undelete", [account])

        assert (result.success, result.id) == (True, account)
        assert one(org, "SELECT AccountId FROM Contact WHERE LastName = 'K'")["AccountId"] == (
            account
        )
        assert one(org, f"SELECT ReportsToId FROM Contact WHERE Id = '{lookup}'")[
            "ReportsToId"
        ] == (contact)
        assert (
            org.get(
                "/queryAll", params={"q": "SELECT Id FROM Account WHERE IsDeleted = true"}
            ).json()["totalSize"]
            == 0
        )

    def test_sums_up_again(self, partner: Partner, org: Client) -> None:
        account = org.create("Account", Name="A")
        bill = org.create("Bill__c", Key__c="B", Account__c=account)
        lines = [
            org.create("Bill_Line__c", Key__c=f"L{i}", Bill__c=bill, Amount__c=10 * i)
            for i in (1, 2)
        ]
        org.delete(f"/sobjects/Bill_Line__c/{lines[1]}")
        assert one(org, "SELECT Line_Total__c FROM Bill__c")["Line_Total__c"] == 10

        partner.call("undelete", [lines[1]])

        row = one(org, "SELECT Line_Total__c, Line_Count__c FROM Bill__c")
        assert (row["Line_Total__c"], row["Line_Count__c"]) == (30, 2)

    def test_moves_the_system_stamp_so_that_pollers_see_it(
        self, partner: Partner, org: Client
    ) -> None:
        account = org.create("Account", Name="A")
        org.delete(f"/sobjects/Account/{account}")
        before = one(org, f"SELECT SystemModstamp FROM User WHERE Id = '{_me(partner)}'")

        partner.call("undelete", [account])

        after = one(org, "SELECT SystemModstamp FROM Account")
        assert after["SystemModstamp"] >= before["SystemModstamp"]

    def test_refuses_what_is_not_in_the_bin(self, partner: Partner, org: Client) -> None:
        account = org.create("Account", Name="A")
        contact = org.create("Contact", LastName="K", AccountId=account)

        (alive,) = partner.call("undelete", [account])
        org.delete(f"/sobjects/Account/{account}")
        # Gone as part of its account, so it is no entry of its own.
        (part,) = partner.call("undelete", [contact])
        unknown, malformed = partner.call("undelete", ["001Sb0000099999", "x"])

        codes = [r.errors[0].statusCode for r in (alive, part, unknown, malformed)]
        assert codes == ["UNDELETE_FAILED", "UNDELETE_FAILED", "INVALID_ID_FIELD", "MALFORMED_ID"]

    def test_refuses_a_unique_value_that_is_taken_by_now(
        self, partner: Partner, org: Client
    ) -> None:
        account = org.create("Account", Name="A")
        first = org.create("Bill__c", Key__c="B", Account__c=account)
        org.delete(f"/sobjects/Bill__c/{first}")
        org.create("Bill__c", Key__c="B", Account__c=account)

        (result,) = partner.call("undelete", [first])

        assert result.errors[0].statusCode == "DUPLICATE_VALUE"
        assert len(org.query("SELECT Id FROM Bill__c")) == 1

    def test_a_parent_deleted_since_is_refused_or_let_go(
        self, partner: Partner, org: Client
    ) -> None:
        account = org.create("Account", Name="A")
        contact = org.create("Contact", LastName="K", AccountId=account)
        lead = org.create("Contact", LastName="L", ReportsToId=contact)
        org.delete(f"/sobjects/Contact/{lead}")
        org.delete(f"/sobjects/Contact/{contact}")
        org.delete(f"/sobjects/Account/{account}")

        refused, kept = partner.call("undelete", [contact, lead])

        assert refused.errors[0].statusCode == "UNDELETE_FAILED"
        assert kept.success
        assert one(org, "SELECT ReportsToId FROM Contact")["ReportsToId"] is None

    def test_all_or_none_restores_none(self, partner: Partner, org: Client) -> None:
        account = org.create("Account", Name="A")
        org.delete(f"/sobjects/Account/{account}")

        good, _ = partner.call("undelete", [account, "x"], headers=ALL_OR_NONE)

        assert good.errors[0].statusCode == "ALL_OR_NONE_OPERATION_ROLLED_BACK"
        assert org.query("SELECT Id FROM Account") == []


class TestDeletedLog:
    def test_names_cascades_and_losers_until_they_come_back(
        self, partner: Partner, org: Client
    ) -> None:
        master, loser, gone = (org.create("Account", Name=name) for name in "ABC")
        contact = org.create("Contact", LastName="K", AccountId=gone)
        org.delete(f"/sobjects/Account/{gone}")
        partner.call("merge", [_merge(partner, "Account", master, loser)])
        window = {"start": _stamp(-3_600), "end": _stamp(3_600)}

        def deleted(kind: str) -> set[str]:
            answer = org.get(f"/sobjects/{kind}/deleted", params=window)
            return {r["id"] for r in answer.json()["deletedRecords"]}

        before = deleted("Account"), deleted("Contact")
        partner.call("undelete", [gone])

        assert before == ({loser, gone}, {contact})
        assert (deleted("Account"), deleted("Contact")) == ({loser}, set())


class TestBin:
    def test_what_is_emptied_is_gone_for_good(self, partner: Partner, org: Client) -> None:
        account = org.create("Account", Name="A")
        org.create("Contact", LastName="K", AccountId=account)
        org.delete(f"/sobjects/Account/{account}")

        (result,) = partner.call("emptyRecycleBin", [account])
        (again,) = partner.call("undelete", [account])

        assert result.success
        assert again.errors[0].statusCode == "ENTITY_IS_DELETED"
        for name in ("Account", "Contact"):
            assert partner.call("queryAll", f"SELECT Id FROM {name}").size == 0

    def test_an_id_is_given_once_even_where_its_record_is_gone(
        self, org: Client, tmp_path: Path
    ) -> None:
        def begin() -> tuple[SandboxServer, Partner, Client]:
            settings = OrgSettings(schema=SCHEMA, data=tmp_path / "org.db")
            server = SandboxServer(Org(settings), host="127.0.0.1", port=0)
            server.start()
            client = Client(server.base_url)
            return server, Partner(server.base_url, client.token), client

        server, partner, client = begin()
        try:
            first = client.create("Account", Name="A")
            client.delete(f"/sobjects/Account/{first}")
            partner.call("emptyRecycleBin", [first])
        finally:
            server.close()
        server, _, client = begin()
        try:
            second = client.create("Account", Name="B")
        finally:
            server.close()

        assert second > first

    def test_only_deleted_records_can_be_emptied(self, partner: Partner, org: Client) -> None:
        account = org.create("Account", Name="A")

        (result,) = partner.call("emptyRecycleBin", [account])

        assert not result.success
        assert len(org.query("SELECT Id FROM Account")) == 1

    def test_the_bin_keeps_for_fifteen_days(
        self, partner: Partner, org: Client, server: SandboxServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        account = org.create("Account", Name="A")
        org.delete(f"/sobjects/Account/{account}")
        now_s = clock.epoch_s()

        monkeypatch.setattr(clock, "epoch_s", lambda: now_s + 15 * DAY_S - 60)
        kept = partner.call("queryAll", "SELECT Id FROM Account").size
        monkeypatch.setattr(clock, "epoch_s", lambda: now_s + 15 * DAY_S + 60)
        expired = partner.call("queryAll", "SELECT Id FROM Account").size

        assert (kept, expired) == (1, 0)


class TestMerge:
    def test_moves_what_belongs_to_the_losers(self, partner: Partner, org: Client) -> None:
        master, loser = (org.create("Account", Name=name) for name in "AB")
        contact = org.create("Contact", LastName="K", AccountId=loser)
        bill = org.create("Bill__c", Key__c="B", Account__c=loser)

        (result,) = partner.call(
            "merge",
            [
                {
                    "masterRecord": partner.record("Account", id=master, Name="C"),
                    "recordToMergeIds": [loser],
                }
            ],
        )

        assert (result.success, result.id, result.mergedRecordIds) == (True, master, [loser])
        assert sorted(result.updatedRelatedIds) == sorted([contact, bill])
        assert one(org, "SELECT Name FROM Account")["Name"] == "C"
        assert one(org, "SELECT AccountId FROM Contact")["AccountId"] == master
        assert one(org, "SELECT Account__c FROM Bill__c")["Account__c"] == master

    def test_losers_are_found_by_their_master(self, partner: Partner, org: Client) -> None:
        master, first, second = (org.create("Account", Name=name) for name in "ABC")

        partner.call("merge", [_merge(partner, "Account", master, first, second)])

        soql = "SELECT Id, MasterRecordId FROM Account WHERE IsDeleted = true"
        found = org.get("/queryAll", params={"q": soql}).json()["records"]
        assert {r["Id"]: r["MasterRecordId"] for r in found} == {first: master, second: master}

    def test_an_undeleted_loser_has_no_master(self, partner: Partner, org: Client) -> None:
        master, loser = (org.create("Account", Name=name) for name in "AB")
        partner.call("merge", [_merge(partner, "Account", master, loser)])

        partner.call("undelete", [loser])

        found = one(org, f"SELECT MasterRecordId FROM Account WHERE Id = '{loser}'")
        assert found["MasterRecordId"] is None

    def test_a_master_below_its_loser_becomes_a_root(self, partner: Partner, org: Client) -> None:
        loser = org.create("Account", Name="B")
        master = org.create("Account", Name="A", ParentId=loser)
        child = org.create("Account", Name="C", ParentId=loser)

        (result,) = partner.call("merge", [_merge(partner, "Account", master, loser)])

        rows = {r["Id"]: r["ParentId"] for r in org.query("SELECT Id, ParentId FROM Account")}
        assert result.success
        assert rows == {master: None, child: master}

    def test_persons_merge_with_their_contacts(self, partner: Partner, org: Client) -> None:
        master, loser = (org.create("Account", LastName=name) for name in "AB")
        person = one(org, f"SELECT PersonContactId FROM Account WHERE Id = '{master}'")
        other = one(org, f"SELECT PersonContactId FROM Account WHERE Id = '{loser}'")
        case = org.create("Case", Subject="S", ContactId=other["PersonContactId"], AccountId=loser)

        (result,) = partner.call("merge", [_merge(partner, "Account", master, loser)])

        assert (result.success, result.updatedRelatedIds) == (True, [case])
        row = one(org, "SELECT ContactId, AccountId FROM Case")
        assert (row["ContactId"], row["AccountId"]) == (person["PersonContactId"], master)
        assert len(org.query("SELECT Id FROM Contact")) == 1

    def test_leads_and_contacts_merge_too(self, partner: Partner, org: Client) -> None:
        for kind, fields in (("Contact", {}), ("Lead", {"Company": "C"})):
            master, loser = (org.create(kind, LastName=name, **fields) for name in "AB")

            (result,) = partner.call("merge", [_merge(partner, kind, master, loser)])

            assert result.success
            assert [r["Id"] for r in org.query(f"SELECT Id FROM {kind}")] == [master]

    def test_each_request_is_a_transaction_of_its_own(self, partner: Partner, org: Client) -> None:
        master, loser, gone = (org.create("Account", Name=name) for name in "ABC")
        org.delete(f"/sobjects/Account/{gone}")

        bad, good = partner.call(
            "merge",
            [_merge(partner, "Account", master, gone), _merge(partner, "Account", master, loser)],
        )

        assert bad.errors[0].statusCode == "ENTITY_IS_DELETED"
        assert (bad.id, bad.mergedRecordIds) == (master, [])
        assert good.success

    def test_refuses_what_cannot_be_merged(self, partner: Partner, org: Client) -> None:
        business, second, third, fourth = (org.create("Account", Name=n) for n in "ABCD")
        person = org.create("Account", LastName="P")
        contact = org.create("Contact", LastName="K")

        results = partner.call(
            "merge",
            [
                _merge(partner, "Account", business, person),
                _merge(partner, "Account", business, business),
                _merge(partner, "Account", business, second, third, fourth),
                _merge(partner, "Account", business, contact),
                _merge(partner, "Bill__c", business, second),
            ],
        )

        assert [r.errors[0].statusCode for r in results] == [
            "MERGE_FAILED",
            "MERGE_FAILED",
            "MERGE_FAILED",
            "MALFORMED_ID",
            "INVALID_TYPE",
        ]
        assert results[3].errors[0].message == f"bad id in recordsToMerge: {contact}"
        assert len(org.query("SELECT Id FROM Account")) == 5


class TestConvertLead:
    def test_makes_account_contact_and_opportunity(self, partner: Partner, org: Client) -> None:
        lead = org.create(
            "Lead",
            LastName="K",
            FirstName="Eva",
            Company="Kern AG",
            Email="e@kern.example",
            City="Bonn",
            LeadSource="Web",
        )
        task = org.create("Task", Subject="Call", WhoId=lead)

        (result,) = partner.call("convertLead", [_wish(lead)])

        assert result.success, result
        account = one(org, "SELECT Id, Name, BillingCity, AccountSource FROM Account")
        contact = one(org, "SELECT Id, Name, AccountId, Email, LeadSource FROM Contact")
        deal = one(org, "SELECT Id, Name, AccountId, StageName, CloseDate, Amount FROM Opportunity")
        assert [result.accountId, result.contactId, result.opportunityId] == [
            account["Id"],
            contact["Id"],
            deal["Id"],
        ]
        assert (account["Name"], account["BillingCity"]) == ("Kern AG", "Bonn")
        assert (contact["Name"], contact["AccountId"]) == ("Eva K", account["Id"])
        assert (deal["Name"], deal["StageName"], deal["Amount"]) == (
            "Kern AG",
            "Prospecting",
            None,
        )
        close = date.fromisoformat(deal["CloseDate"])
        assert (close.month, close.day) in {(3, 31), (6, 30), (9, 30), (12, 31)}
        moved = one(org, f"SELECT WhoId, WhatId FROM Task WHERE Id = '{task}'")
        assert (moved["WhoId"], moved["WhatId"]) == (contact["Id"], deal["Id"])

    def test_a_lead_without_a_company_becomes_a_person_account(
        self, partner: Partner, org: Client
    ) -> None:
        lead = org.create("Lead", LastName="Kern", FirstName="Eva", Email="e@kern.example")

        (result,) = partner.call("convertLead", [_wish(lead)])

        account = one(org, "SELECT Id, Name, IsPersonAccount, PersonEmail FROM Account")
        contact = one(org, "SELECT Id, AccountId, IsPersonAccount FROM Contact")
        assert (account["Name"], account["PersonEmail"]) == ("Eva Kern", "e@kern.example")
        assert (account["IsPersonAccount"], contact["IsPersonAccount"]) == (True, True)
        assert [result.accountId, result.contactId] == [account["Id"], contact["Id"]]
        assert one(org, "SELECT Name FROM Opportunity")["Name"] == "Eva Kern"

    def test_the_lead_is_converted_and_closed_to_changes(
        self, partner: Partner, org: Client
    ) -> None:
        lead = org.create("Lead", LastName="K", Company="Kern AG")

        (result,) = partner.call("convertLead", [_wish(lead, doNotCreateOpportunity=True)])
        answer = org.patch(f"/sobjects/Lead/{lead}", {"Title": "Dr"})
        (again,) = partner.call("convertLead", [_wish(lead)])

        row = one(
            org,
            "SELECT IsConverted, Status, ConvertedAccountId, ConvertedContactId, ConvertedDate, "
            "ConvertedOpportunityId FROM Lead",
        )
        assert (row["IsConverted"], row["Status"]) == (True, "Closed - Converted")
        assert row["ConvertedAccountId"] == result.accountId
        assert row["ConvertedContactId"] == result.contactId
        assert row["ConvertedDate"] is not None
        assert (result.opportunityId, row["ConvertedOpportunityId"]) == (None, None)
        assert answer.json()[0]["errorCode"] == "CANNOT_UPDATE_CONVERTED_LEAD"
        assert again.errors[0].statusCode == "CANNOT_UPDATE_CONVERTED_LEAD"

    def test_existing_records_are_only_completed(self, partner: Partner, org: Client) -> None:
        account = org.create("Account", Name="Kern", Phone="1")
        contact = org.create("Contact", LastName="Kern", AccountId=account, LeadSource="Other")
        lead = org.create(
            "Lead",
            LastName="K",
            Company="Kern AG",
            Phone="2",
            Website="k.example",
            LeadSource="Web",
        )

        (result,) = partner.call(
            "convertLead",
            [_wish(lead, accountId=account, contactId=contact, overwriteLeadSource=True)],
        )

        assert (result.accountId, result.contactId) == (account, contact)
        row = one(org, "SELECT Name, Phone, Website FROM Account")
        assert (row["Name"], row["Phone"], row["Website"]) == ("Kern", "1", "k.example")
        person = one(org, "SELECT LastName, Phone, LeadSource FROM Contact")
        assert (person["LastName"], person["Phone"], person["LeadSource"]) == ("Kern", "2", "Web")

    def test_a_person_account_is_given_alone(self, partner: Partner, org: Client) -> None:
        account = org.create("Account", LastName="Kern")
        lead = org.create("Lead", LastName="Kern", Company="x", Email="k@x.example")

        (result,) = partner.call("convertLead", [_wish(lead, accountId=account)])

        row = one(org, "SELECT PersonContactId, PersonEmail FROM Account")
        assert (result.accountId, result.contactId) == (account, row["PersonContactId"])
        assert row["PersonEmail"] == "k@x.example"

    def test_tells_what_is_missing_or_wrong(self, partner: Partner, org: Client) -> None:
        lead = org.create("Lead", LastName="K", Company="Kern AG")
        queue = one(org, "SELECT Id FROM Group WHERE Type = 'Queue' LIMIT 1")["Id"]
        queued = org.create("Lead", LastName="Q", Company="Q", OwnerId=queue)
        contact = org.create("Contact", LastName="C")

        results = partner.call(
            "convertLead",
            [
                _wish(lead, convertedStatus="Working - Contacted"),
                _wish(lead, contactId=contact),
                _wish(queued),
                _wish("00QSb0000099999"),
                _wish(lead, opportunityName="x" * 81),
                _wish(lead, accountRecord=partner.record("Account", Name="A")),
            ],
        )

        assert [r.errors[0].statusCode for r in results] == [
            "INVALID_STATUS",
            "REQUIRED_FIELD_MISSING",
            "REQUIRED_FIELD_MISSING",
            "INVALID_CROSS_REFERENCE_KEY",
            "STRING_TOO_LONG",
            "INVALID_ARGUMENT_TYPE",
        ]
        assert org.query("SELECT Id FROM Account") == []  # not even by the last one

    def test_the_status_to_give_is_found_by_query(self, org: Client) -> None:
        soql = "SELECT MasterLabel FROM LeadStatus WHERE IsConverted = true"

        assert one(org, soql)["MasterLabel"] == "Closed - Converted"


def _stamp(offset_s: int) -> str:
    return clock.from_epoch(clock.epoch_s() + offset_s).strftime("%Y-%m-%dT%H:%M:%SZ")


def _me(partner: Partner) -> str:
    return str(partner.call("getUserInfo").userId)


def _merge(partner: Partner, kind: str, master: str, *losers: str) -> dict[str, Any]:
    return {"masterRecord": partner.record(kind, id=master), "recordToMergeIds": list(losers)}


def _wish(lead: str, **options: Any) -> dict[str, Any]:
    return {
        "leadId": lead,
        "convertedStatus": "Closed - Converted",
        "doNotCreateOpportunity": False,
        "overwriteLeadSource": False,
        "sendNotificationEmail": False,
    } | options
