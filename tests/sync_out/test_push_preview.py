"""What a push would send is shown, and nothing is sent."""

import pytest
from sqlalchemy import text
from sync_out.world import NOW

from connector.background.registry import load_jobs
from connector.sync.push.preview import FieldChange, preview_push
from connector.sync.push.shadow import shadow_state
from connector.sync.status import sync_status

QUEUE = text("SELECT entity, key, version, lease_until FROM push_queue ORDER BY entity, key")
LOG = text("SELECT entity, keys FROM push_log ORDER BY id")


@pytest.fixture
def preview(store, mappings):
    def run(**options: int):
        return preview_push(store=store, mappings=mappings, now=NOW, **options)

    return run


def _of(preview, entity: str):
    (found,) = (one for one in preview.entities if one.entity == entity)
    return found


def test_a_new_customer_is_counted_whole_in_as_many_calls_as_it_takes(world, preview, push):
    shown = preview()
    sent = push()

    assert shown.to_write == sent.written == 18
    assert shown.api_calls == sent.api_calls
    assert _of(shown, "task").new == 2


def test_a_change_shows_what_the_crm_has_and_what_it_would_get(world, push, change, preview):
    push()
    change(f"UPDATE task SET queue = 'Field' WHERE id = {world.tasks[0]}")

    shown = preview()

    (record,) = (one for one in shown.records if one.entity == "task")
    assert record.kind == "changed"
    assert record.fields == (FieldChange("Queue__c", "Provisioning", "Field"),)
    assert shown.api_calls == 1


def test_the_queue_and_the_log_stay_as_they_are(world, store, push, change, preview):
    push()
    change("UPDATE payment SET reference = 'changed'")
    with store.read() as tx:
        before = tx.execute(QUEUE).all(), tx.execute(LOG).all()

    preview()

    with store.read() as tx:
        assert (tx.execute(QUEUE).all(), tx.execute(LOG).all()) == before
    assert before[1]


def test_a_removed_record_is_shown_as_one_to_delete(world, push, change, preview):
    push()
    change(f"DELETE FROM task_dependency WHERE successor_id = {world.tasks[1]}")

    assert _of(preview(), "task_dependency").removed == 1


def test_what_the_crm_would_refuse_is_shown_before_it_does(world, push, change, open_app, preview):
    push()
    open_app().describe_org()
    change("UPDATE order_line SET renewal_type = 'Weekly'")

    shown = preview()

    (record,) = (one for one in shown.records if one.entity == "order_line")
    assert record.refusal
    assert "Renewal_Type__c" in record.refusal
    assert _of(shown, "order_line").refused == 1


def test_a_large_backlog_is_announced_as_bulk(world, preview):
    assert {one.transport for one in preview(bulk_from=1).entities} == {"bulk"}


def test_more_than_is_looked_at_is_said(world, preview):
    assert preview(rows=3).is_cut
    assert not preview().is_cut


class TestTheShadowMode:
    @pytest.fixture
    def app(self, open_app):
        return open_app(shadow=True)

    def test_sends_nothing_and_keeps_what_would_have_gone(self, world, app, crm, store):
        assert app.push_changes().api_calls == 0

        with store.read() as tx:
            state = shadow_state(tx)
            assert sync_status(tx=tx).owed["task"] == 2
        assert state is not None
        assert state.to_write == 18
        assert crm.count("L2C_Invoice__c") == 0

    def test_computes_again_only_what_has_changed(self, world, app, change, store):
        def seen() -> tuple[int, object]:
            with store.read() as tx:
                row = tx.execute(text("SELECT made_at, xmin\\:\\:text FROM shadow_push")).one()
                return tuple(row)

        app.push_changes()
        before = seen()
        app.push_changes()
        assert seen() == before

        change("UPDATE payment SET reference = 'changed'")
        app.push_changes()
        assert seen() != before

    def test_no_job_writes_in_the_crm_not_even_an_answer(self, world, push, crm, change, app):
        push()
        order = crm.one("SELECT Id FROM L2C_Customer_Order__c")["Id"]
        crm.update("L2C_Customer_Order__c", order, Action__c="Cancel")
        change("UPDATE payment SET reference = 'changed'")
        stamps = [
            f"SELECT Id, SystemModstamp, {field} FROM {name}"
            for name, field in (("L2C_Customer_Order__c", "Action__c"), ("L2C_Payment__c", "Name"))
        ]
        before = [crm.rows(soql) for soql in stamps]
        jobs = {job.name: job for job in load_jobs()}

        for name in ("sweep", "apply_inbox", "push_changes", "reconcile"):
            jobs[name].run(app)

        assert [crm.rows(soql) for soql in stamps] == before
        with app.store.read() as tx:
            assert tx.execute(text("SELECT count(*) FROM intent")).scalar_one() == 1
