"""Nothing differs between the two sides without being found."""

from decimal import Decimal

import pytest
from sqlalchemy import text
from sync_out.world import NOW

from connector.sync.reconcile import compare as compare_module
from connector.sync.reconcile.compare import reconcile
from connector.sync.reconcile.scores import read_scores
from connector.sync.reconcile.snapshot import BULK_FROM

EVERY_OBJECT_IS_LARGE = 1

# The two ways to read differ in what a snapshot says; everything behind them is the same.
by_both_ways = pytest.mark.parametrize(
    "compare", [EVERY_OBJECT_IS_LARGE, BULK_FROM], ids=["by bulk", "by query"], indirect=True
)


@pytest.fixture
def compare(request, store, client, mappings):
    def run(**options: bool):
        return reconcile(
            store=store,
            org=client,
            mappings=mappings,
            now=NOW,
            bulk_from=getattr(request, "param", BULK_FROM),
            **options,
        )

    return run


def _entity(report, name: str):
    (found,) = (one for one in report.entities if one.entity == name)
    return found


@by_both_ways
def test_after_a_push_both_sides_are_equal(world, push, compare):
    push()

    report = compare()

    assert report.drift == 0
    assert sum(one.hub_rows for one in report.entities) == 18
    assert all(one.hub_rows == one.crm_rows for one in report.entities)


@by_both_ways
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


@by_both_ways
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


@by_both_ways
def test_an_emptied_value_and_a_ticked_box_are_found(world, push, crm, compare):
    push()
    service = crm.one("SELECT Id FROM L2C_Service__c")["Id"]
    crm.update("L2C_Service__c", service, Vendor_Name__c=None, Pending_Change__c=True)

    found = _entity(compare(), "service")

    assert set(found.fields) == {"Vendor_Name__c", "Pending_Change__c"}


def test_accounts_of_the_crm_that_are_no_customers_here_are_not_compared(world, push, crm, compare):
    push()
    crm.create("Account", Name="A prospect")

    found = _entity(compare(), "account")

    assert (found.hub_rows, found.crm_rows, found.drift) == (1, 1, 0)


@by_both_ways
def test_what_is_pushed_while_the_crm_is_read_is_no_drift(
    world, push, change, compare, monkeypatch
):
    push()
    take = compare_module.take_snapshot

    def with_a_push_afterwards(session, org, mapping, **options):
        source = take(session, org, mapping, **options)
        if mapping.entity == "payment":
            change("UPDATE payment SET reference = 'corrected'")
            push()
        return source

    monkeypatch.setattr(compare_module, "take_snapshot", with_a_push_afterwards)

    found = _entity(compare(), "payment")

    assert (found.drift, found.pending) == (0, 1)


def test_a_record_that_is_to_be_deleted_is_pending(world, push, change, compare):
    push()
    change(f"DELETE FROM task_dependency WHERE successor_id = {world.tasks[1]}")

    found = _entity(compare(), "task_dependency")

    assert (found.extra, found.pending) == (0, 1)


class TestExtraRecords:
    @by_both_ways
    def test_are_deleted_on_request_children_first(self, world, push, crm, compare):
        push()
        order = crm.create(
            "L2C_Work_Order__c", Name="Ghost", Billing_Key__c="l2c:work_order:999",
            Customer_Order__c=crm.one("SELECT Id FROM L2C_Customer_Order__c")["Id"],
        )  # fmt: skip
        crm.create(
            "L2C_Work_Order_Task__c", Name="Ghost", Billing_Key__c="l2c:task:999",
            Work_Order__c=order,
        )  # fmt: skip

        assert compare(delete_extra=True).deleted == 2
        assert compare().drift == 0

    def test_stay_when_they_are_documents_of_money(self, world, push, crm, compare):
        push()
        account = crm.one("SELECT Id FROM L2C_Billing_Account__c")["Id"]
        invoice = crm.create(
            "L2C_Invoice__c", Name="Ghost", Billing_Key__c="l2c:invoice:999",
            Billing_Account__c=account,
        )  # fmt: skip

        report = compare(delete_extra=True)

        assert (report.drift, report.deleted, set(report.kept)) == (1, 0, {invoice})


class TestScores:
    def test_everything_in_step_is_a_hundred(self, world, push, compare, store):
        push()
        compare()

        with store.read() as tx:
            (score,) = read_scores(tx=tx)
        assert score.percent == 100

    def test_follow_a_record_to_its_account(self, world, push, crm, compare, store):
        push()
        line = crm.rows("SELECT Id FROM L2C_Invoice_Line__c LIMIT 1")[0]["Id"]
        crm.update("L2C_Invoice_Line__c", line, Amount__c=1)
        compare()

        with store.read() as tx:
            (score,) = read_scores(tx=tx, account_id=world.account)
        assert score.records - score.in_step == 1
