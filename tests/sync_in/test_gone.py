"""Records that somebody deletes in the CRM, and brings back; changes that commit late."""

from datetime import timedelta

import pytest
from sync_in.still_org import patch, remove
from sync_out.world import make_account, make_invoice, make_world

from connector.adapters.salesforce.answers import SubResponse
from connector.adapters.salesforce.client import OrgClient
from connector.sync.apply.gone import note_deleted
from connector.sync.status import sync_status

ACCOUNT = "SELECT sfid, name, link_state, deleted_at FROM account ORDER BY id"
RECORD = "SELECT sfid, status, error_code, deleted_at FROM crm_record WHERE entity = '{}'"
NAMES = "SELECT name FROM account ORDER BY name"
CURSOR = "SELECT position_at FROM sync_cursor WHERE kind = '{}' AND object = 'Account'"


@pytest.fixture
def customer(still) -> str:
    """A customer with a service and an invoice, in step on both sides."""
    sfid = still.user.create("Account", Name="Dental Group")
    with still.way_in.store.transaction() as tx:
        make_world(tx, account_sfid=sfid)
        tx.exec_driver_sql("UPDATE account SET link_state = 'Linked'")
    still.pull()
    still.push()
    still.pull()
    return sfid


@pytest.fixture
def payer(still) -> str:
    """A customer who is billed, in step on both sides; orders would forbid to delete it."""
    sfid = still.user.create("Account", Name="Dental Group")
    with still.way_in.store.transaction() as tx:
        brand, _, billed = make_account(tx, sfid=sfid)
        make_invoice(tx, brand=brand, billing_account=billed, number="INV-1", lines=1)
        tx.exec_driver_sql("UPDATE account SET link_state = 'Linked'")
    still.pull()
    still.push()
    still.pull()
    return sfid


def rows(still, statement: str) -> list[dict[str, object]]:
    return still.way_in.rows(statement)


def crm(still, soql: str) -> list[dict[str, object]]:
    return still.way_in.org.query_all(soql)


class TestACustomerThatIsDeleted:
    def test_keeps_its_row_and_shows_a_broken_link(self, still, payer) -> None:
        still.pass_time(minutes=1)
        still.user.delete("Account", payer)

        report = still.pull()

        (account,) = rows(still, ACCOUNT)
        assert (account["name"], account["link_state"]) == ("Dental Group", "Broken")
        assert account["deleted_at"] == still.now
        assert report.deleted == 1
        assert len(rows(still, "SELECT id FROM invoice")) == 1

    def test_is_sent_nothing_and_nothing_that_belongs_to_it(self, still, payer) -> None:
        still.pass_time(minutes=10)
        still.user.delete("Account", payer)  # what is billed to it goes with it
        still.pull()
        still.way_in.run_sql("UPDATE billing_account SET anchor_day = 7")

        pushed = still.push()

        assert (pushed.written, pushed.dead) == (0, 0)
        assert crm(still, "SELECT Id FROM L2C_Billing_Account__c") == []

    def test_comes_back_with_all_that_belongs_to_it(self, still, payer) -> None:
        still.pass_time(minutes=10)
        before = crm(still, "SELECT Id FROM L2C_Billing_Account__c")
        still.user.delete("Account", payer)
        still.pull()
        still.way_in.run_sql("UPDATE billing_account SET anchor_day = 7")
        still.push()
        still.pass_time(minutes=1)

        still.undelete(payer)
        report = still.pull()
        still.push()

        (account,) = rows(still, ACCOUNT)
        assert (account["link_state"], account["deleted_at"]) == ("Linked", None)
        assert report.restored == 1
        assert (
            crm(still, "SELECT Id FROM L2C_Billing_Account__c") == before
        )  # the same record again
        assert (
            crm(still, "SELECT Anchor_Day__c FROM L2C_Billing_Account__c")[0]["Anchor_Day__c"] == 7
        )
        assert rows(still, RECORD.format("invoice"))[0]["status"] == "In Sync"

    def test_a_change_from_before_the_deletion_does_not_bring_it_back(self, still, payer) -> None:
        old = still.way_in.org.retrieve("Account", payer, ["Id", "Name", "SystemModstamp"])
        still.pass_time(minutes=1)
        still.user.delete("Account", payer)
        still.pull()

        with still.way_in.store.transaction() as tx:
            from connector.sync.inbox.store import store_page

            store_page(tx, object_name="Account", organization_id="x", records=[old])
        still.way_in.apply()

        assert rows(still, ACCOUNT)[0]["link_state"] == "Broken"


class TestARecordBornHereThatIsDeletedThere:
    def test_is_made_again(self, still, customer) -> None:
        still.pass_time(minutes=10)
        (service,) = crm(still, "SELECT Id FROM L2C_Service__c")
        still.user.delete("L2C_Service__c", service["Id"])

        report = still.pull()
        told = rows(still, RECORD.format("service"))
        still.push()

        assert report.made_again == 1
        assert (told[0]["sfid"], told[0]["error_code"]) == (None, "DELETED_IN_CRM")
        (again,) = crm(still, "SELECT Id, Billing_Key__c FROM L2C_Service__c")
        assert again["Id"] != service["Id"]
        assert rows(still, RECORD.format("service"))[0]["sfid"] == again["Id"]
        assert rows(still, RECORD.format("service"))[0]["deleted_at"] is None

    def test_of_every_object_costs_one_call_for_all(self, still, customer) -> None:
        still.pass_time(minutes=10)
        before = still.way_in.org.calls

        report = still.sweep()

        assert report.calls == still.way_in.org.calls - before == 2  # changes, deletions
        assert report.notes == []

    def test_is_asked_for_every_five_minutes_though_one_object_cannot_be(
        self, still, customer, monkeypatch
    ) -> None:
        wide = OrgClient.composite

        def refusing(client, subrequests, **options):
            """Answer as an org does that keeps no log of one object."""
            answers = wide(client, subrequests, **options)
            refused = [{"errorCode": "INVALID_TYPE", "message": "not replicateable"}]
            return [
                SubResponse(answer.reference, 400, refused) if "Product2/d" in one.path else answer
                for one, answer in zip(subrequests, answers, strict=True)
            ]

        monkeypatch.setattr(OrgClient, "composite", refusing)
        still.pass_time(minutes=10)
        first = still.sweep()
        still.pass_time(minutes=1)
        second = still.sweep()

        assert first.notes == [
            "Product2: its deletions cannot be read: "
            "Salesforce refused: INVALID_TYPE: not replicateable"
        ]
        assert (first.calls, second.calls) == (2, 1)

    def test_is_told_by_the_status(self, still, payer) -> None:
        still.pass_time(minutes=1)
        still.user.delete("Account", payer)
        still.pull()

        with still.way_in.store.read() as tx:
            standing = sync_status(tx=tx)

        assert standing.deleted_in_crm == {"account": 1}

    def test_is_a_tombstone_on_disk_before_the_place_moves(self, still, customer) -> None:
        still.pass_time(minutes=10)
        (service,) = crm(still, "SELECT Id FROM L2C_Service__c")
        still.user.delete("L2C_Service__c", service["Id"])

        still.sweep()
        waiting = rows(still, "SELECT topic FROM inbox WHERE state = 'pending'")
        still.sweep()

        assert waiting == [{"topic": "L2C_Service__c"}]
        assert len(rows(still, "SELECT id FROM inbox WHERE state = 'pending'")) == 1


class TestADeleteLogThatDoesNotReachBack:
    def lost(self, still) -> None:
        (service,) = crm(still, "SELECT Id FROM L2C_Service__c")
        still.user.delete("L2C_Service__c", service["Id"])
        still.pass_time(minutes=1)
        still.purge()

    def test_because_it_was_purged_leads_to_a_comparison_of_all_ids(self, still, customer) -> None:
        still.pass_time(minutes=10)
        self.lost(still)

        report = still.sweep()
        still.way_in.apply()
        still.push()

        assert report.deleted == {"L2C_Service__c": 1}
        assert any("compared all 1 known ids: 1 gone." in note for note in report.notes)
        assert len(crm(still, "SELECT Id FROM L2C_Service__c")) == 1

    def test_because_it_is_too_old_is_not_even_asked(self, still, customer) -> None:
        still.pass_time(minutes=10)
        self.lost(still)
        still.pass_time(days=16)

        report = still.sweep()

        assert report.deleted == {"L2C_Service__c": 1}
        assert any("reaches back 15 days; compared all 1" in note for note in report.notes)
        assert still.sweep().notes == []  # once is enough

    def test_finds_a_customer_the_hub_met_in_a_deal_only(self, still) -> None:
        sfid = still.user.create("Account", Name="Met in a deal")
        with still.way_in.store.transaction() as tx:
            make_account(tx, sfid=sfid)
        still.sweep()
        still.way_in.run_sql("DELETE FROM inbox")
        still.pass_time(minutes=10)
        still.user.delete("Account", sfid)
        still.pass_time(minutes=1)
        still.purge()

        still.pull()

        assert rows(still, ACCOUNT)[0]["deleted_at"] is not None


def test_more_deletions_than_one_answer_holds_are_read_in_narrower_windows(still, customer) -> None:
    still.pass_time(minutes=30)
    (service,) = crm(still, "SELECT Id FROM L2C_Service__c")
    still.user.delete("L2C_Service__c", service["Id"])
    still.pass_time(minutes=30)
    wide = still.way_in.org.composite
    asked: list[int] = []

    def narrow(subrequests, **options):
        """Answer as an org does that holds more than 600,000 ids in half an hour."""
        answers = wide(subrequests, **options)
        for place, (one, answer) in enumerate(zip(subrequests, answers, strict=True)):
            if "L2C_Service__c/deleted" not in one.path:
                continue
            start, end = (part.partition("=")[2] for part in one.path.partition("?")[2].split("&"))
            minutes = minutes_between(start, end)
            asked.append(minutes)
            if minutes > 20:
                refused = [{"errorCode": "EXCEEDED_ID_LIMIT", "message": "exceeded id limit"}]
                answers[place] = SubResponse(answer.reference, 400, refused)
        return answers

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            OrgClient, "composite", lambda _, *args, **options: narrow(*args, **options)
        )
        report = still.sweep()

    assert report.deleted == {"L2C_Service__c": 1}
    assert min(asked) <= 20 < max(asked)
    assert len(asked) < 12


def minutes_between(start: str, end: str) -> int:
    from connector.adapters.salesforce.payload import read_instant

    instants = [read_instant(text.replace("%3A", ":")) for text in (start, end)]
    return int((instants[1] - instants[0]) / timedelta(minutes=1))


class TestAChangeThatCommitsLate:
    def test_is_found_when_it_deletes_while_all_ids_are_compared(self, still, customer) -> None:
        still.pass_time(minutes=10)
        (service,) = crm(still, "SELECT Id FROM L2C_Service__c")
        transaction = still.open_transaction(remove("L2C_Service__c", service["Id"]))
        still.pass_time(minutes=10)
        still.purge()
        compared = still.sweep()

        still.commit(transaction)
        still.pass_time(minutes=10)
        report = still.sweep()

        assert any("compared all" in note for note in compared.notes)
        assert report.deleted == {"L2C_Service__c": 1}

    def test_is_found_however_long_its_transaction_was_open(self, still) -> None:
        slow = still.user.create("Account", Name="Before")
        still.pull()
        transaction = still.open_transaction(patch("Account", slow, Name="Committed late"))
        for _ in range(6):
            still.pass_time(minutes=10)
            still.user.create("Account", Name="Meanwhile")  # moves the place, if anything does
            still.pull()

        still.commit(transaction)
        still.pull()

        assert {"name": "Committed late"} in rows(still, NAMES)
        still.pass_time(minutes=10)
        still.sweep()
        (cursor,) = rows(still, CURSOR.format("changes"))
        assert cursor["position_at"] > still.now - timedelta(minutes=15)

    def test_is_found_when_it_deletes(self, still, customer) -> None:
        still.pass_time(minutes=10)
        (service,) = crm(still, "SELECT Id FROM L2C_Service__c")
        transaction = still.open_transaction(remove("L2C_Service__c", service["Id"]))
        for _ in range(3):
            still.pass_time(minutes=10)
            still.sweep()

        still.commit(transaction)
        still.pass_time(minutes=10)
        report = still.sweep()

        assert report.deleted == {"L2C_Service__c": 1}


def test_an_id_nobody_knows_is_passed_over(store) -> None:
    with store.transaction() as tx:
        gone = note_deleted(tx, "Account", ["001000000000001AAA"])

    assert (gone.marked, gone.made_again) == (0, 0)
