"""Bulk jobs of the connector against the local org over HTTP."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pytest

from connector.adapters.salesforce import bulk as bulk_module
from connector.adapters.salesforce.answers import Subrequest
from connector.adapters.salesforce.bulk import Bulk, Patience
from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.errors import OrgRefused, OrgUnavailable
from connector.adapters.salesforce.login import ClientCredentials, Login
from connector.adapters.salesforce.retry import RetryPolicy

KEY = "Billing_Key__c"
QUICK = Patience(first_pause_s=0.02, longest_pause_s=0.1, limit_s=30)


@pytest.fixture
def client(org) -> Iterator[OrgClient]:
    retry = RetryPolicy(attempts=3, first_pause_s=0.01, longest_pause_s=0.02)
    login = Login(org.base_url, ClientCredentials(org.client_id, org.client_secret))
    client = OrgClient(login, retry=retry)
    yield client
    client.close()


@pytest.fixture
def bulk(client) -> Bulk:
    return Bulk(client, QUICK)


@pytest.fixture
def account(client) -> str:
    made = client.composite([Subrequest("POST", "sobjects/Account", "a", {"Name": "Acme"})])
    return str(made[0].body["id"])


@pytest.fixture
def billing_accounts(account) -> list[dict[str, object]]:
    return [
        {
            KEY: f"l2c:billing_account:{number}",
            "Name": f'Payer {number}, "gr\u00fcn"\nnext line',
            "Account__c": account,
            "Currency__c": "EUR",
            "Balance__c": Decimal("1234567890123.45"),
            "Oldest_Due_Date__c": date(2026, 6, number % 28 + 1),
        }
        for number in range(1, 301)
    ]


def test_rows_are_written_and_told_apart_by_their_key(bulk, billing_accounts) -> None:
    results = bulk.ingest("upsert", "L2C_Billing_Account__c", billing_accounts, key_field=KEY)

    assert len(results) == 300
    assert all(result.success and result.created for result in results.values())
    rows = {
        row[KEY]: row
        for row in bulk.query(
            f"SELECT Id, {KEY}, Name, Balance__c, Oldest_Due_Date__c FROM L2C_Billing_Account__c"
        )
    }
    one = rows["l2c:billing_account:7"]
    assert one["Id"] == results["l2c:billing_account:7"].sfid
    assert one["Name"] == 'Payer 7, "gr\u00fcn"\nnext line'
    assert Decimal(one["Balance__c"] or "") == Decimal("1234567890123.45")
    assert one["Oldest_Due_Date__c"] == "2026-06-08"


def test_none_empties_a_field_and_an_absent_name_leaves_it(bulk, billing_accounts) -> None:
    bulk.ingest("upsert", "L2C_Billing_Account__c", billing_accounts[:2], key_field=KEY)
    first, second = (str(row[KEY]) for row in billing_accounts[:2])

    bulk.ingest(
        "upsert",
        "L2C_Billing_Account__c",
        [{KEY: first, "Oldest_Due_Date__c": None}, {KEY: second, "Balance__c": Decimal(1)}],
        key_field=KEY,
    )

    shown = {
        row[KEY]: (row["Balance__c"], row["Oldest_Due_Date__c"])
        for row in bulk.query(
            f"SELECT {KEY}, Balance__c, Oldest_Due_Date__c FROM L2C_Billing_Account__c"
        )
    }
    assert shown[first][1] is None
    assert Decimal(shown[first][0] or "") == Decimal("1234567890123.45")
    assert Decimal(shown[second][0] or "") == 1
    assert shown[second][1] is not None


def test_a_refused_row_says_why_and_hinders_no_other(bulk, billing_accounts) -> None:
    billing_accounts[3]["Name"] = "x" * 200

    results = bulk.ingest("upsert", "L2C_Billing_Account__c", billing_accounts[:5], key_field=KEY)

    refused = results["l2c:billing_account:4"]
    assert [key for key, result in results.items() if not result.success] == [
        "l2c:billing_account:4"
    ]
    assert refused.errors[0].code == "STRING_TOO_LONG"
    assert refused.errors[0].fields == ("Name",)


def test_a_parent_is_named_by_its_key(bulk, billing_accounts) -> None:
    bulk.ingest("upsert", "L2C_Billing_Account__c", billing_accounts[:1], key_field=KEY)
    payment = {
        KEY: "l2c:payment:1",
        "Billing_Account__r": {KEY: "l2c:billing_account:1"},
        "Amount__c": Decimal("10.50"),
    }

    results = bulk.ingest("upsert", "L2C_Payment__c", [payment], key_field=KEY)

    assert results["l2c:payment:1"].success, results
    (row,) = bulk.query("SELECT Amount__c, Billing_Account__r.Billing_Key__c FROM L2C_Payment__c")
    assert row["Billing_Account__r.Billing_Key__c"] == "l2c:billing_account:1"


def test_records_are_updated_and_deleted_by_id(bulk, account) -> None:
    updated = bulk.ingest("update", "Account", [{"Id": account, "Phone": "555"}])
    assert updated[account].success
    assert [row["Phone"] for row in bulk.query("SELECT Phone FROM Account")] == ["555"]

    deleted = bulk.ingest("delete", "Account", [{"Id": account}])

    assert deleted[account].success
    assert list(bulk.query("SELECT Id FROM Account")) == []
    gone = list(bulk.query("SELECT Id FROM Account WHERE IsDeleted = true", include_deleted=True))
    assert [row["Id"] for row in gone] == [account]


def test_a_result_comes_page_by_page(bulk, client, billing_accounts) -> None:
    bulk.ingest("upsert", "L2C_Billing_Account__c", billing_accounts, key_field=KEY)

    rows = list(bulk.query(f"SELECT {KEY} FROM L2C_Billing_Account__c", rows_per_page=70))

    assert {row[KEY] for row in rows} == {row[KEY] for row in billing_accounts}
    assert len(rows) == 300


def test_an_unknown_field_refuses_the_job_as_a_whole(bulk) -> None:
    with pytest.raises(OrgRefused, match="No_Such__c"):
        bulk.ingest("upsert", "L2C_Payment__c", [{KEY: "a", "No_Such__c": "x"}], key_field=KEY)


def test_rows_beyond_the_upload_limit_go_into_another_job(
    bulk, client, billing_accounts, monkeypatch
) -> None:
    monkeypatch.setattr(bulk_module, "UPLOAD_BYTES_MAX", 15_000)

    results = bulk.ingest("upsert", "L2C_Billing_Account__c", billing_accounts, key_field=KEY)

    assert len(results) == 300
    jobs = client.call("GET", "jobs/ingest")["records"]
    assert len(jobs) > 1


def test_few_calls_are_counted_however_many_rows_there_are(bulk, client, billing_accounts) -> None:
    before = client.calls

    bulk.ingest("upsert", "L2C_Billing_Account__c", billing_accounts, key_field=KEY)

    assert client.calls - before < 20  # create, upload, close, result, and the looks between


class TestTheOrgMisbehaves:
    def test_an_upload_whose_answer_is_lost_is_given_up_for_later(
        self, bulk, org, billing_accounts
    ) -> None:
        cut = [{"kind": "drop_after", "path": "batches", "count": 1}]
        org.admin("faults", body={"faults": cut})

        with pytest.raises(OrgUnavailable):
            bulk.ingest("upsert", "L2C_Billing_Account__c", billing_accounts, key_field=KEY)
        org.admin("faults", method="DELETE")
        again = bulk.ingest("upsert", "L2C_Billing_Account__c", billing_accounts, key_field=KEY)

        assert all(result.success for result in again.values())
        assert len(list(bulk.query("SELECT Id FROM L2C_Billing_Account__c"))) == 300

    def test_an_ended_session_is_opened_anew(self, bulk, org, billing_accounts) -> None:
        bulk.ingest("upsert", "L2C_Billing_Account__c", billing_accounts[:1], key_field=KEY)
        org.admin("sessions/expire")

        results = bulk.ingest("upsert", "L2C_Billing_Account__c", billing_accounts, key_field=KEY)

        assert all(result.success for result in results.values())

    def test_a_job_that_does_not_end_in_time_is_told(self, client, billing_accounts) -> None:
        impatient = Bulk(client, Patience(first_pause_s=0, longest_pause_s=0, limit_s=0))

        with pytest.raises(OrgUnavailable, match="did not end"):
            impatient.ingest("upsert", "L2C_Billing_Account__c", billing_accounts, key_field=KEY)

    def test_a_stopped_job_tells_the_rows_it_did_not_come_to(
        self, bulk, client, billing_accounts
    ) -> None:
        (upload,) = bulk_module.uploads(billing_accounts, key_field=KEY)
        job = bulk.open("upsert", "L2C_Billing_Account__c", upload.content, key_field=KEY)
        assert not bulk.has_ended(job)

        bulk.stop(job)

        assert bulk.has_ended(job)
        assert list(bulk.query("SELECT Id FROM L2C_Billing_Account__c")) == []
        bulk.stop(job)  # once more does no harm


class TestPatience:
    def test_a_job_that_moves_is_looked_at_when_it_should_be_done(self) -> None:
        pause_s = Patience().after(0.2, waited_s=2, share=0.25)

        assert pause_s == 6

    def test_a_pace_just_seen_is_not_trusted_far_ahead(self) -> None:
        pause_s = Patience().after(0.2, waited_s=0.2, share=0.01)

        assert pause_s == pytest.approx(0.6)

    def test_a_long_job_is_looked_at_now_and_then(self) -> None:
        pause_s = Patience(longest_pause_s=15).after(1, waited_s=10, share=0.1)

        assert pause_s == 15

    def test_a_job_that_is_nearly_done_is_not_asked_for_all_the_time(self) -> None:
        pause_s = Patience(first_pause_s=0.2).after(5, waited_s=1, share=0.99)

        assert pause_s == 0.2

    @pytest.mark.parametrize("share", [0.0, 1.0, 1.5])
    def test_one_that_tells_nothing_is_asked_for_ever_more_rarely(self, share) -> None:
        pause_s = Patience(factor=2, longest_pause_s=15).after(4, waited_s=9, share=share)

        assert pause_s == 8
