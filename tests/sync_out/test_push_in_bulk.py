"""Large backlogs go out as bulk jobs; the CRM cannot tell the difference."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sync_out.test_push import OBJECTS, _counts, _state
from sync_out.world import NOW

from connector.adapters.salesforce.bulk import Bulk, uploads
from connector.sync.mapping.definition import Mappings, PushField
from connector.sync.push.in_bulk import jobs_for
from connector.sync.push.run import push_pending
from connector.sync.reconcile.compare import reconcile

BULK = 1  # every entity counts as a large backlog


def _jobs(client) -> list[dict[str, object]]:
    found: list[dict[str, object]] = client.call("GET", "jobs/ingest")["records"]
    return found


def test_a_customer_arrives_whole(world, store, client, mappings, push, crm):
    report = push(bulk_from=BULK)

    assert report.written == 18
    assert _counts(crm) == OBJECTS
    assert len(_jobs(client)) == 16  # one for each entity
    found = reconcile(store=store, org=client, mappings=mappings, now=NOW)
    assert found.drift == 0
    assert push(bulk_from=BULK).api_calls == 0


def test_a_change_is_sent_and_an_emptied_value_is_emptied(world, push, crm, change):
    push()

    change(f"UPDATE task SET queue = NULL, state = 'Completed' WHERE id = {world.tasks[0]}")
    push(bulk_from=BULK)

    assert crm.rows("SELECT Id FROM L2C_Work_Order_Task__c WHERE Queue__c != null") == []
    assert len(crm.rows("SELECT Id FROM L2C_Work_Order_Task__c WHERE Status__c='Completed'")) == 1


def test_what_the_crm_refuses_is_told_and_hinders_nothing_else(world, push, crm, change, store):
    push()
    change("UPDATE task SET number = 'x' || number")
    change(f"UPDATE order_line SET renewal_type = 'Weekly' WHERE id = {world.line}")

    report = push(bulk_from=BULK)

    assert report.dead == 1
    assert _state(store, "order_line", world.line).code == (
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
    )
    assert len(crm.rows("SELECT Id FROM L2C_Work_Order_Task__c WHERE Name LIKE 'x%'")) == 2


def test_a_wrong_mapping_halts_its_object_only(world, push, crm, mappings):
    colour = PushField.model_validate({"from": "method", "owner": "billing"})
    wrong = Mappings(
        tuple(
            m.model_copy(update={"fields": {**m.fields, "Colour__c": colour}})
            if m.entity == "payment"
            else m
            for m in mappings
        )
    )

    report = push(with_mappings=wrong, bulk_from=BULK)

    (halt,) = report.halts
    assert (halt.object, halt.code) == ("L2C_Payment__c", "INVALID_FIELD")
    assert _counts(crm) == OBJECTS | {"L2C_Payment__c": 0, "L2C_Allocation__c": 0}
    push()
    assert _counts(crm) == OBJECTS


class TestABacklogOfSeveralJobs:
    @pytest.fixture(autouse=True)
    def one_row_a_job(self, monkeypatch):
        monkeypatch.setattr("connector.sync.push.one_pass.LEASE_SIZE", 1)
        monkeypatch.setattr("connector.sync.push.one_pass.JOB_SIZES", (1,) * 25)

    def test_arrives_whole(self, world, push, crm, client):
        report = push(bulk_from=BULK)

        assert report.written == 18
        assert _counts(crm) == OBJECTS
        assert len(_jobs(client)) == 18
        assert push(bulk_from=BULK).api_calls == 0

    def test_stays_queued_from_the_job_on_that_the_org_did_not_finish(
        self, world, push, crm, org, store
    ):
        away = [{"kind": "http", "status": 503, "path": "successfulResults"}]
        org.admin("faults", body={"faults": away})

        report = push(bulk_from=BULK)

        assert report.interrupted
        org.admin("faults", method="DELETE")
        push(bulk_from=BULK)
        assert _counts(crm) == OBJECTS
        with store.read() as tx:
            assert tx.execute(text("SELECT count(*) FROM bulk_job")).scalar_one() == 0

    def test_is_broken_off_when_the_store_refuses_what_came_of_a_job(
        self, world, push, crm, change, client
    ):
        change("ALTER TABLE crm_record ADD CONSTRAINT refused CHECK (entity <> 'task')")
        with pytest.raises(IntegrityError):
            push(bulk_from=BULK)  # and does not wait for the job that follows
        change("ALTER TABLE crm_record DROP CONSTRAINT refused")

        push(bulk_from=BULK)

        assert _counts(crm) == OBJECTS
        assert {job["state"] for job in _jobs(client)} <= {"JobComplete", "Aborted", "Open"}

    def test_lets_others_go_first_after_some_jobs(
        self, world, push, crm, store, client, mappings, change, monkeypatch
    ):
        push()
        monkeypatch.setattr("connector.sync.push.one_pass.JOB_SIZES", (1,))
        change("UPDATE task SET number = 'x' || number")

        push_pending(store=store, org=client, mappings=mappings, now=NOW, bulk_from=BULK)
        change("UPDATE product SET display_name = 'Changed meanwhile'")
        push_pending(store=store, org=client, mappings=mappings, now=NOW, bulk_from=BULK)

        jobs = sorted(_jobs(client), key=lambda job: str(job["id"]))
        assert [job["object"] for job in jobs] == [
            "L2C_Work_Order_Task__c",
            "Product2",
            "L2C_Work_Order_Task__c",
        ]

    def test_is_refused_as_one(self, world, push, mappings, store):
        colour = PushField.model_validate({"from": "state", "owner": "billing"})
        wrong = Mappings(
            tuple(
                m.model_copy(update={"fields": {**m.fields, "Colour__c": colour}})
                if m.entity == "task"
                else m
                for m in mappings
            )
        )

        report = push(with_mappings=wrong, bulk_from=BULK)

        assert [halt.object for halt in report.halts] == ["L2C_Work_Order_Task__c"]
        with store.read() as tx:
            owed = tx.execute(
                text(
                    "SELECT count(*) FROM push_queue q JOIN push_entity e ON e.code = q.entity "
                    "WHERE e.name = 'task'"
                )
            )
            assert owed.scalar_one() == 2


class TestAProcessWasKilled:
    @pytest.fixture
    def left_running(self, world, push, client, store):
        """A job with an old state, closed by a process that died before it heard the end."""
        push()
        old = [{"Billing_Key__c": f"l2c:payment:{world.payment}", "Reference__c": "old"}]
        (upload,) = uploads(old, key_field="Billing_Key__c")
        job = Bulk(client).open(
            "upsert", "L2C_Payment__c", upload.content, key_field="Billing_Key__c"
        )
        with store.transaction() as tx:
            tx.execute(
                text(
                    "INSERT INTO bulk_job (job, entity, opened_at) VALUES (:job, 'payment', now())"
                ),
                {"job": job},
            )
        return job

    def test_its_job_ends_before_anything_newer_is_sent(
        self, left_running, push, crm, change, client, store
    ):
        change("UPDATE payment SET reference = 'new'")

        push()

        assert client.call("GET", f"jobs/ingest/{left_running}")["state"] == "Aborted"
        assert crm.one("SELECT Reference__c FROM L2C_Payment__c")["Reference__c"] == "new"
        with store.read() as tx:
            assert tx.execute(text("SELECT count(*) FROM bulk_job")).scalar_one() == 0


@pytest.mark.parametrize(
    ("rows", "jobs"), [(1, 1), (10_000, 1), (10_001, 2), (25_001, 3), (100_000, 5), (210_000, 11)]
)
def test_the_first_jobs_of_a_pass_are_smaller_so_that_the_org_begins_early(rows, jobs):
    assert jobs_for(rows) == jobs
