"""Another record in the CRM has the values of ours: a person says which one counts."""

import pytest
from sync_out.test_push import _state
from sync_out.world import NOW

from connector.sync.push.duplicates import NotAdopted, TicketUnknown, adopt, tickets

PAYER = "L2C_Billing_Account__c"


@pytest.fixture
def ticket(world, push, crm, store, org):
    """Our payer is refused, since one that was typed in by hand has its number."""
    account = crm.one("SELECT Id FROM Account WHERE Name = 'Dental Group'")["Id"]
    other = crm.create(PAYER, Name="Typed by hand", Account__c=account)
    refusal = {
        "kind": "rows",
        "object": PAYER,
        "count": 1,
        "code": "DUPLICATE_VALUE",
        "message": "duplicate value found: Number__c duplicates value on record with id: "
        + other[:15],
    }
    org.admin("faults", body={"faults": [refusal]})
    assert push().dead == 1
    org.admin("faults", method="DELETE")
    with store.read() as tx:
        (found,) = tickets(tx=tx)
    assert found.other_sfid == other
    return found


def test_is_told_with_both_records(ticket, world):
    assert (ticket.entity, ticket.hub_id) == ("billing_account", world.billing_account)
    assert ticket.object == PAYER
    assert "duplicate value" in ticket.message


def test_the_other_becomes_ours_and_is_filled(ticket, world, push, crm, store, client, mappings):
    adopt(store=store, org=client, mappings=mappings, ticket_id=ticket.id, now=NOW)

    push(patience_s=5)

    payer = crm.one(f"SELECT Id, Billing_Key__c, Currency__c FROM {PAYER}")
    assert payer["Id"] == ticket.other_sfid
    assert payer["Billing_Key__c"] == f"l2c:billing_account:{world.billing_account}"
    assert payer["Currency__c"] == "EUR"
    assert crm.count("L2C_Invoice__c") == 1  # what hung on it could follow
    with store.read() as tx:
        assert tickets(tx=tx) == ()


def test_adopting_twice_tells_that_nothing_is_open(ticket, store, client, mappings, push):
    adopt(store=store, org=client, mappings=mappings, ticket_id=ticket.id, now=NOW)
    push(patience_s=5)

    with pytest.raises(TicketUnknown):
        adopt(store=store, org=client, mappings=mappings, ticket_id=ticket.id, now=NOW)


def test_a_record_that_is_gone_cannot_be_adopted(ticket, crm, store, client, mappings):
    crm.delete(PAYER, ticket.other_sfid)

    with pytest.raises(NotAdopted):
        adopt(store=store, org=client, mappings=mappings, ticket_id=ticket.id, now=NOW)


def test_a_record_that_got_through_by_itself_ends_the_ticket(ticket, world, push, store, change):
    change("UPDATE crm_record SET next_attempt_at = now() WHERE status = 'Error'")

    push(patience_s=5)

    assert _state(store, "billing_account", world.billing_account).status == "In Sync"
    with store.read() as tx:
        assert tickets(tx=tx) == ()
