"""Records that somebody deletes in the CRM between their being read and their being entered."""

from datetime import timedelta

import pytest

from connector.adapters.salesforce.client import OrgClient
from connector.sync.capture.cursors import Kind, look_back
from connector.sync.capture.full_load import _Load, load_fully

ALIVE = "SELECT name FROM account WHERE deleted_at IS NULL"
WAITING = "SELECT count(*) AS pages FROM inbox WHERE state = 'pending'"


@pytest.fixture
def read(still) -> str:
    """A customer who has been read and waits to be entered."""
    still.pull()
    sfid = still.user.create("Account", Name="Short life")
    still.sweep()
    return sfid


def wait(still) -> None:
    """Sweep until the deletion lies behind every place that is kept."""
    for _ in range(2):
        still.pass_time(minutes=10)
        still.sweep()


def test_are_known_as_deleted_after_the_next_sweep(still, read) -> None:
    still.pass_time(seconds=10)
    still.user.delete("Account", read)
    still.way_in.apply()
    entered = still.way_in.rows(ALIVE)

    still.pull()

    assert (entered, still.way_in.rows(ALIVE)) == ([{"name": "Short life"}], [])


def test_are_not_entered_alive_though_their_page_waited_long(still, read) -> None:
    still.user.delete("Account", read)
    wait(still)

    still.way_in.apply()

    assert still.way_in.rows(ALIVE) == []


def test_are_not_entered_alive_though_nothing_is_left_of_them(still, read) -> None:
    still.user.delete("Account", read)
    still.pass_time(minutes=1)
    still.purge()
    wait(still)

    still.way_in.apply()

    assert still.way_in.rows(ALIVE) == []


def test_of_a_stranger_nothing_is_kept(still) -> None:
    still.pull()
    still.user.delete("Account", still.user.create("Account", Name="Never read"))

    wait(still)

    assert still.way_in.rows(WAITING) == [{"pages": 0}]


def test_end_while_a_full_load_is_under_way(still, monkeypatch) -> None:
    still.pull()
    sfid = still.user.create("Account", Name="Short life")
    enter = _Load._take

    def late(load, name, block, *others):
        """Enter what the snapshot shows after sweeps have seen the deletion."""
        if sfid in block.sfids:
            still.user.delete("Account", sfid)
            wait(still)
        enter(load, name, block, *others)

    monkeypatch.setattr(_Load, "_take", late)
    way_in = still.way_in
    load_fully(store=way_in.store, org=way_in.org, mappings=way_in.mappings, now_org=still.now)
    entered = way_in.rows(ALIVE)

    still.pass_time(minutes=10)
    still.pull()

    assert (entered, way_in.rows(ALIVE)) == ([{"name": "Short life"}], [])


def test_a_sweep_that_is_under_way_does_not_undo_a_look_back(still, monkeypatch) -> None:
    still.pull()
    still.pass_time(minutes=10)
    back_to = still.now - timedelta(hours=1)
    ask = OrgClient.composite

    def meanwhile(client, subrequests, **options):
        """Let a full load end between the question for deletions and its answer."""
        if any("Account/deleted" in one.path for one in subrequests):
            with still.way_in.store.transaction() as tx:
                look_back(tx, Kind.DELETIONS, "Account", to=back_to)
        return ask(client, subrequests, **options)

    monkeypatch.setattr(OrgClient, "composite", meanwhile)
    still.sweep()

    assert still.way_in.rows(
        "SELECT position_at FROM sync_cursor WHERE kind = 'deletions' AND object = 'Account'"
    ) == [{"position_at": back_to}]
