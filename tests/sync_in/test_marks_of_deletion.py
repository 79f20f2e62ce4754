"""Marks of deletion that are wrong, and tombstones beside pages that have to be read again."""

import pytest

from connector.sync.apply.merges import masters
from connector.sync.capture.full_load import load_fully

ACCOUNT = "SELECT link_state, phone FROM account WHERE deleted_at IS NULL"


@pytest.fixture
def unseen(still) -> str:
    """A customer taken for gone while the connector's user could not see it, changed meanwhile."""
    sfid = still.user.create("Account", Name="Acme")
    still.pull()
    still.pass_time(minutes=1)
    still.user.update("Account", sfid, Phone="0815")
    still.pass_time(minutes=10)
    for table, mark in (("account", "link_state = 'Broken'"), ("crm_record", "status = 'Ignored'")):
        still.way_in.run_sql(f"UPDATE {table} SET deleted_at = '{still.now.isoformat()}', {mark}")
    still.way_in.run_sql("UPDATE crm_record SET system_modstamp = deleted_at")
    still.pass_time(minutes=1)
    return sfid


class TestACustomerWhoIsSeenAgain:
    def test_is_restored_by_a_full_load_whatever_its_stamp(self, still, unseen) -> None:
        way_in = still.way_in

        load_fully(store=way_in.store, org=way_in.org, mappings=way_in.mappings, now_org=still.now)
        way_in.apply()

        assert way_in.rows(ACCOUNT) == [{"link_state": "Unlinked", "phone": "0815"}]

    def test_is_restored_by_a_message(self, still, unseen) -> None:
        still.way_in.tell("Account", unseen)

        report = still.way_in.apply()

        assert report.restored == 1
        assert still.way_in.rows(ACCOUNT) == [{"link_state": "Unlinked", "phone": "0815"}]

    def test_takes_changes_again(self, still, unseen) -> None:
        still.way_in.tell("Account", unseen)
        still.way_in.apply()

        still.user.update("Account", unseen, Phone="4711")
        still.pull()

        assert still.way_in.rows(ACCOUNT) == [{"link_state": "Unlinked", "phone": "4711"}]


def test_a_merge_is_followed_though_an_older_page_has_to_be_read_again(still) -> None:
    master, loser = (still.user.create("Account", Name=name) for name in ("Stays", "Goes"))
    still.pull()
    still.pass_time(minutes=1)
    still.user.update("Account", loser, Phone="0815")
    still.sweep()
    still.way_in.run_sql("UPDATE inbox SET attempts = 1 WHERE state = 'pending'")
    still.merge("Account", master, [loser])
    for _ in range(2):  # until the merge lies behind the place of the sweep
        still.sweep()
        still.pass_time(minutes=3)

    report = still.way_in.apply()

    assert (report.deleted, report.merged) == (1, 1)
    with still.way_in.store.read() as tx:
        assert masters(tx, [loser]) == {loser: master}


def test_a_tombstone_of_a_record_that_is_there_again_counts_for_nothing(still) -> None:
    master, loser = (still.user.create("Account", Name=name) for name in ("Stays", "Goes"))
    still.pull()
    still.pass_time(minutes=1)
    still.merge("Account", master, [loser])
    still.sweep()
    still.undelete(loser)
    still.way_in.tell("Account", loser)

    report = still.way_in.apply()

    assert (report.deleted, report.merged) == (0, 0)
    with still.way_in.store.read() as tx:
        assert masters(tx, [loser]) == {}


@pytest.mark.parametrize(("gone", "is_asked"), [(6, True), (5, False)])
def test_many_that_vanish_at_once_ask_what_the_user_may_see(still, gone, is_asked) -> None:
    accounts = [still.user.create("Account", Name=f"Customer {number}") for number in range(10)]
    still.pull()
    still.pass_time(minutes=10)
    for sfid in accounts[:gone]:
        still.user.delete("Account", sfid)
    still.pass_time(minutes=1)
    still.purge()

    (note,) = (one for one in still.sweep().notes if one.startswith("Account: "))

    assert f"compared all 10 known ids: {gone} gone." in note
    assert ("does the connector's user see all records" in note) is is_asked
