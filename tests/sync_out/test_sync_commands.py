"""The commands of `l2c sync` and `l2c mappings`, as a script would call them."""

import json
from dataclasses import dataclass, field

import pytest
from click.testing import CliRunner
from sync_out.world import NOW

from connector.adapters.salesforce.client import OrgClient
from connector.cli.mappings import mappings as mappings_group
from connector.cli.sync import sync as sync_group
from connector.config import Settings
from connector.kernel.clock import MovableClock
from connector.store.engine import Store
from connector.sync.mapping.definition import Mappings


@dataclass
class _App:
    store: Store
    org: OrgClient
    mappings: Mappings
    clock: MovableClock
    settings: Settings = field(default_factory=Settings)


@dataclass
class _Session:
    opened: _App

    def app(self) -> _App:
        return self.opened


@pytest.fixture
def run(store, client, mappings):
    session = _Session(_App(store, client, mappings, MovableClock(NOW)))

    def call(*words: str):
        group = mappings_group if words[0] == "mappings" else sync_group
        return CliRunner().invoke(group, words[1:], obj=session, catch_exceptions=False)

    return call


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


def test_status_counts_what_is_owed_and_then_nothing(world, run):
    assert _json(run("sync", "status", "--json"))["owed"]["task"] == 2

    run("sync", "push")

    assert "nothing owed" in run("sync", "status").stdout


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
