"""The connector is away for thirty days; the org moves on and forgets. One restart recovers.

What counts is compared with SQL and an unmodified REST client, not with our own reconciliation.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
import requests
from simple_salesforce.api import Salesforce
from sync_in.events_world import Events
from sync_out.world import make_account, make_invoice, make_world

from connector.adapters.salesforce.transport import PlainHttp
from connector.sync.capture.owed_sweeps import sweep_owed

DAYS = 30
INVOICES = "SELECT number, total FROM invoice WHERE state = 'finalised' ORDER BY number"


@dataclass(frozen=True, slots=True)
class Customers:
    """Salesforce ids of accounts, by what happens to them."""

    served: str  # is merged into `remaining`; has services and orders
    remaining: str
    deleted: str  # is billed; deleted and purged
    restored: str  # deleted and brought back
    renamed: tuple[str, ...]


@pytest.fixture
def customers(still) -> Customers:
    served, remaining, deleted, restored, *renamed = [
        still.user.create("Account", Name=f"Customer {number}") for number in range(14)
    ]
    with still.way_in.store.transaction() as tx:
        make_world(tx, account_sfid=served)
        for place, sfid in enumerate((deleted, restored), start=2):
            brand, _, billed = make_account(tx, sfid=sfid)
            make_invoice(tx, brand=brand, billing_account=billed, number=f"INV-{place}", lines=1)
        tx.exec_driver_sql("UPDATE account SET link_state = 'Linked'")
    still.pull()
    still.push()
    still.pull()
    return Customers(served, remaining, deleted, restored, tuple(renamed))


@pytest.fixture
def outsider() -> Iterator[requests.Session]:
    """Return the connections of a REST client that knows nothing of the connector."""
    session = requests.Session()
    session.trust_env = False
    yield session
    session.close()


def look(still, session: requests.Session, soql: str) -> list[dict[str, object]]:
    form = {
        "grant_type": "client_credentials",
        "client_id": still.org.client_id,
        "client_secret": still.org.client_secret,
    }
    token = session.post(f"{still.org.base_url}/services/oauth2/token", data=form, timeout=10)
    session.mount(f"https://{urlsplit(still.org.base_url).netloc}/", PlainHttp())
    crm = Salesforce(
        session=session,
        session_id=token.json()["access_token"],
        instance_url=still.org.base_url,
        version="64.0",
    )
    records = crm.query_all(soql)["records"]
    return [{k: v for k, v in record.items() if k != "attributes"} for record in records]


def let_thirty_days_pass(still, customers: Customers) -> str:
    """Change, delete, merge and restore all the time; return the id of an account of then."""
    (service,) = still.way_in.org.query_all("SELECT Id FROM L2C_Service__c")
    (invoice,) = still.way_in.org.query_all(
        "SELECT Id FROM L2C_Invoice__c WHERE Invoice_Number__c = 'INV-1'"
    )
    made = still.user.create("Account", Name="Made meanwhile")
    for day in range(1, DAYS + 1):
        still.pass_time(days=1)
        user = still.user
        # The first is renamed no more: it is deleted on day 5.
        user.update("Account", customers.renamed[1 + day % 9], Name=f"Renamed on day {day}")
        if day == 2:
            user.delete("L2C_Service__c", service["Id"])
            user.delete("Account", customers.restored)
        if day == 3:
            still.undelete(customers.restored)
        if day == 4:
            still.merge("Account", customers.remaining, [customers.served])
            user.delete("Account", customers.deleted)
        if day == 5:
            user.delete("Account", customers.renamed[0])
        if day == 20:
            still.purge()
        if day == 28:
            user.delete("L2C_Invoice__c", invoice["Id"])
    return made


@pytest.fixture
def events(still) -> Iterator[Events]:
    """Change events of accounts, heard until the connector goes away."""
    events = Events(still.way_in, still.org)
    try:
        events.start()
        events.wait_for(
            lambda: any(one.is_connected for one in events.standings()), "the topic is followed"
        )
        account = still.user.create("Account", Name="Heard of")

        def heard() -> object:
            # The stream is open; that the org has begun to follow it is seen by the first event.
            still.user.update("Account", account, Phone=str(time.monotonic()))
            return events.hints()

        events.wait_for(heard, "a hint is stored")
        events.stop()
        still.way_in.apply()
        yield events
    finally:
        events.stop()


def test_one_restart_recovers_without_a_hand(still, customers, events, outsider) -> None:
    place = events.place()
    made = let_thirty_days_pass(still, customers)

    events.start()
    events.wait_for(events.owed, "the refusal of the expired replay id has been noted")
    swept_for_events = sweep_owed(
        store=still.way_in.store,
        org=still.way_in.org,
        mappings=still.way_in.mappings,
        now_org=still.now,
    )
    swept = still.sweep()
    applied = still.way_in.apply()
    pushed = still.push()

    # what the CRM owns is here as it is there
    alive = look(still, outsider, "SELECT Id, Name FROM Account ORDER BY Id")
    here = still.way_in.rows(
        'SELECT sfid AS "Id", name AS "Name" FROM account WHERE deleted_at IS NULL ORDER BY sfid'
    )
    assert here == alive
    assert made in {row["Id"] for row in alive}
    # what the hub owns is there as it is here
    of_deleted = "SELECT id FROM account WHERE deleted_at IS NOT NULL"
    owed = still.way_in.rows(
        "SELECT i.number, i.total FROM invoice i JOIN billing_account b"
        f" ON b.id = i.billing_account_id WHERE b.account_id NOT IN ({of_deleted})"
        " ORDER BY i.number"
    )
    shown = look(
        still,
        outsider,
        "SELECT Invoice_Number__c, Total__c FROM L2C_Invoice__c ORDER BY Invoice_Number__c",
    )
    assert [(row["Invoice_Number__c"], row["Total__c"]) for row in shown] == [
        (row["number"], float(row["total"])) for row in owed
    ]
    assert len(look(still, outsider, "SELECT Id FROM L2C_Invoice_Line__c")) == len(owed) + 1
    services = look(still, outsider, "SELECT Account__c, Billing_Key__c FROM L2C_Service__c")
    assert services == [{"Account__c": customers.remaining, "Billing_Key__c": "l2c:service:1"}]
    assert len(still.way_in.rows(INVOICES)) == 3  # none is lost here
    # and the reports say so
    assert (pushed.dead, pushed.halts, applied.problems) == (0, (), [])
    assert applied.merged == 1
    assert swept_for_events.reasons == {"Account": "the replay id is invalid or has expired"}
    assert swept_for_events.found["Account"] >= len(customers.renamed)
    assert events.place() != place
    assert [note for note in swept.notes if note.startswith("Account: last asked on")]
    assert "compared all" in " ".join(swept.notes)
    assert "1 of them merged" in " ".join(swept.notes)
    # and a second one has nothing left to find
    still.pull()
    again = still.sweep()
    assert (again.stored_total, again.notes, events.owed()) == (0, [], {})


def test_what_no_event_tells_any_more_is_read_without_the_plain_sweep(
    still, customers, events, outsider
) -> None:
    let_thirty_days_pass(still, customers)

    events.start()
    events.wait_for(events.owed, "the refusal of the expired replay id has been noted")
    sweep_owed(
        store=still.way_in.store,
        org=still.way_in.org,
        mappings=still.way_in.mappings,
        now_org=still.now,
    )
    still.way_in.apply()

    alive = look(still, outsider, "SELECT Id, Name FROM Account")
    here = {row["sfid"]: row["name"] for row in still.way_in.rows("SELECT sfid, name FROM account")}
    assert {row["Id"]: row["Name"] for row in alive}.items() <= here.items()
