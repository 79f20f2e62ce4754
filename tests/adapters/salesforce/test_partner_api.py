"""The SOAP side of the client, against the local org over HTTP, with the session of REST."""

from datetime import UTC, datetime, timedelta

import pytest

from connector.adapters.salesforce.answers import Subrequest
from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.errors import OrgRefused, OrgUnavailable
from connector.adapters.salesforce.login import ClientCredentials, Login
from connector.adapters.salesforce.results import LeadConversion
from connector.adapters.salesforce.retry import RetryPolicy

QUICK = RetryPolicy(attempts=3, first_pause_s=0.01, longest_pause_s=0.02)


@pytest.fixture
def client(org):
    client = OrgClient(
        Login(org.base_url, ClientCredentials(org.client_id, org.client_secret)), retry=QUICK
    )
    yield client
    client.close()


def create(client: OrgClient, object_name: str, **fields: object) -> str:
    (made,) = client.composite([Subrequest("POST", f"sobjects/{object_name}", "a", fields)])
    made.raise_for_status()
    return str(made.body["id"])


def delete(client: OrgClient, object_name: str, sfid: str) -> None:
    (gone,) = client.composite([Subrequest("DELETE", f"sobjects/{object_name}/{sfid}", "d")])
    gone.raise_for_status()


def window() -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    return now - timedelta(hours=1), now + timedelta(minutes=1)


def test_tells_the_orgs_time_as_a_counted_call(client) -> None:
    client.identity()

    told = client.partner.server_time()

    assert abs(told - datetime.now(UTC)) < timedelta(minutes=5)
    assert client.calls == 1


def test_tells_what_changed_and_what_was_deleted_in_a_window(client) -> None:
    kept, gone = create(client, "Account", Name="Kept"), create(client, "Account", Name="Gone")
    delete(client, "Account", gone)

    updated = client.partner.updated("Account", *window())
    deleted = client.partner.deleted("Account", *window())

    assert updated.sfids == (kept,)
    assert [sfid for sfid, _ in deleted.records] == [gone]
    assert deleted.records[0][1].tzinfo is UTC
    assert updated.latest_date_covered <= window()[1]


def test_a_log_that_does_not_reach_back_is_refused_by_name(client) -> None:
    start = datetime.now(UTC) - timedelta(days=20)

    with pytest.raises(OrgRefused) as refused:
        client.partner.deleted("Account", start, datetime.now(UTC))

    assert refused.value.error_code == "INVALID_REPLICATION_DATE"


def test_brings_a_record_back_from_the_bin(client) -> None:
    sfid = create(client, "Account", Name="Back again")
    delete(client, "Account", sfid)

    first = client.partner.undelete([sfid])
    second = client.partner.undelete([sfid])

    assert first == {sfid: ()}
    assert [error.code for error in second[sfid]] == ["UNDELETE_FAILED"]
    assert client.query_all("SELECT Id FROM Account")[0]["Id"] == sfid


def test_converts_a_lead_and_tells_why_it_cannot_do_so_twice(client) -> None:
    lead = create(client, "Lead", LastName="Meier", Company="Meier KG")
    wish = LeadConversion(lead, "Closed - Converted")

    (done,) = client.partner.convert_leads([wish])
    (again,) = client.partner.convert_leads([wish])

    assert done.errors == ()
    assert done.account_id
    assert done.contact_id
    assert done.opportunity_id
    assert [error.code for error in again.errors] == ["CANNOT_UPDATE_CONVERTED_LEAD"]


def test_merges_two_accounts_into_a_master(client) -> None:
    master, *losers = [create(client, "Account", Name=f"Acme {n}") for n in range(3)]

    merged = client.partner.merge("Account", master, losers)

    assert merged.errors == ()
    assert sorted(merged.loser_ids) == sorted(losers)
    assert [row["Id"] for row in client.query_all("SELECT Id FROM Account")] == [master]


def test_an_ended_session_is_renewed_once_and_the_call_goes_through(client, org) -> None:
    client.identity()
    org.admin("sessions/expire")

    client.partner.server_time()

    assert client.calls == 2  # refused, then answered


def test_gives_up_when_a_fresh_session_is_refused_too(client, org, monkeypatch) -> None:
    client.identity()
    org.admin("sessions/expire")
    stale = client._session.tokens.current()
    monkeypatch.setattr(client._session.tokens, "renewed", lambda *, instead_of: stale)

    with pytest.raises(OrgUnavailable, match="refuses the session"):
        client.partner.server_time()

    assert client.calls == 2


def test_a_used_up_allowance_is_told_as_such(client, org) -> None:
    client.identity()
    org.admin("limits", body={"max": 1, "used": 1})
    try:
        with pytest.raises(Exception, match="refuses more calls") as limited:
            client.partner.server_time()
    finally:
        org.admin("limits", body={"max": 100_000, "used": 0})

    assert limited.value.is_daily
