"""A field of the hub is changed in the CRM: repaired, accepted, or left to a person."""

import pytest
from sqlalchemy import event
from sync_out.world import NOW

from connector.errors import StateConflict
from connector.sync.apply.intents import retry_parked
from connector.sync.reconcile.compare import reconcile
from connector.sync.reconcile.report import as_csv, as_text

OBJECT = "L2C_Service__c"
NAME = "Customer_Service_Name__c"
TERM = "Term_Months__c"


def compared(both, **options: bool):
    return reconcile(
        store=both.way_in.store, org=both.way_in.org, mappings=both.mappings, now=NOW, **options
    )


class TestRepair:
    def test_sends_the_hubs_value_again(self, both, service) -> None:
        both.set_policy("service", "repair")
        before = both.user.read(OBJECT, service)
        both.user.update(OBJECT, service, Term_Months__c=99)

        pulled, pushed = both.sync()

        assert (pulled.repaired, pushed.written) == (1, 1)
        assert both.user.read(OBJECT, service)[TERM] == before[TERM]

    def test_is_quiet_afterwards(self, both, service) -> None:
        both.set_policy("service", "repair")
        both.user.update(OBJECT, service, Term_Months__c=99)
        both.sync()

        again = both.sync()

        assert (again[0].repaired, again[1].written, both.conflicts()) == (0, 0, [])

    def test_covers_references(self, both, service) -> None:
        both.set_policy("service", "repair")
        before = both.user.read(OBJECT, service)["Location__c"]
        both.user.update(OBJECT, service, Location__c=None)

        both.sync()

        assert both.user.read(OBJECT, service)["Location__c"] == before

    def test_costs_no_call_for_records_that_are_swept_anyway(self, both) -> None:
        account = both.way_in.rows("SELECT sfid FROM account")[0]["sfid"]
        both.user.update("Account", account, L2C_Balance__c=1)

        calls = both.way_in.sweep().calls
        report = both.way_in.apply()

        assert (calls, report.repaired) == (1, 1)

    def test_leaves_what_the_crm_owns_alone(self, both) -> None:
        account = both.way_in.rows("SELECT sfid FROM account")[0]["sfid"]
        both.user.update("Account", account, Phone="1", L2C_Balance__c=1)

        both.sync()

        assert both.user.read("Account", account)["Phone"] == "1"
        assert both.way_in.rows("SELECT phone FROM account") == [{"phone": "1"}]

    def test_an_outbound_message_is_enough(self, both) -> None:
        account = both.way_in.rows("SELECT sfid FROM account")[0]["sfid"]
        both.user.update("Account", account, L2C_Balance__c=1)
        both.way_in.tell("Account", account)

        assert both.way_in.apply().repaired == 1

    def test_an_object_nobody_watches_is_not_swept(self, both, service) -> None:
        both.user.update(OBJECT, service, Term_Months__c=99)

        assert both.pull().repaired == 0


class TestOwnWrites:
    def test_are_no_edits(self, both, service) -> None:
        both.set_policy("service", "ask")
        both.hub("UPDATE service SET term_months = 36")
        both.push()

        pulled, pushed = both.sync()

        assert (pulled.conflicts, pushed.written, both.conflicts()) == (0, 0, [])

    def test_a_page_read_before_our_write_opens_no_conflict(self, both, service) -> None:
        both.set_policy("service", "ask")
        both.user.update(OBJECT, service, Billed_MRR__c=None)
        both.hub("UPDATE service SET term_months = 36")
        both.way_in.sweep()  # the page still shows the old term
        both.push()

        both.way_in.apply()

        assert [one["field"] for one in both.conflicts() if one["field"] == TERM] == []

    @pytest.mark.parametrize("taken_until", ["'infinity'", "now() - interval '1 second'"])
    def test_a_record_under_delivery_is_looked_at_again(self, both, service, taken_until) -> None:
        both.set_policy("service", "ask")
        both.user.update(OBJECT, service, Term_Months__c=99)
        both.way_in.sweep()
        both.hub(
            "INSERT INTO push_queue (entity, key, lease_until) SELECT code, "
            f"{both.world.service}, {taken_until} FROM push_entity WHERE name = 'service'"
        )

        meanwhile = both.way_in.apply().conflicts
        both.hub("UPDATE push_queue SET lease_until = '-infinity'")
        both.hub("UPDATE inbox SET next_attempt_at = now() WHERE state = 'pending'")

        assert (meanwhile, both.way_in.apply().conflicts) == (0, 1)

    def test_what_was_not_sent_is_not_taken_as_shown(self, both, service) -> None:
        both.set_policy("service", "repair")
        both.user.update(OBJECT, service, Term_Months__c=99)
        both.hub("UPDATE service SET customer_service_name = 'Reception'")
        both.push()  # writes the name, and knows nothing of the term

        assert both.pull().repaired == 1


class TestAccept:
    def test_the_hub_takes_the_value_and_sends_nothing(self, both, service) -> None:
        both.set_policy("service", "accept", field=NAME)
        both.user.update(OBJECT, service, Customer_Service_Name__c="Front desk")

        pulled, pushed = both.sync()

        assert (pulled.accepted, pushed.written) == (1, 0)
        assert both.way_in.rows("SELECT customer_service_name AS name FROM service") == [
            {"name": "Front desk"}
        ]

    def test_a_value_the_hub_refuses_becomes_a_conflict(self, both, service) -> None:
        both.set_policy("service", "accept", field=NAME)
        both.hub("ALTER TABLE service ADD CHECK (customer_service_name <> 'Refused')")
        both.user.update(OBJECT, service, Customer_Service_Name__c="Refused")

        both.pull()

        (conflict,) = both.conflicts()
        assert (conflict["kind"], conflict["theirs"]) == ("edit", "Refused")


class TestAsk:
    @pytest.fixture(autouse=True)
    def asked(self, both, service) -> None:
        both.set_policy("service", "ask")
        both.user.update(OBJECT, service, Term_Months__c=99)
        both.sync()

    def test_opens_one_conflict_with_the_three_values(self, both, service) -> None:
        (conflict,) = both.conflicts()

        assert (conflict["object"], conflict["sfid"], conflict["field"]) == (OBJECT, service, TERM)
        assert (conflict["theirs"], conflict["ours"], conflict["agreed"]) == (99, 0, 0)

    def test_the_record_says_so(self, both, service) -> None:
        record = both.user.read(OBJECT, service)

        assert record["Sync_Status__c"] == "Conflict"
        assert TERM in record["Sync_Error__c"]

    def test_the_push_leaves_the_field_alone_and_sends_the_others(self, both, service) -> None:
        both.hub("UPDATE service SET term_months = 36, customer_service_name = 'Reception'")

        both.push()

        record = both.user.read(OBJECT, service)
        assert (record[TERM], record[NAME]) == (99, "Reception")
        assert record["Sync_Status__c"] == "Conflict"

    def test_further_passes_write_nothing(self, both) -> None:
        both.sync()

        pulled, pushed = both.sync()

        assert (pulled.conflicts, pushed.written, len(both.conflicts())) == (0, 0, 1)

    def test_another_edit_is_the_same_conflict(self, both, service) -> None:
        both.user.update(OBJECT, service, Term_Months__c=98)

        both.pull()

        (conflict,) = both.conflicts()
        assert (conflict["theirs"], conflict["agreed"]) == (98, 0)

    def test_a_comparison_tells_it_apart_from_drift(self, both) -> None:
        report = compared(both)

        (found,) = (one for one in report.entities if one.entity == "service")
        assert (report.drift, found.in_conflict, found.fields) == (0, 1, {})
        assert as_text(report).endswith("Drift: 0. 1 in conflict: see `l2c sync conflicts list`.")
        assert "service,L2C_Service__c,in_conflict,,,,,1" in as_csv(report).splitlines()

    def test_another_field_of_the_record_may_drift_beside_it(self, both, service) -> None:
        both.user.update(OBJECT, service, Customer_Service_Name__c="Drifted")

        report = compared(both)

        (found,) = (one for one in report.entities if one.entity == "service")
        assert (found.differing, found.in_conflict, list(found.fields)) == (1, 1, [NAME])

    def test_a_repair_leaves_it_to_the_person(self, both, service) -> None:
        both.user.update(OBJECT, service, Customer_Service_Name__c="Drifted")

        report = compared(both, repair=True)
        both.push()

        record = both.user.read(OBJECT, service)
        assert (report.repaired, record[TERM]) == (1, 99)
        assert record[NAME] != "Drifted"

    def test_its_account_is_not_fully_in_step(self, both) -> None:
        compared(both)

        (score,) = both.way_in.rows("SELECT records - in_step AS behind FROM account_score")
        assert score == {"behind": 1}

    def test_an_edit_back_to_our_value_ends_it(self, both, service) -> None:
        both.user.update(OBJECT, service, Term_Months__c=0)

        both.sync()

        assert both.conflicts() == []
        assert both.user.read(OBJECT, service)["Sync_Status__c"] == "In Sync"

    def test_the_hub_coming_to_their_value_ends_it(self, both, service) -> None:
        both.hub("UPDATE service SET term_months = 99")

        both.sync()

        assert both.conflicts() == []
        assert both.user.read(OBJECT, service)["Sync_Status__c"] == "In Sync"

    def test_what_the_hub_says_meanwhile_is_shown(self, both) -> None:
        both.hub("UPDATE service SET term_months = 36")

        both.pull()

        assert both.conflicts()[0]["ours"] == 36


class TestLoop:
    def undo(self, both, service) -> None:
        """Do what a flow of the CRM would do after our write."""
        both.user.update(OBJECT, service, Term_Months__c=99)
        both.sync()

    def test_a_value_undone_again_and_again_is_left_to_a_person(self, both, service) -> None:
        both.set_policy("service", "repair")

        for _ in range(4):
            self.undo(both, service)

        (conflict,) = both.conflicts()
        assert (conflict["kind"], conflict["field"]) == ("loop", TERM)
        assert both.user.read(OBJECT, service)[TERM] == 99

    def test_is_not_written_any_more(self, both, service) -> None:
        both.set_policy("service", "repair")
        for _ in range(5):
            self.undo(both, service)

        _, pushed = both.sync()

        assert pushed.written == 0

    def test_edits_far_apart_are_no_loop(self, both, service) -> None:
        both.set_policy("service", "repair")

        for _ in range(5):
            self.undo(both, service)
            both.hub(
                "UPDATE crm_record SET repairs = jsonb_set(repairs, '{Term_Months__c,since}', "
                "to_jsonb('2020-01-01T00:00:00+00:00'::text)) WHERE repairs IS NOT NULL"
            )

        assert both.conflicts() == []


def test_a_record_says_conflict_again_once_its_parked_ask_is_done(both) -> None:
    both.set_policy("customer_order", "ask")
    order = both.sfid_of("customer_order", both.world.order)
    name = "L2C_Customer_Order__c"
    both.way_in.flows["order_action"].error = StateConflict("Not now.", remedy="Wait.")
    both.user.update(name, order, Next_Step__c="Mine", Action__c="Hold")
    both.sync()
    both.way_in.apply()
    both.way_in.flows["order_action"].error = None

    with both.way_in.store.transaction() as tx:
        retry_parked(tx=tx)
    both.way_in.apply()

    record = both.user.read(name, order)
    assert (record["Sync_Status__c"], record["Action__c"]) == ("Conflict", None)
    assert "Next_Step__c" in record["Sync_Error__c"]


class TestInBulk:
    @pytest.mark.parametrize("policy", ["repair", "ask"])
    def test_two_hundred_edits_take_the_statements_of_one(self, both, client, policy) -> None:
        both.hub(
            "INSERT INTO product (brand_id, key, name, display_name, kind) SELECT "
            f"{both.world.brand}, 'p' || n, 'Product', 'Product', 'Service' "
            "FROM generate_series(1, 201) n"
        )
        both.push()
        both.set_policy("product", policy)
        both.pull()
        rows = both.way_in.rows(
            "SELECT r.sfid FROM crm_record r JOIN product p ON p.id = r.hub_id "
            "WHERE r.entity = 'product' AND p.key LIKE 'p%' ORDER BY p.id"
        )
        edits = [{"Id": row["sfid"], "L2C_Display_Name__c": "Mine"} for row in rows]

        client.update_collections("Product2", edits[:1])
        of_one = self.statements(both)
        client.update_collections("Product2", edits[1:])
        of_many = self.statements(both)

        assert of_one == of_many

    def statements(self, both) -> int:
        """Count what applying takes; all edits are swept before."""
        both.way_in.sweep()
        seen: list[str] = []

        def count(_connection, _cursor, statement, *_rest) -> None:
            seen.append(statement)

        event.listen(both.way_in.store.engine, "before_cursor_execute", count)
        try:
            report = both.way_in.apply()
        finally:
            event.remove(both.way_in.store.engine, "before_cursor_execute", count)
        assert report.repaired + report.conflicts > 0
        return len(seen)
