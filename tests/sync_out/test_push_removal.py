"""What the hub has no more is taken out of the CRM."""

from sqlalchemy import text
from sync_out.world import NOW

from connector.sync.reconcile.compare import reconcile

TASKS = "SELECT Id FROM L2C_Work_Order_Task__c"


def _forget_order_work(change) -> None:
    change("DELETE FROM task_dependency")
    change("DELETE FROM task")


def test_children_before_parents(world, push, crm, change):
    push()
    _forget_order_work(change)

    report = push()

    assert report.removed == 3  # a dependency and its two tasks
    assert crm.rows(TASKS) == []
    assert push().api_calls == 0


def test_and_nothing_is_left_to_compare(world, push, change, store, client, mappings):
    push()
    _forget_order_work(change)
    push()

    found = reconcile(store=store, org=client, mappings=mappings, now=NOW)

    assert found.drift == 0
    with store.read() as tx:
        left = tx.execute(text("SELECT count(*) FROM crm_record WHERE entity = 'task'"))
        assert left.scalar_one() == 0


def test_what_somebody_deleted_there_first_is_gone_as_wished(world, push, crm, change):
    push()
    crm.delete("L2C_Task_Dependency__c", crm.one("SELECT Id FROM L2C_Task_Dependency__c")["Id"])
    _forget_order_work(change)

    report = push()

    assert report.dead == 0
    assert crm.rows(TASKS) == []


def test_what_never_was_in_the_crm_costs_no_call(world, push, change):
    _forget_order_work(change)
    push()
    with_children = push()

    assert with_children.api_calls == 0


def test_a_lost_answer_is_made_up_for(world, push, crm, change, org):
    push()
    _forget_order_work(change)
    cut = [{"kind": "drop_after", "path": "composite", "count": 1}]
    org.admin("faults", body={"faults": cut})

    push()
    org.admin("faults", method="DELETE")
    push(patience_s=10)

    assert crm.rows(TASKS) == []
