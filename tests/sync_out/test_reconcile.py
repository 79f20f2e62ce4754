"""Nothing differs between the two sides without being found."""

from decimal import Decimal

import pytest
from sqlalchemy import text
from sync_out.world import NOW

from connector.sync.reconcile.compare import reconcile


@pytest.fixture
def compare(store, client, mappings):
    def run(*, repair: bool = False):
        return reconcile(store=store, org=client, mappings=mappings, now=NOW, repair=repair)

    return run


def _entity(report, name: str):
    (found,) = (one for one in report.entities if one.entity == name)
    return found


def test_after_a_push_both_sides_are_equal(world, push, compare):
    push()

    report = compare()

    assert report.drift == 0
    assert sum(one.hub_rows for one in report.entities) == 18
    assert all(one.hub_rows == one.crm_rows for one in report.entities)


def test_money_is_added_up_per_currency_on_both_sides(world, push, compare):
    push()

    (invoices,) = _entity(compare(), "invoice").sums
    assert (invoices.currency, invoices.hub, invoices.crm) == (
        "EUR",
        Decimal("23.80"),
        Decimal("23.80"),
    )


def test_what_is_still_owed_is_pending_and_no_drift(world, compare):
    report = compare()

    assert report.drift == 0
    assert sum(one.pending for one in report.entities) == 18


def test_a_foreign_edit_is_found_with_field_and_owner(world, push, crm, compare):
    push()
    invoice = crm.one("SELECT Id FROM L2C_Invoice__c")["Id"]
    crm.update("L2C_Invoice__c", invoice, Total__c=99, Status__c="Paid")

    found = _entity(compare(), "invoice")

    assert found.differing == 1
    assert {name: about["owner"] for name, about in found.fields.items()} == {
        "Total__c": "billing",
        "Status__c": "billing",
    }
    assert (found.sums[0].hub, found.sums[0].crm) == (Decimal("23.8"), Decimal(99))


def test_a_record_missing_there_and_one_unknown_here_are_found(world, push, crm, compare):
    push()
    crm.delete("L2C_Allocation__c", crm.one("SELECT Id FROM L2C_Allocation__c")["Id"])
    crm.create("L2C_Location__c", Name="Ghost", Billing_Key__c="l2c:location:999")

    report = compare()

    assert report.drift == 2
    assert _entity(report, "allocation").missing == 1
    (ghost,) = _entity(report, "location").sample
    assert (ghost.kind, ghost.hub_id) == ("extra", None)


def test_a_record_of_a_crm_user_is_no_drift(world, push, crm, compare):
    push()
    crm.create("L2C_Location__c", Name="Typed in by sales")

    assert compare().drift == 0


def test_repair_sends_again_what_is_missing_or_differs(world, push, crm, compare):
    push()
    invoice = crm.one("SELECT Id FROM L2C_Invoice__c")["Id"]
    crm.update("L2C_Invoice__c", invoice, Total__c=99)
    crm.delete("L2C_Allocation__c", crm.one("SELECT Id FROM L2C_Allocation__c")["Id"])

    assert compare(repair=True).repaired == 2
    push()

    assert compare().drift == 0
    assert crm.one("SELECT Total__c FROM L2C_Invoice__c")["Total__c"] == Decimal("23.8")


def test_the_report_is_kept(world, push, compare, store):
    push()
    compare()

    with store.read() as tx:
        kept = tx.execute(text("SELECT drift, content FROM reconcile_report")).one()
    assert kept.drift == 0
    assert {one["entity"] for one in kept.content} >= {"invoice", "payment", "account"}
