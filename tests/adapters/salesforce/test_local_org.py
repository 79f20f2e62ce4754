"""The client against the local org over HTTP."""

from decimal import Decimal

import pytest

from connector.adapters.salesforce.answers import Subrequest
from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.errors import OrgLoginFailed, OrgRefused, OrgUnavailable
from connector.adapters.salesforce.login import ClientCredentials, Login
from connector.adapters.salesforce.retry import RetryPolicy

QUICK = RetryPolicy(attempts=4, first_pause_s=0.01, longest_pause_s=0.02)


@pytest.fixture
def client(org):
    client = OrgClient(
        Login(org.base_url, ClientCredentials(org.client_id, org.client_secret)), retry=QUICK
    )
    yield client
    client.close()


def make_accounts(client: OrgClient, count: int) -> list[str]:
    keys = [f"l2c:location:{number}" for number in range(count)]
    account = client.composite([Subrequest("POST", "sobjects/Account", "a", {"Name": "Acme"})])
    rows = [
        {"Billing_Key__c": key, "Name": f"Site {key}", "Account__c": account[0].body["id"]}
        for key in keys
    ]
    results = client.upsert_collections("L2C_Location__c", "Billing_Key__c", rows)
    assert all(result.success and result.created for result in results), results[:2]
    return [result.sfid for result in results]


def test_tells_which_organization_it_is(client, org) -> None:
    assert client.identity() == org.organization_id


def test_reads_the_limits_and_counts_its_calls(client) -> None:
    client.query_all("SELECT Id FROM Account LIMIT 1")
    client.query_all("SELECT Id FROM Account LIMIT 1")

    assert client.calls == 2
    assert client.limit_info
    assert client.limit_info.used >= 2


def test_is_told_about_a_wrong_secret(org) -> None:
    client = OrgClient(Login(org.base_url, ClientCredentials(org.client_id, "wrong")))

    with pytest.raises(OrgLoginFailed, match="client_secret"):
        client.identity()


def test_sends_nothing_to_an_org_that_is_not_the_one_it_is_meant_for(org) -> None:
    grant = ClientCredentials(org.client_id, org.client_secret)
    mine = OrgClient(Login(org.base_url, grant, organization_id=org.organization_id[:15]))
    another = OrgClient(Login(org.base_url, grant, organization_id="00D000000000001AAA"))

    assert mine.identity() == org.organization_id
    with pytest.raises(OrgLoginFailed, match="leads to the org"):
        another.query_all("SELECT Id FROM Account LIMIT 1")
    assert another.calls == 0


def test_names_salesforces_own_code_of_a_refusal(client) -> None:
    with pytest.raises(OrgRefused) as refused:
        client.query_all("SELECT Nonsense__c FROM Account")

    assert refused.value.error_code == "INVALID_FIELD"


def test_writes_a_thousand_rows_with_one_call_and_finds_them_again(client) -> None:
    make_accounts(client, 1)
    before = client.calls

    rows = [{"Billing_Key__c": f"l2c:location:{n}", "City__c": f"City {n}"} for n in range(1)]
    (updated,) = client.upsert_collections("L2C_Location__c", "Billing_Key__c", rows)

    assert updated.success
    assert not updated.created
    assert client.calls == before + 1
    found = client.query_all("SELECT City__c FROM L2C_Location__c")
    assert [row["City__c"] for row in found] == ["City 0"]


def test_upserts_more_than_a_page_and_reads_all_pages(client) -> None:
    sfids = make_accounts(client, 2_100)

    found = {row["Id"] for row in client.query("SELECT Id FROM L2C_Location__c")}

    assert found == set(sfids)


def test_retrieves_many_records_of_several_objects_with_one_call(client) -> None:
    sfids = make_accounts(client, 3)
    account = client.query_all("SELECT Id FROM Account WHERE Name = 'Acme'")[0]["Id"]
    before = client.calls

    found = client.retrieve_many(
        {"Account": [account], "L2C_Location__c": [*sfids, "a00000000000000AAA"]},
        fields={"Account": ["Id", "Name"], "L2C_Location__c": ["Id", "SystemModstamp"]},
    )

    assert [record["Name"] for record in found["Account"]] == ["Acme"]
    assert [record["Id"] for record in found["L2C_Location__c"]] == sfids
    assert client.calls == before + 1


def test_keeps_every_digit_of_an_amount(client) -> None:
    body = {
        "Name": "Deal",
        "StageName": "Prospecting",
        "CloseDate": "2026-06-01",
        "Amount": Decimal("12345678901234.56"),
    }
    (made,) = client.composite([Subrequest("POST", "sobjects/Opportunity", "o", body)])

    record = client.retrieve("Opportunity", made.body["id"], ["Amount"])

    assert record["Amount"] == Decimal("12345678901234.56")


def test_describes_an_object(client) -> None:
    names = {field["name"] for field in client.describe("Account")["fields"]}

    assert {"Id", "Name", "SystemModstamp", "L2C_Balance__c"} <= names


class TestMisbehaviour:
    def test_goes_on_after_its_session_ended(self, client, org) -> None:
        client.query_all("SELECT Id FROM Account LIMIT 1")
        org.admin("sessions/expire")

        assert client.query_all("SELECT COUNT(Id) n FROM Account")[0]["n"] >= 0

    def test_waits_out_a_503(self, client, org) -> None:
        org.admin("faults", body={"faults": [{"kind": "http", "status": 503, "count": 2}]})

        assert client.query_all("SELECT Id FROM Account LIMIT 1") == []

    def test_gives_up_in_the_end_and_says_so(self, client, org) -> None:
        org.admin("faults", body={"faults": [{"kind": "http", "status": 503, "path": "/query"}]})

        with pytest.raises(OrgUnavailable):
            client.query_all("SELECT Id FROM Account LIMIT 1")
        assert client.calls == QUICK.attempts

    def test_sends_locked_rows_again(self, client, org) -> None:
        fault = {"kind": "lock", "object": "L2C_Location__c", "count": 2}
        org.admin("faults", body={"faults": [fault]})

        assert len(make_accounts(client, 3)) == 3

    def test_makes_no_double_when_an_answer_is_lost(self, client, org) -> None:
        make_accounts(client, 1)
        fault = {"kind": "drop_after", "path": "/composite", "count": 1}
        org.admin("faults", body={"faults": [fault]})

        row = {"Billing_Key__c": "l2c:location:7", "Name": "Lost answer"}
        account = client.query_all("SELECT Id FROM Account WHERE Name = 'Acme'")[0]["Id"]
        (result,) = client.upsert_collections(
            "L2C_Location__c", "Billing_Key__c", [row | {"Account__c": account}]
        )

        assert result.success
        soql = "SELECT Id FROM L2C_Location__c WHERE Billing_Key__c = 'l2c:location:7'"
        assert len(client.query_all(soql)) == 1
