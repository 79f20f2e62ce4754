"""The commands of `l2c sync` and `l2c mappings`, as a script would call them."""

import csv
import io
import json
from dataclasses import dataclass

import pytest
from click.testing import CliRunner

from connector.bootstrap import App
from connector.cli.mappings import mappings as mappings_group
from connector.cli.sync import sync as sync_group


@dataclass
class _Session:
    opened: App

    def app(self) -> App:
        return self.opened


@pytest.fixture
def run_with(open_app):
    def prepare(**sync: object):
        session = _Session(open_app(**sync))

        def call(*words: str):
            group = mappings_group if words[0] == "mappings" else sync_group
            return CliRunner().invoke(group, words[1:], obj=session, catch_exceptions=False)

        return call

    return prepare


@pytest.fixture
def run(run_with):
    return run_with()


def _json(result):
    return json.loads(result.stdout.splitlines()[-1])


def test_push_then_reconcile_says_that_nothing_differs(world, run):
    pushed = run("sync", "push", "--json")
    compared = run("sync", "reconcile", "--json")

    assert (pushed.exit_code, _json(pushed)["written"]) == (0, 18)
    assert (compared.exit_code, _json(compared)["drift"]) == (0, 0)


def test_reconcile_exits_1_on_drift_and_0_once_repaired(world, run, crm):
    run("sync", "push")
    crm.delete("L2C_Allocation__c", crm.one("SELECT Id FROM L2C_Allocation__c")["Id"])

    assert run("sync", "reconcile").exit_code == 1
    assert run("sync", "reconcile", "--repair").exit_code == 0
    assert run("sync", "reconcile").exit_code == 0


def test_a_comparison_is_written_as_a_table(world, run, crm, tmp_path):
    run("sync", "push")
    invoice = crm.one("SELECT Id FROM L2C_Invoice__c")["Id"]
    crm.update("L2C_Invoice__c", invoice, Total__c=99)
    file = tmp_path / "report.csv"

    result = run("sync", "reconcile", "--format", "csv", "--out", str(file))

    lines = list(csv.DictReader(io.StringIO(file.read_text())))
    of_invoice = {line["kind"]: line for line in lines if line["entity"] == "invoice"}
    assert "Drift: 1" in result.stdout
    assert of_invoice["differing"]["records"] == "1"
    assert (of_invoice["field"]["name"], of_invoice["field"]["owner"]) == ("Total__c", "billing")
    assert (of_invoice["sum"]["hub"], of_invoice["sum"]["crm"]) == ("23.8", "99.00")


def test_a_comparison_shows_the_scores_of_accounts(world, run, crm):
    run("sync", "push")
    crm.delete("L2C_Allocation__c", crm.one("SELECT Id FROM L2C_Allocation__c")["Id"])

    result = run("sync", "reconcile", "--accounts")

    *_, scored = result.stdout.splitlines()
    assert scored.split()[:2] == ["Dental", "Group"]
    assert scored.split()[-1] == "93.70"


def test_what_the_hub_does_not_have_is_deleted_on_request_only(world, run, crm):
    run("sync", "push")
    crm.create("L2C_Location__c", Name="Ghost", Billing_Key__c="l2c:location:999")

    assert run("sync", "reconcile", "--repair").exit_code == 1
    assert run("sync", "reconcile", "--delete-extra").exit_code == 0
    assert crm.rows("SELECT Id FROM L2C_Location__c WHERE Name = 'Ghost'") == []


def test_status_counts_what_is_owed_and_then_nothing(world, run):
    assert _json(run("sync", "status", "--json"))["owed"]["task"] == 2

    run("sync", "push")

    assert "nothing owed" in run("sync", "status").stdout


def test_status_tells_how_each_topic_of_change_events_stands(run, store):
    with store.transaction() as tx:
        tx.exec_driver_sql(
            "INSERT INTO event_topic (topic, replay_id, followed_since, commit_at, received_at,"
            " problem) VALUES ('/data/AccountChangeEvent', '\\x0400', now(),"
            " '2026-06-15T10:00:00Z', '2026-06-15T10:00:03Z',"
            " 'org.unavailable: The org ended the stream of events.')"
        )
        tx.exec_driver_sql(
            "INSERT INTO owed_sweep (object, position_at, reason, owed_at) VALUES"
            " ('Account', now(), 'the org reported GAP_OVERFLOW', now())"
        )

    (topic,) = _json(run("sync", "status", "--json"))["topics"]
    told = run("sync", "status").stdout

    assert (topic["replay_id"], topic["delay_s"], topic["is_connected"]) == ("0400", 3, False)
    assert (
        "/data/AccountChangeEvent: not connected, last event 2026-06-15 10:00:00 after 3 s,"
        " replay id 0400\n  org.unavailable" in told
    )
    assert "Account will be read again: the org reported GAP_OVERFLOW." in told


def test_dead_letters_tell_cause_and_remedy_and_can_be_sent_again(world, run, change):
    change("UPDATE order_line SET renewal_type = 'Weekly'")
    assert run("sync", "push").exit_code == 1

    listed = run("sync", "dead-letters", "list")
    assert "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST" in listed.stdout
    assert "mapping file" in listed.stdout
    assert _json(run("sync", "dead-letters", "retry", "--json"))["retried"] == 1
    assert _json(run("sync", "status", "--json"))["owed"] == {"order_line": 1}


def test_the_shipped_mappings_fit_the_local_org(run, mappings):
    result = run("mappings", "check", "--json")

    assert result.exit_code == 0
    assert _json(result) == {"entities": len(mappings.all), "findings": []}
