"""Where a sweep begins, how far it keeps its place, what it costs."""

from datetime import UTC, datetime, timedelta

from connector.sync.capture.sweep import sweep

CURSORS = "SELECT object, position_at FROM sync_cursor WHERE kind = 'changes' ORDER BY object"


def run_sweep(way_in, *, now_org: datetime, overlap_s: int = 120):
    return sweep(
        store=way_in.store,
        org=way_in.org,
        mappings=way_in.mappings,
        now_org=now_org,
        overlap=timedelta(seconds=overlap_s),
    )


def win(user, name: str) -> str:
    account = user.create("Account", Name=name)
    return user.create(
        "Opportunity",
        Name=name,
        AccountId=account,
        StageName="Closed Won",
        CloseDate="2026-06-15",
    )


def test_keeps_its_place_an_overlap_behind_the_orgs_time(way_in, user) -> None:
    user.create("Account", Name="Acme")
    now = datetime.now(UTC)

    run_sweep(way_in, now_org=now)

    positions = {row["object"]: row["position_at"] for row in way_in.rows(CURSORS)}
    assert set(positions) >= {"Account", "Opportunity", "L2C_Work_Order_Task__c"}
    assert max(positions.values()) <= now - timedelta(seconds=120)


def test_finds_a_record_that_became_visible_late(way_in, user) -> None:
    now = datetime.now(UTC)
    run_sweep(way_in, now_org=now + timedelta(seconds=30))  # its transaction is still open

    user.create("Account", Name="Committed late")
    swept = run_sweep(way_in, now_org=now + timedelta(seconds=60))

    assert swept.stored["Account"] == 1


def test_never_goes_back(way_in, user) -> None:
    now = datetime.now(UTC)
    run_sweep(way_in, now_org=now)
    before = way_in.rows(CURSORS)

    run_sweep(way_in, now_org=now - timedelta(hours=1))

    assert way_in.rows(CURSORS) == before


def test_leaves_deals_alone_that_were_won_before_the_connector_was_there(way_in, user) -> None:
    win(user, "Won long ago")

    two_days_on = datetime.now(UTC) + timedelta(days=2)
    swept = run_sweep(way_in, now_org=two_days_on)

    assert swept.seen["Opportunity"] == 0
    assert swept.seen["Account"] == 1


def test_reads_only_records_that_ask(way_in, user) -> None:
    account = user.create("Account", Name="Acme")
    user.create(
        "Opportunity",
        Name="Open",
        AccountId=account,
        StageName="Prospecting",
        CloseDate="2026-06-15",
    )
    win(user, "Won")

    assert run_sweep(way_in, now_org=datetime.now(UTC)).seen["Opportunity"] == 1


def test_costs_one_call_and_counts_it(way_in) -> None:
    run_sweep(way_in, now_org=datetime.now(UTC))

    assert way_in.org.calls == 1
    assert way_in.rows("SELECT calls FROM api_usage") == [{"calls": 1}]
