"""What the chaos run relies on: it fails without deduplication and without the version guard."""

import importlib

import pytest
from sync_out.conftest import push

__all__ = ["push"]

LOST_ANSWER = {"kind": "drop_after", "object": "L2C_Order_Line__c", "count": 1}


@pytest.fixture
def worker():
    """Return the program that the chaos run starts as a worker."""
    return importlib.import_module("l2c_bench.chaos_worker")


def lines_after_a_lost_answer(org, crm, push) -> int:
    org.admin("faults", body={"faults": [LOST_ANSWER]})
    push(patience_s=1)
    assert org.admin("faults", method="GET")["hits"] == {"drop_after": 1}
    return crm.count("L2C_Order_Line__c")


def test_a_lost_answer_makes_no_double(org, crm, world, push):
    assert lines_after_a_lost_answer(org, crm, push) == 1


def test_without_deduplication_a_lost_answer_makes_a_double(
    org, crm, world, push, worker, monkeypatch
):
    worker.without_deduplication(monkeypatch.setattr)

    assert lines_after_a_lost_answer(org, crm, push) > 1


def phone_after_an_old_page(both) -> object:
    account = str(both.way_in.rows("SELECT sfid FROM account")[0]["sfid"])
    both.user.update("Account", account, Phone="new")
    both.pull()
    both.way_in.store_page(account, age="10 s", Phone="old")
    both.way_in.apply()
    return both.way_in.rows("SELECT phone FROM account")[0]["phone"]


def test_a_page_that_comes_late_changes_nothing(both):
    assert phone_after_an_old_page(both) == "new"


def test_without_the_version_guard_a_page_that_comes_late_takes_a_value_back(
    both, worker, monkeypatch
):
    worker.without_version_guard(monkeypatch.setattr)

    assert phone_after_an_old_page(both) == "old"
