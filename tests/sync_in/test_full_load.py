"""The first load: everything the mappings pull, through the same apply as everything else."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from connector.adapters.salesforce.bulk import Bulk
from connector.adapters.salesforce.errors import OrgUnavailable
from connector.sync.capture import full_load
from connector.sync.capture.full_load import NotPulled, load_fully

ACCOUNTS = "SELECT name, sfid, is_tax_exempt, deleted_at FROM account ORDER BY name"
UNDER_WAY = "SELECT object, locator, rows FROM full_load"


@pytest.fixture
def load(way_in):
    def run(*objects: str, now_org: datetime | None = None, rows_per_page: int = 50_000):
        return load_fully(
            store=way_in.store,
            org=way_in.org,
            mappings=way_in.mappings,
            now_org=now_org or datetime.now(UTC),
            objects=objects,
            rows_per_result_page=rows_per_page,
        )

    return run


def test_brings_every_record_as_a_sweep_would(way_in, user, load) -> None:
    user.create("Account", Name="Acme, “quoted”", L2C_Tax_Exempt__c=True, BillingCountry="Germany")
    user.create("Account", Name="Brook", BillingStreet="Main Street 1\nGate 2")

    loaded = load()
    way_in.apply()

    assert (loaded.entered["Account"], loaded.stored["Account"]) == (2, 0)
    first, second = way_in.rows(ACCOUNTS)
    assert (first["name"], first["is_tax_exempt"]) == ("Acme, “quoted”", True)
    assert second["is_tax_exempt"] is False
    # Said once more by a sweep, nothing of it is news.
    assert way_in.sweep().stored["Account"] == 0


def test_a_second_load_of_the_same_finds_nothing_new(way_in, user, load) -> None:
    user.create("Account", Name="Acme")
    load()
    way_in.apply()

    again = load()

    assert (again.seen["Account"], again.entered["Account"], again.stored["Account"]) == (1, 0, 0)


def test_the_next_sweep_begins_before_the_snapshot(way_in, user, load) -> None:
    now = datetime.now(UTC)

    load("Account", now_org=now)

    (cursor,) = way_in.rows("SELECT object, position_at FROM sync_cursor WHERE kind = 'changes'")
    assert cursor["object"] == "Account"
    assert now - timedelta(minutes=5) < cursor["position_at"] <= now - timedelta(seconds=120)


def test_a_record_in_the_recycle_bin_is_known_as_deleted(way_in, user, load) -> None:
    account = user.create("Account", Name="Gone")
    user.create("Account", Name="Here")
    load()
    way_in.apply()
    user.delete("Account", account)

    load()
    way_in.apply()

    gone, here = way_in.rows(ACCOUNTS)
    assert gone["deleted_at"] is not None
    assert here["deleted_at"] is None


def test_a_record_in_the_recycle_bin_that_nobody_knew_stays_unknown(way_in, user, load) -> None:
    user.delete("Account", user.create("Account", Name="Gone"))

    load()
    way_in.apply()

    assert way_in.rows(ACCOUNTS) == []


def test_a_load_that_broke_off_goes_on_where_it_stopped(way_in, user, load, monkeypatch) -> None:
    for number in range(5):
        user.create("Account", Name=f"Account {number}")
    whole = Bulk.result_page
    pages: list[str] = []

    def breaks_at_the_third(self, job: str, *, locator: str = "", rows_per_page: int):
        pages.append(locator)
        if len(pages) == 3:
            raise OrgUnavailable("The line is cut.")
        return whole(self, job, locator=locator, rows_per_page=rows_per_page)

    monkeypatch.setattr(full_load.Bulk, "result_page", breaks_at_the_third)
    with pytest.raises(OrgUnavailable):
        load("Account", rows_per_page=2)
    (left,) = way_in.rows(UNDER_WAY)

    resumed = load("Account", rows_per_page=2)
    way_in.apply()

    assert left["rows"] == 4
    assert resumed.resumed == ("Account",)
    assert pages[3] == left["locator"]
    assert (resumed.seen["Account"], resumed.entered["Account"]) == (5, 1)
    assert len(way_in.rows(ACCOUNTS)) == 5
    assert way_in.rows(UNDER_WAY) == []


def test_only_the_place_in_the_snapshot_waits_for_the_disk(way_in, user, load, monkeypatch) -> None:
    user.create("Account", Name="Acme")
    waits: dict[str, str] = {}

    def seen_by(name: str, act):
        def look(tx, *rest):
            waits[name] = tx.execute(text("SHOW synchronous_commit")).scalar_one()
            return act(tx, *rest)

        return look

    monkeypatch.setattr(full_load, "enter", seen_by("records", full_load.enter))
    monkeypatch.setattr(full_load, "advance", seen_by("place", full_load.advance))

    load("Account")

    assert waits == {"records": "off", "place": "on"}


def test_a_result_the_org_has_forgotten_is_asked_for_again(way_in, user, load) -> None:
    user.create("Account", Name="Acme")
    way_in.run_sql(
        "INSERT INTO full_load (object, job, began_at)"
        " VALUES ('Account', '750xx000000000AAA', now())"
    )

    loaded = load("Account")

    assert (loaded.resumed, loaded.entered["Account"]) == ((), 1)


def test_an_object_nothing_is_pulled_of_is_refused_with_those_that_are(load) -> None:
    with pytest.raises(NotPulled, match="Opportunity") as refused:
        load("Opportunity")

    assert "Account" in refused.value.remedy
