"""The CRM shows what the hub has: once each, in order, exactly, and whatever happens on the way."""

import time
from decimal import Decimal
from threading import Thread

import pytest
from sqlalchemy import text
from sync_out.world import NOW, finalise, insert

from connector.sync.mapping.definition import Mappings, PushField
from connector.sync.push.queue import sole_pusher
from connector.sync.push.run import push_pending, push_until_quiet
from connector.sync.status import dead_letters, record_state, sync_status, sync_waiting

OBJECTS = {
    "L2C_Billing_Account__c": 1, "Product2": 1, "L2C_Price_Entry__c": 1, "L2C_Location__c": 1,
    "L2C_Customer_Order__c": 1, "L2C_Order_Line__c": 1, "L2C_Service__c": 1,
    "L2C_Work_Order__c": 1, "L2C_Work_Order_Task__c": 2, "L2C_Task_Dependency__c": 1,
    "L2C_Invoice__c": 1, "L2C_Invoice_Line__c": 2, "L2C_Payment__c": 1, "L2C_Allocation__c": 1,
}  # fmt: skip

STILL_CARRIED_OUT_S = "connector.sync.push.queue.STILL_CARRIED_OUT_S"


def _counts(crm) -> dict[str, int]:
    return {name: crm.count(name) for name in OBJECTS}


def _state(store, entity: str, hub_id: int):
    with store.read() as tx:
        return record_state(tx=tx, entity=entity, hub_id=hub_id)


class TestACustomerArrives:
    def test_whole_and_linked(self, world, push, crm):
        report = push()

        assert report.written == 18
        assert _counts(crm) == OBJECTS
        invoice = crm.one(
            "SELECT Name, Total__c, Balance__c, Paid__c, Billing_Account__r.Account__r.Name, "
            "(SELECT Service__r.Product__r.Name, Unit_Price__c FROM Lines__r) FROM L2C_Invoice__c"
        )
        assert invoice["Billing_Account__r"]["Account__r"]["Name"] == "Dental Group"
        line = invoice["Lines__r"]["records"][0]
        assert line["Service__r"]["Product__r"]["Name"] == "Calling seat"

    def test_with_every_digit_of_its_numbers(self, world, push, crm):
        push()

        line = crm.rows("SELECT Unit_Price__c FROM L2C_Invoice_Line__c")[0]
        invoice = crm.one("SELECT Total__c, Balance__c FROM L2C_Invoice__c")
        assert line["Unit_Price__c"] == Decimal("10.000000001")
        assert (invoice["Total__c"], invoice["Balance__c"]) == (Decimal("23.8"), Decimal("3.8"))

    def test_and_its_deal_shows_the_order(self, world, push, crm):
        push()

        deal = crm.one("SELECT L2C_Customer_Order__r.Name, L2C_Order_Status__c FROM Opportunity")
        assert deal["L2C_Customer_Order__r"]["Name"] == "ORD-000001"
        assert deal["L2C_Order_Status__c"]

    def test_and_a_second_push_asks_the_org_nothing(self, world, push):
        push()

        assert push().api_calls == 0

    def test_and_the_hub_knows_it_is_in_step(self, world, push, store):
        with store.read() as tx:
            owed = sum(sync_status(tx=tx).owed.values())
            assert sync_waiting(tx=tx)["records to push"] == owed > 0

        push()

        assert _state(store, "invoice", world.invoice).status == "In Sync"
        with store.read() as tx:
            assert sync_status(tx=tx).is_quiet
            assert not any(sync_waiting(tx=tx).values())

    def test_and_the_calls_are_counted(self, world, push, store, client):
        report = push()

        with store.read() as tx:
            counted = sync_status(tx=tx)
        assert counted.api_calls == report.api_calls > 0
        assert counted.api_used_today == client.limit_info.used


class TestOnlyChangesGoOut:
    def test_a_field_nobody_changed_here_is_not_sent(self, world, push, crm, change):
        push()
        task = crm.rows("SELECT Id FROM L2C_Work_Order_Task__c ORDER BY Name")[0]["Id"]
        crm.update("L2C_Work_Order_Task__c", task, Phase__c="mine")

        change(f"UPDATE task SET state = 'Completed' WHERE id = {world.tasks[0]}")
        push()

        shown = crm.one(f"SELECT Phase__c, Status__c FROM L2C_Work_Order_Task__c WHERE Id='{task}'")
        assert (shown["Phase__c"], shown["Status__c"]) == ("mine", "Completed")

    def test_a_value_that_is_emptied_here_is_emptied_there(self, world, push, crm, change):
        push()

        change(f"UPDATE task SET queue = NULL WHERE id = {world.tasks[0]}")
        push()

        assert crm.rows("SELECT Id FROM L2C_Work_Order_Task__c WHERE Queue__c != null") == []

    def test_a_change_and_its_undoing_cost_no_call(self, world, push, change):
        push()

        change("UPDATE service SET quantity = 6")
        change("UPDATE service SET quantity = 5")

        assert push().api_calls == 0

    def test_what_a_user_made_of_a_location_stays(self, world, push, crm, change):
        push()
        location = crm.one("SELECT Id FROM L2C_Location__c")["Id"]
        crm.update("L2C_Location__c", location, City__c="Neu-Ulm")

        change("UPDATE location SET city = 'Augsburg', normalized_key = 'augsburg|mainstreet1'")
        push()

        shown = crm.one("SELECT City__c, Normalized_Key__c FROM L2C_Location__c")
        assert (shown["City__c"], shown["Normalized_Key__c"]) == (
            "Neu-Ulm",
            "augsburg|mainstreet1",
        )

    def test_a_new_record_s_salesforce_id_is_learnt(self, world, push, crm, store):
        push()

        with store.read() as tx:
            known = tx.execute(text("SELECT sfid FROM location")).scalar_one()
        assert known == crm.one("SELECT Id FROM L2C_Location__c")["Id"]


class TestDocuments:
    @pytest.fixture
    def draft(self, world, store) -> int:
        with store.transaction() as tx:
            return insert(
                tx, "invoice", brand_id=world.brand, billing_account_id=world.billing_account,
                run_key="d", currency="EUR", invoice_on="2026-08-01", due_on="2026-08-15",
                period_start="2026-07-01", period_end="2026-08-01", subtotal=-10, tax="-1.90",
                total="-11.90", type="Credit Note", corrects_invoice_id=world.invoice,
                reason="Cancellation", created_at=NOW,
            )  # fmt: skip

    def test_a_draft_is_nobody_s_business(self, draft, push, crm):
        push()

        assert crm.count("L2C_Invoice__c") == 1

    def test_a_credit_note_comes_after_the_invoice_it_corrects(self, draft, push, crm, store):
        with store.transaction() as tx:
            finalise(tx, draft, number="CN-1")

        push()

        note = crm.one(
            "SELECT Total__c, Reason__c, Corrects_Invoice__r.Name FROM L2C_Invoice__c "
            "WHERE Type__c = 'Credit Note'"
        )
        assert note["Corrects_Invoice__r"]["Name"] == "INV-1"
        assert (note["Total__c"], note["Reason__c"]) == (Decimal("-11.9"), "Cancellation")

    def test_a_payment_nobody_claims_stays_in_the_hub(self, world, push, crm, store):
        with store.transaction() as tx:
            insert(
                tx, "payment", number="PAY-9", source="csv", reference="9", amount=5,
                received_on="2026-07-11", currency="EUR", hold_reason="unknown", created_at=NOW,
            )  # fmt: skip

        push()

        assert crm.count("L2C_Payment__c") == 1


def test_a_thousand_rows_of_one_kind_are_one_call(world, push, store):
    push()
    with store.transaction() as tx:
        tx.execute(
            text(
                "INSERT INTO usage_summary (brand_id, service_id, usage_class, period_start, "
                "period_end, unit, units, rated_amount, cost_amount, currency, records, "
                "rating_run_id, derivation) SELECT :brand, :service, 'Voice', "
                "date '1950-01-01' + n, date '1950-01-02' + n, 's', n, n, 0, 'EUR', 1, :run, '{}' "
                "FROM generate_series(1, 1100) n"
            ),
            {"brand": world.brand, "service": world.service, "run": _rating_run(tx)},
        )

    report = push()

    assert (report.written, report.api_calls) == (1_100, 2)


def _rating_run(tx) -> int:
    return insert(
        tx, "rating_run", period_start="2026-06-01", period_end="2026-07-01", snapshot={},
        records=0, unrated=0, published_at=NOW, input_hash="-",
    )  # fmt: skip


class TestTheOrgMisbehaves:
    def test_an_answer_that_got_lost_makes_no_second_record(self, world, org, push, crm):
        org.admin("faults", body={"faults": [{"kind": "drop_after", "path": "composite"}]})
        assert push().interrupted
        org.admin("faults", method="DELETE")

        assert push().interrupted is None
        assert _counts(crm) == OBJECTS

    @pytest.mark.parametrize("status", [401, 503])
    def test_a_refusing_org_loses_nothing(self, world, org, push, crm, status):
        faults = [{"kind": "http", "status": status, "path": "composite", "count": 3}]
        org.admin("faults", body={"faults": faults})

        push(patience_s=20)

        assert _counts(crm) == OBJECTS

    def test_locked_rows_are_tried_again(self, world, org, push, crm, store):
        locks = [{"kind": "lock", "object": "L2C_Invoice__c", "count": 1}]
        org.admin("faults", body={"faults": locks})

        report = push()
        assert (report.retried, report.dead) == (1, 0)
        assert crm.count("L2C_Invoice_Line__c") == 0
        assert _state(store, "invoice", world.invoice).code == "UNABLE_TO_LOCK_ROW"
        push(patience_s=10)

        assert _counts(crm) == OBJECTS
        assert _state(store, "invoice", world.invoice).code is None

    def test_a_record_deleted_there_is_made_again_whole(self, world, push, crm, change):
        push()
        crm.delete("L2C_Payment__c", crm.one("SELECT Id FROM L2C_Payment__c")["Id"])

        change("UPDATE payment SET reference = 'T-78'")
        push(patience_s=10)

        shown = crm.one("SELECT Amount__c, Reference__c FROM L2C_Payment__c")
        assert (shown["Amount__c"], shown["Reference__c"]) == (Decimal(20), "T-78")

    def test_a_parent_deleted_there_is_made_again_first(self, world, push, crm, store):
        push()
        crm.delete("L2C_Work_Order__c", _unbound_work_order(crm))
        with store.transaction() as tx:
            insert(
                tx, "task", number="TSK-000003", work_order_id=world.work_order, sequence=3,
                name="Label", kind="Manual", state="Ready",
            )  # fmt: skip

        push(patience_s=10)

        task = crm.one(
            "SELECT Work_Order__r.Name FROM L2C_Work_Order_Task__c WHERE Name = 'TSK-000003'"
        )
        assert task["Work_Order__r"]["Name"] == "WO-000001"


def _unbound_work_order(crm) -> str:
    """Take the tasks out of the way, which would keep their work order from being deleted."""
    for name in ("L2C_Task_Dependency__c", "L2C_Work_Order_Task__c"):
        for row in crm.rows(f"SELECT Id FROM {name}"):
            crm.delete(name, row["Id"])
    return str(crm.one("SELECT Id FROM L2C_Work_Order__c")["Id"])


class TestTheCrmRefuses:
    @pytest.fixture
    def refused(self, world, push, crm, change) -> None:
        push()
        change(f"UPDATE order_line SET renewal_type = 'Weekly' WHERE id = {world.line}")

    def test_a_record_with_cause_and_remedy_and_the_rest_goes_on(
        self, refused, world, push, crm, change, store
    ):
        change(f"UPDATE task SET state = 'Completed' WHERE id = {world.tasks[0]}")

        report = push()

        assert (report.dead, report.written) == (1, 4)
        with store.read() as tx:
            (letter,) = dead_letters(tx=tx)
        assert (letter.entity, letter.hub_id) == ("order_line", world.line)
        assert letter.code == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
        assert "picklist" in letter.remedy

    def test_and_says_so_on_the_record_itself(self, refused, push, crm):
        push()

        line = crm.one("SELECT Sync_Status__c, Sync_Error__c FROM L2C_Order_Line__c")
        assert line["Sync_Status__c"] == "Error"
        assert "picklist" in line["Sync_Error__c"]

    def test_until_the_data_is_right(self, refused, world, push, crm, change, store):
        push()

        change("UPDATE order_line SET renewal_type = 'Expires'")
        push()

        line = crm.one(
            "SELECT Sync_Status__c, Sync_Error__c, Renewal_Type__c FROM L2C_Order_Line__c"
        )
        assert (line["Sync_Status__c"], line["Sync_Error__c"]) == ("In Sync", None)
        assert _state(store, "order_line", world.line).error is None

    def test_a_detail_that_hangs_on_another_master_there(self, world, push, crm, store):
        account = crm.create("Account", Name="Somebody else")
        other = crm.create("L2C_Billing_Account__c", Name="Other", Account__c=account)
        crm.create(
            "L2C_Invoice__c",
            Name="Typed in",
            Billing_Account__c=other,
            Billing_Key__c=f"l2c:invoice:{world.invoice}",
        )

        push(patience_s=5)

        with store.read() as tx:
            (letter,) = dead_letters(tx=tx)
        assert letter.entity == "invoice"
        assert "another master" in letter.remedy
        assert crm.count("L2C_Payment__c") == 1

    def test_a_wrong_mapping_halts_its_object_only(self, world, push, crm, mappings):
        colour = PushField.model_validate({"from": "method", "owner": "billing"})
        wrong = Mappings(
            tuple(
                m.model_copy(update={"fields": {**m.fields, "Colour__c": colour}})
                if m.entity == "payment"
                else m
                for m in mappings
            )
        )

        report = push(with_mappings=wrong)

        (halt,) = report.halts
        assert (halt.object, halt.code) == ("L2C_Payment__c", "INVALID_FIELD")
        assert _counts(crm) == OBJECTS | {"L2C_Payment__c": 0, "L2C_Allocation__c": 0}
        push()
        assert _counts(crm) == OBJECTS


class TestSeveralProcesses:
    def test_one_pushes_at_a_time(self, world, store, client, mappings):
        with sole_pusher(store):
            report = push_pending(store=store, org=client, mappings=mappings, now=NOW)

        assert report.is_busy
        assert report.api_calls == 0

    def killed_one_had(self, change, entity: str) -> None:
        change(
            "INSERT INTO push_queue (entity, key, lease_until) "
            f"SELECT code, 1, 'infinity' FROM push_entity WHERE name = '{entity}' "
            "ON CONFLICT (entity, key) DO UPDATE SET lease_until = 'infinity'"
        )

    def test_what_a_killed_one_had_under_way_is_sent(self, world, push, crm, change, monkeypatch):
        monkeypatch.setattr(STILL_CARRIED_OUT_S, 0.1)
        self.killed_one_had(change, "invoice")

        push(patience_s=10)

        assert _counts(crm) == OBJECTS

    def test_the_call_of_a_killed_one_cannot_come_behind_the_next(
        self, world, push, crm, client, change, monkeypatch
    ):
        monkeypatch.setattr(STILL_CARRIED_OUT_S, 3)
        push()
        payment = crm.one("SELECT Id FROM L2C_Payment__c")["Id"]
        self.killed_one_had(change, "payment")
        change("UPDATE payment SET reference = 'new'")

        def waited_for_a_lock():
            time.sleep(0.5)
            body = {"Reference__c": "old"}
            client.call("PATCH", f"sobjects/L2C_Payment__c/{payment}", body=body)

        orphan = Thread(target=waited_for_a_lock)
        orphan.start()
        push(patience_s=30)
        orphan.join()

        assert crm.one("SELECT Reference__c FROM L2C_Payment__c")["Reference__c"] == "new"

    def test_a_change_made_while_the_old_state_travels_is_sent_too(
        self, world, store, client, mappings, crm, change, push
    ):
        push()
        change("UPDATE payment SET reference = 'first'")
        travelling = client.write_row

        def meanwhile(*arguments, **named):
            answer = travelling(*arguments, **named)
            client.write_row = travelling
            change("UPDATE payment SET reference = 'second'")
            return answer

        client.write_row = meanwhile
        push_until_quiet(store=store, org=client, mappings=mappings, now=NOW)

        assert crm.one("SELECT Reference__c FROM L2C_Payment__c")["Reference__c"] == "second"
        assert push().api_calls == 0
