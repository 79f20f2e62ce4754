"""`l2c sync conflicts` and `l2c sync explain`, as a person or a script would call them."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner
from sync_both.conftest import BothWays

from connector.cli.sync import sync as sync_group
from connector.sync.apply.conflicts import ConflictDecided, ConflictOnlyOurs, ConflictUnknown
from connector.sync.explain import RecordUnknown

OBJECT = "L2C_Service__c"


@dataclass
class _App:
    both: BothWays

    @property
    def store(self) -> Any:
        return self.both.way_in.store

    @property
    def mappings(self) -> Any:
        return self.both.mappings


@dataclass
class _Session:
    opened: _App

    def app(self) -> _App:
        return self.opened


@pytest.fixture
def run(both):
    def call(*words: str) -> Any:
        result = CliRunner().invoke(
            sync_group, words, obj=_Session(_App(both)), catch_exceptions=False
        )
        return json.loads(result.stdout.splitlines()[-1]) if "--json" in words else result.stdout

    return call


@pytest.fixture
def conflict(both, service) -> str:
    """Return the number of a conflict about a name that the hub could take."""
    both.set_policy("service", "ask")
    both.user.update(OBJECT, service, Customer_Service_Name__c="Front desk")
    both.sync()
    return str(both.conflicts()[0]["id"])


class TestConflicts:
    def test_are_listed_with_the_values_of_both_sides(self, run, conflict, service) -> None:
        (listed,) = run("conflicts", "list", "--json")["conflicts"]

        assert (listed["sfid"], listed["theirs"], listed["ours"]) == (service, "Front desk", None)
        assert "Front desk there" in run("conflicts", "list")

    def test_are_shown_with_what_to_do(self, run, conflict) -> None:
        assert f"decide {conflict} --take theirs|ours" in run("conflicts", "show", conflict)

    def test_taking_theirs_writes_the_hub_and_ends_it(self, run, conflict, both, service) -> None:
        decided = run("conflicts", "decide", conflict, "--take", "theirs", "--by", "ann", "--json")
        both.sync()

        assert (decided["decision"], decided["decided_by"]) == ("theirs", "ann")
        assert both.way_in.rows("SELECT customer_service_name AS name FROM service") == [
            {"name": "Front desk"}
        ]
        record = both.user.read(OBJECT, service)
        assert (record["Customer_Service_Name__c"], record["Sync_Status__c"]) == (
            "Front desk",
            "In Sync",
        )
        assert both.conflicts() == []

    def test_taking_ours_writes_the_crm_and_ends_it(self, run, conflict, both, service) -> None:
        run("conflicts", "decide", conflict, "--take", "ours")
        both.sync()

        record = both.user.read(OBJECT, service)
        assert (record["Customer_Service_Name__c"], record["Sync_Status__c"]) == (None, "In Sync")
        assert record["Sync_Error__c"] is None

    def test_are_decided_once(self, run, conflict) -> None:
        run("conflicts", "decide", conflict, "--take", "ours")

        with pytest.raises(ConflictDecided):
            run("conflicts", "decide", conflict, "--take", "theirs")
        assert run("conflicts", "list") == "No conflicts.\n"
        assert "ours by" in run("conflicts", "list", "--all")

    def test_theirs_is_refused_where_rules_hang_on_the_field(self, run, both, service) -> None:
        both.set_policy("service", "ask")
        both.user.update(OBJECT, service, Term_Months__c=99)
        both.sync()

        with pytest.raises(ConflictOnlyOurs):
            run("conflicts", "decide", str(both.conflicts()[0]["id"]), "--take", "theirs")
        assert len(both.conflicts()) == 1

    def test_an_unknown_number_is_said_to_be_unknown(self, run) -> None:
        with pytest.raises(ConflictUnknown):
            run("conflicts", "show", "12345")

    def test_a_loop_is_written_again_once_a_person_says_so(self, run, both, service) -> None:
        both.set_policy("service", "repair")
        for _ in range(4):
            both.user.update(OBJECT, service, Term_Months__c=99)
            both.sync()
        number = str(both.conflicts()[0]["id"])

        assert "undone again and again" in run("conflicts", "show", number)
        run("conflicts", "decide", number, "--take", "ours")
        both.sync()

        assert both.user.read(OBJECT, service)["Term_Months__c"] == 0


class TestExplain:
    def test_tells_value_owner_source_instant_and_line(self, run, both, service) -> None:
        told = run("explain", OBJECT, service, "--json")

        trail = {one["field"]: one for one in told["fields"]}["Fulfillment_Status__c"]
        line = both.mappings.by_entity["service"].file.read_text().splitlines()[trail["line"] - 1]
        assert (trail["owner"], trail["source"], trail["differs"]) == ("connector", "push", False)
        assert trail["hub"] == trail["crm"] == "In Service"
        assert "Fulfillment_Status__c" in line
        assert trail["at"] is not None

    def test_tells_what_told_of_a_value_of_the_crm(self, run, both) -> None:
        account = both.way_in.rows("SELECT sfid FROM account")[0]["sfid"]
        swept = run("explain", "Account", account, "--json")
        both.user.update("Account", account, Phone="1")
        both.way_in.tell("Account", account)
        both.way_in.apply()

        told = run("explain", "Account", account, "--json")

        sources = [
            {one["field"]: one["source"] for one in explained["fields"]}["Phone"]
            for explained in (swept, told)
        ]
        assert sources == ["sweep", "outbound_message"]

    def test_tells_open_conflicts_and_the_state(self, run, conflict, service) -> None:
        told = run("explain", "service", service[:15], "--json")

        assert (told["status"], told["conflicts"][0]["field"]) == (
            "Conflict",
            "Customer_Service_Name__c",
        )
        assert f"conflict {conflict}" in run("explain", "service", service)

    def test_tells_the_place_in_the_queue(self, run, both) -> None:
        both.hub("UPDATE service SET term_months = 1")

        told = run("explain", "service", str(both.world.service), "--json")

        assert told["queue"] == "marked"
        assert {one["field"]: one["differs"] for one in told["fields"]}["Term_Months__c"] is True

    def test_a_record_nobody_met_is_unknown(self, run) -> None:
        with pytest.raises(RecordUnknown):
            run("explain", "service", "l2c:service:999")
