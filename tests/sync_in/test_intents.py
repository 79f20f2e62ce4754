"""Asks of the CRM: one each, run once, answered on the record."""

import pytest

from connector.errors import StateConflict, TransientFailure
from connector.sync.apply.intents import retry_parked

INTENTS = "SELECT * FROM intent ORDER BY id"
TODAY = "2026-06-15"


@pytest.fixture
def deal(way_in, user) -> str:
    """Return a won opportunity nobody has told the connector about."""
    account = user.create("Account", Name="Dental Group")
    return user.create(
        "Opportunity",
        Name="Three sites",
        AccountId=account,
        StageName="Closed Won",
        CloseDate=TODAY,
        L2C_PO_Number__c="PO-7",
    )


@pytest.fixture
def task(way_in, user, client) -> str:
    """Return a task a person may act on."""
    account = user.create("Account", Name="Dental Group")
    (order,) = client.upsert_collections(
        "L2C_Customer_Order__c",
        "Billing_Key__c",
        [{"Billing_Key__c": "l2c:customer_order:1", "Account__c": account, "Status__c": "Pending"}],
    )
    assert order.success, order
    (work_order,) = client.upsert_collections(
        "L2C_Work_Order__c",
        "Billing_Key__c",
        [{"Billing_Key__c": "l2c:work_order:1", "Customer_Order__c": order.sfid}],
    )
    assert work_order.success, work_order
    (task,) = client.upsert_collections(
        "L2C_Work_Order_Task__c",
        "Billing_Key__c",
        [
            {
                "Billing_Key__c": "l2c:task:1",
                "Work_Order__c": work_order.sfid,
                "Status__c": "Ready",
            }
        ],
    )
    assert task.success, task
    return task.sfid


def states(way_in) -> list[str]:
    return [row["state"] for row in way_in.rows(INTENTS)]


class TestWonOpportunity:
    def test_is_handed_to_its_flow_with_its_facts(self, way_in, deal) -> None:
        way_in.tell("Opportunity", deal)

        report = way_in.apply()

        (request,) = way_in.flows["win"].requests
        assert (request.object, request.sfid) == ("Opportunity", deal)
        assert request.facts["IsWon"] == "true"
        assert request.facts["L2C_PO_Number__c"] == "PO-7"
        assert request.facts["L2C_Requested_Date__c"] is None
        assert request.now.isoformat() == "2026-06-15T10:00:00+00:00"
        assert report.intents.done == 1
        assert states(way_in) == ["done"]

    def test_is_one_ask_however_often_it_is_told(self, way_in, deal, user) -> None:
        for _ in range(10):
            way_in.tell("Opportunity", deal)
        way_in.apply()
        user.update("Opportunity", deal, Description="touched")
        way_in.tell("Opportunity", deal)
        way_in.sweep()
        way_in.apply()

        assert len(way_in.flows["win"].requests) == 1

    def test_is_found_by_the_sweep_when_the_message_never_comes(self, way_in, deal) -> None:
        way_in.sweep()
        way_in.apply()

        assert len(way_in.flows["win"].requests) == 1

    def test_is_not_asked_by_an_open_deal(self, way_in, user) -> None:
        account = user.create("Account", Name="Dental Group")
        open_deal = user.create(
            "Opportunity",
            Name="Perhaps",
            AccountId=account,
            StageName="Prospecting",
            CloseDate=TODAY,
        )
        way_in.tell("Opportunity", open_deal, IsWon="true")  # a forged message

        way_in.apply()

        assert way_in.flows["win"].requests == []

    def test_waits_parked_with_reason_and_remedy_and_tells_the_record(
        self, way_in, deal, user
    ) -> None:
        way_in.flows["win"].error = StateConflict("Unknown product X.", remedy="Load product X.")
        way_in.tell("Opportunity", deal)

        report = way_in.apply()

        (intent,) = way_in.rows(INTENTS)
        assert report.intents.parked == 1
        assert (intent["state"], intent["reason"]) == ("parked", "Unknown product X.")
        assert intent["remedy"] == "Load product X."
        record = user.read("Opportunity", deal)
        assert record["L2C_Sync_Status__c"] == "Error"
        assert record["L2C_Sync_Error__c"] == "Unknown product X. Load product X."

    def test_parked_tells_its_reason_once(self, way_in, deal, client) -> None:
        way_in.flows["win"].error = StateConflict("Unknown product X.")
        way_in.tell("Opportunity", deal)
        way_in.apply()
        before = client.calls

        way_in.apply()

        assert client.calls == before

    def test_parked_is_retried_after_the_repair_and_heals_the_record(
        self, way_in, deal, user
    ) -> None:
        way_in.flows["win"].error = StateConflict("Unknown product X.")
        way_in.tell("Opportunity", deal)
        way_in.apply()
        way_in.flows["win"].error = None

        with way_in.store.transaction() as tx:
            assert retry_parked(tx=tx) == 1
        way_in.apply()

        assert states(way_in) == ["done"]
        record = user.read("Opportunity", deal)
        assert record["L2C_Sync_Status__c"] == "In Sync"
        assert record["L2C_Sync_Error__c"] is None

    def test_parked_is_retried_by_itself_after_a_while(self, way_in, deal) -> None:
        way_in.flows["win"].error = StateConflict("Unknown product X.")
        way_in.tell("Opportunity", deal)
        way_in.apply()
        way_in.apply()
        assert len(way_in.flows["win"].requests) == 1
        way_in.flows["win"].error = None

        way_in.run_sql("UPDATE intent SET next_attempt_at = now()")
        way_in.apply()

        assert states(way_in) == ["done"]

    def test_parked_is_retried_when_the_record_comes_again(self, way_in, deal, user) -> None:
        way_in.flows["win"].error = StateConflict("No purchase order.")
        way_in.tell("Opportunity", deal)
        way_in.apply()
        way_in.flows["win"].error = None

        user.update("Opportunity", deal, L2C_PO_Number__c="PO-8")
        way_in.tell("Opportunity", deal)
        way_in.apply()

        assert states(way_in) == ["done"]
        assert way_in.flows["win"].requests[-1].facts["L2C_PO_Number__c"] == "PO-8"


class TestTaskAction:
    def test_is_run_and_the_asking_field_emptied(self, way_in, task, user) -> None:
        user.update(
            "L2C_Work_Order_Task__c",
            task,
            Action__c="Complete",
            Effective_On__c="2026-06-14",
            Completion_Note__c="done",
        )
        way_in.tell("L2C_Work_Order_Task__c", task)

        way_in.apply()

        (request,) = way_in.flows["task_action"].requests
        assert request.facts == {
            "Action__c": "Complete",
            "Billing_Key__c": "l2c:task:1",
            "Effective_On__c": "2026-06-14",
            "Completion_Note__c": "done",
        }
        assert user.read("L2C_Work_Order_Task__c", task)["Action__c"] is None
        assert way_in.rows(INTENTS)[0]["cleared_at"] is not None

    def test_of_the_same_kind_can_be_asked_again_later(self, way_in, task, user) -> None:
        for note in ("first", "second"):
            user.update(
                "L2C_Work_Order_Task__c", task, Action__c="Restart", Completion_Note__c=note
            )
            way_in.tell("L2C_Work_Order_Task__c", task)
            way_in.apply()

        notes = [r.facts["Completion_Note__c"] for r in way_in.flows["task_action"].requests]
        assert notes == ["first", "second"]

    def test_is_not_repeated_while_the_field_could_not_be_emptied(
        self, way_in, task, user, client, org
    ) -> None:
        user.update("L2C_Work_Order_Task__c", task, Action__c="Complete")
        way_in.tell("L2C_Work_Order_Task__c", task)
        locked = {"kind": "http", "status": 503, "path": "/composite", "count": 4}
        way_in.apply_without_answer()
        org.admin("faults", body={"faults": [locked]})
        way_in.apply()
        org.admin("faults", method="DELETE")
        client.update_collections(
            "L2C_Work_Order_Task__c", [{"Id": task, "Status__c": "Completed"}]
        )

        way_in.sweep()
        way_in.apply()

        assert len(way_in.flows["task_action"].requests) == 1
        assert user.read("L2C_Work_Order_Task__c", task)["Action__c"] is None

    def test_asked_meanwhile_is_not_wiped_away(self, way_in, task, user) -> None:
        user.update("L2C_Work_Order_Task__c", task, Action__c="Start")
        way_in.tell("L2C_Work_Order_Task__c", task)
        way_in.apply_without_answer()

        user.update("L2C_Work_Order_Task__c", task, Action__c="Complete")
        way_in.apply()

        assert user.read("L2C_Work_Order_Task__c", task)["Action__c"] == "Complete"
        way_in.tell("L2C_Work_Order_Task__c", task)
        way_in.apply()
        asked = [r.facts["Action__c"] for r in way_in.flows["task_action"].requests]
        assert asked == ["Start", "Complete"]

    def test_a_late_sweep_row_does_not_repeat_a_finished_ask(self, way_in, task, user) -> None:
        user.update("L2C_Work_Order_Task__c", task, Action__c="Complete")
        way_in.sweep()  # its row waits in the inbox
        way_in.tell("L2C_Work_Order_Task__c", task)
        way_in.run_sql("UPDATE inbox SET next_attempt_at = 'infinity' WHERE source = 'sweep'")
        way_in.apply()

        way_in.run_sql("UPDATE inbox SET next_attempt_at = NULL")
        way_in.apply()

        assert len(way_in.flows["task_action"].requests) == 1


class TestRuns:
    def test_a_passing_failure_is_tried_again_later(self, way_in, deal) -> None:
        way_in.flows["win"].error = TransientFailure("The org is away.")
        way_in.tell("Opportunity", deal)

        first = way_in.apply()
        at_once = way_in.apply()
        way_in.flows["win"].error = None
        way_in.run_sql("UPDATE intent SET next_attempt_at = now()")
        later = way_in.apply()

        assert (first.intents.waiting, at_once.intents.waiting, later.intents.done) == (1, 0, 1)

    def test_a_fault_in_one_flow_does_not_stop_the_others(self, way_in, deal, task, user) -> None:
        way_in.flows["win"].error = ZeroDivisionError("with a customer's secret")
        way_in.tell("Opportunity", deal)
        user.update("L2C_Work_Order_Task__c", task, Action__c="Start")
        way_in.tell("L2C_Work_Order_Task__c", task)

        report = way_in.apply()

        assert (report.intents.failed, report.intents.done) == (1, 1)
        assert "secret" not in str(way_in.rows(INTENTS)[0]["reason"])

    def test_a_flow_nobody_knows_parks_the_ask(self, way_in, deal) -> None:
        del way_in.flows["win"]
        way_in.tell("Opportunity", deal)

        way_in.apply()

        assert states(way_in) == ["parked"]

    def test_an_ask_carried_out_before_a_crash_is_done_not_parked(self, way_in, deal) -> None:
        way_in.flows["win"].error = KeyboardInterrupt()
        way_in.tell("Opportunity", deal)
        with pytest.raises(KeyboardInterrupt):
            way_in.apply()

        way_in.flows["win"].error = StateConflict("It is done already.")
        way_in.apply()

        assert states(way_in) == ["done"]
