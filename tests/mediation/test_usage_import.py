"""Every line of a usage file becomes usage, a duplicate, or waits with number and reason."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from usage_world import NOW, World

from connector.mediation.feeds import FeedDefinition, feed_named
from connector.mediation.imports import (
    ImportReport,
    UsageFileAlreadyLoaded,
    UsageFileMissing,
    import_usage_file,
    replay_suspense,
)
from connector.mediation.queries import open_counts, open_lines
from connector.mediation.spool import UnreadableUsageFile
from connector.store.tables.usage import lake_file, suspense, usage_file

CDR = feed_named("cdr")
CLOUD = feed_named("cloud")
NUMBER = "+4930111000"
GOOD = ("c1", NUMBER, "+4930555", "2026-06-10 12:00:00", "61")


def bring_in(world: World, path: Path, feed: FeedDefinition = CDR) -> ImportReport:
    return import_usage_file(store=world.store, lake=world.lake, feed=feed, path=path, now=NOW)


def reasons(world: World) -> dict[int, str]:
    with world.store.read() as tx:
        return {line.line_no: line.reason_code for line in open_lines(tx=tx, limit=100)}


@pytest.fixture
def line(world: World) -> int:
    return world.add_service(product_key="sip-trunk", kind="number", alias=NUMBER)


class TestAcceptedLines:
    def test_become_usage_records(self, world: World, line: int) -> None:
        report = bring_in(world, world.calls([GOOD]))

        assert (report.lines_read, report.accepted) == (1, 1)
        (record,) = world.usage()
        assert record["alias"] == "4930111000"
        assert record["called"] == "4930555"
        assert record["quantity"] == 61
        assert record["used_at"] == datetime(2026, 6, 10, 10)  # noqa: DTZ001
        assert (record["usage_on"], record["line_no"]) == (date(2026, 6, 10), 2)

    def test_keep_the_day_of_the_customers_time_zone(self, world: World) -> None:
        world.add_service(
            product_key="sip-trunk", kind="number", alias="1212555", timezone="America/New_York"
        )
        late = ("c1", "1212555", "+4930555", "2026-07-01 02:00:00", "60")

        bring_in(world, world.calls([late]))

        assert world.usage()[0]["usage_on"] == date(2026, 6, 30)

    def test_keep_fractions_of_a_unit_exactly(self, world: World) -> None:
        world.add_service(product_key="cloud", kind="subscription", alias="sub-1")
        rows = [
            ("r1", "sub-1", "vm-hour", "0.000001", "2026-06-01 00:00:00"),
            ("r2", "sub-1", "vm-hour", "123456789.123456", "2026-06-01 00:00:00"),
            ("r3", "sub-1", "vm-hour", "0.0000001", "2026-06-01 00:00:00"),
        ]

        report = bring_in(world, world.cloud(rows), CLOUD)

        assert [row["quantity"] for row in world.usage()] == [1, 123456789123456]
        assert report.suspense == 1
        assert reasons(world) == {4: "bad_quantity"}

    def test_may_stand_in_quotes_and_in_another_order(self, world: World, line: int) -> None:
        path = world.folder / "other.csv"
        path.write_bytes(
            b"\xef\xbb\xbfduration_s,note,called_number,call_id,calling_number,start_time\r\n"
            b'"90","a ""b"", c",+4930555,c1,"+49 30 111000",2026-06-10 12:00:00\r\n'
            b"\r\n"
            b"30,,+4930555,c2,+4930111000,2026-06-10 13:00:00"
        )

        report = bring_in(world, path)

        assert (report.lines_read, report.accepted) == (2, 2)
        assert [(row["quantity"], row["line_no"]) for row in world.usage()] == [(90, 2), (30, 4)]


class TestBadLines:
    def test_wait_with_line_number_and_reason(self, world: World, line: int) -> None:
        world.add_service(
            product_key="sip-trunk",
            kind="number",
            alias="4940999",
            valid_from=date(2026, 6, 15),
        )
        path = world.folder / "bad.csv"
        rows = [
            b"call_id,calling_number,called_number,start_time,duration_s",
            b"c1,+4930111000,+4930555,2026-06-10 12:00:00,61",
            b"c2,+4930111000,+4930555,2026-06-10 12:00:00",
            b"c3,+4930111000,+4930555,2026-06-31 12:00:00,61",
            b"c4,+4930111000,+4930555,2026-06-10 12:00:00,-5",
            b"c5,+4930111000,+4930555,2026-06-10 12:00:00,1.5",
            b"c6,+4930111000,anonymous,2026-06-10 12:00:00,61",
            b"c7,+4930222000,+4930555,2026-06-10 12:00:00,61",
            b"c8,+4940999,+4930555,2026-06-10 12:00:00,61",
            b"c9,,+4930555,2026-06-10 12:00:00,61",
            b",+4930111000,+4930555,2026-06-10 12:00:00,61",
            b'c11,"+4930111000,+4930555,2026-06-10 12:00:00,61',
            b"c12\xff,+4930111000,+4930555,2026-06-10 12:00:00,61",
            b"c13,+4930111000,+4930555,2024-06-10 12:00:00,61",
            b"c14,+4930111000,+4930555,2027-06-10 12:00:00,61",
            b"c15\x01,+4930111000,+4930555,2026-06-10 12:00:00,61",
            b"c16," + b"1" * 70_000,
            b"c17,+4930111000,+1234567890123456,2026-06-10 12:00:00,61",
        ]
        path.write_bytes(b"\n".join(rows))

        report = bring_in(world, path)

        assert reasons(world) == {
            3: "broken_line",
            4: "bad_time",
            5: "bad_quantity",
            6: "bad_quantity",
            7: "bad_number",
            8: "unknown_alias",
            9: "alias_not_active",
            10: "bad_alias",
            11: "bad_record_id",
            12: "broken_line",
            13: "bad_encoding",
            14: "too_old",
            15: "in_future",
            16: "bad_encoding",
            17: "bad_encoding",
            18: "bad_number",
        }
        assert (report.lines_read, report.accepted, report.suspense) == (17, 1, 16)
        with world.store.read() as tx:
            waiting = open_lines(tx=tx, limit=1)[0]
            assert waiting.raw == rows[2].decode()
            assert waiting.reason
            assert sum(row["lines"] for row in open_counts(tx)) == 16

    def test_leave_a_file_without_one_good_line_registered(self, world: World, line: int) -> None:
        report = bring_in(world, world.calls([("c1", "+999", "+1", "never", "x")]))

        assert (report.accepted, report.suspense) == (0, 1)
        assert world.usage() == []


class TestDuplicates:
    def test_are_found_in_the_file_and_in_earlier_files(self, world: World, line: int) -> None:
        bring_in(world, world.calls([GOOD]))
        second = ("c2", *GOOD[1:])
        again = world.calls([GOOD, second, second], name="again.csv")

        report = bring_in(world, again)

        assert (report.accepted, report.duplicate, report.suspense) == (1, 2, 0)
        assert [row["record_id"] for row in world.usage()] == ["c1", "c2"]

    def test_are_not_made_by_a_broken_line_before(self, world: World, line: int) -> None:
        broken = ("c1", NUMBER, "+4930555", "2026-06-10 12:00:00", "many")

        report = bring_in(world, world.calls([broken, GOOD]))

        assert (report.accepted, report.duplicate, report.suspense) == (1, 0, 1)

    def test_of_a_whole_file_are_refused_naming_when(self, world: World, line: int) -> None:
        bring_in(world, world.calls([GOOD]))
        renamed = world.calls([GOOD], name="renamed.csv")

        with pytest.raises(UsageFileAlreadyLoaded, match=r"loaded on 2026-07-02 at 08:00 UTC"):
            bring_in(world, renamed)

        assert len(world.usage()) == 1


class TestReplay:
    def test_takes_in_what_a_fix_made_good(self, world: World, line: int) -> None:
        stranger = ("c2", "+4930222000", "+4930555", "2026-06-10 12:00:00", "30")
        odd = ("c3", NUMBER, "nobody", "2026-06-10 12:00:00", "30")
        bring_in(world, world.calls([GOOD, stranger, odd]))
        world.add_alias(line, kind="number", alias="+4930222000")

        report = replay_suspense(store=world.store, lake=world.lake, feed=CDR, now=NOW)

        assert (report.lines, report.accepted, report.still_waiting) == (2, 1, 1)
        assert reasons(world) == {4: "bad_number"}
        assert [row["record_id"] for row in world.usage()] == ["c1", "c2"]
        with world.store.read() as tx:
            counts = tx.execute(
                select(usage_file.c.accepted, usage_file.c.suspense, usage_file.c.lines_read)
            ).one()
        assert counts == (2, 1, 3)

    def test_drops_what_came_again_in_a_corrected_file(self, world: World, line: int) -> None:
        stranger = ("c2", "+4930222000", "+4930555", "2026-06-10 12:00:00", "30")
        bring_in(world, world.calls([stranger]))
        world.add_alias(line, kind="number", alias="+4930222000")
        bring_in(world, world.calls([stranger, GOOD], name="corrected.csv"))

        report = replay_suspense(store=world.store, lake=world.lake, feed=CDR, now=NOW)

        assert (report.accepted, report.duplicate) == (0, 1)
        assert len(world.usage()) == 2
        with world.store.read() as tx:
            assert tx.execute(select(suspense.c.state)).scalars().all() == ["dropped"]


class TestFiles:
    def test_without_a_column_of_the_feed_are_refused(self, world: World) -> None:
        path = world.write("odd.csv", ("call_id", "start_time"), [])

        with pytest.raises(UnreadableUsageFile, match="lacks the columns calling_number"):
            bring_in(world, path)

    def test_that_are_empty_or_missing_are_refused(self, world: World) -> None:
        empty = world.folder / "empty.csv"
        empty.write_text("\n")

        with pytest.raises(UnreadableUsageFile, match="is empty"):
            bring_in(world, empty)
        with pytest.raises(UsageFileMissing):
            bring_in(world, world.folder / "gone.csv")

    def test_go_to_the_archive_after_the_import(self, world: World, line: int) -> None:
        path = world.calls([GOOD])
        archive = world.folder / "done"

        import_usage_file(
            store=world.store, lake=world.lake, feed=CDR, path=path, now=NOW, archive=archive
        )

        assert not path.exists()
        assert (archive / "calls.csv").exists()

    def test_of_a_crashed_import_are_swept_and_nothing_else(self, world: World, line: int) -> None:
        bring_in(world, world.calls([GOOD]))
        (published,) = (world.lake.root / "usage").glob("*/*.parquet")
        orphan = published.with_name("crashed.parquet")
        orphan.write_bytes(published.read_bytes())
        draft = published.with_name(".half.draft")
        draft.write_bytes(b"PAR1")

        with world.store.transaction() as tx:
            removed = world.lake.remove_orphans(tx=tx)

        assert removed == 2
        assert published.exists()
        assert not orphan.exists()

    def test_being_worked_on_are_not_swept(self, world: World) -> None:
        with world.lake.workspace() as busy:
            (busy / "spool").write_text("half a file")
            abandoned = busy.with_name("work-of-a-dead-process")
            abandoned.mkdir()
            (abandoned / "in-use").touch()

            with world.store.transaction() as tx:
                world.lake.remove_orphans(tx=tx)

            assert (busy / "spool").exists()
            assert not abandoned.exists()

    def test_leave_nothing_behind_when_the_import_fails(
        self, world: World, line: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(world.lake, "publish", _disk_full)

        with pytest.raises(OSError, match="disk full"):
            bring_in(world, world.calls([GOOD]))

        with world.store.read() as tx:
            assert tx.execute(select(func.count()).select_from(usage_file)).scalar() == 0
            assert tx.execute(select(func.count()).select_from(lake_file)).scalar() == 0
        assert [path for path in world.lake.root.rglob("*") if path.is_file()] == []

    def test_can_be_imported_again_after_a_crash_before_the_commit(
        self, world: World, line: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = world.calls([GOOD])
        publish = world.lake.publish

        def crash(**values: Any) -> Path:
            publish(**values)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(world.lake, "publish", crash)
            with pytest.raises(KeyboardInterrupt):
                bring_in(world, path)

        report = bring_in(world, path)
        with world.store.transaction() as tx:
            removed = world.lake.remove_orphans(tx=tx)

        assert (report.accepted, removed) == (1, 1)
        assert len(world.usage()) == 1

    def test_at_the_same_time_are_loaded_once(self, world: World, line: int) -> None:
        path = world.calls([GOOD])

        def attempt(_: int) -> str:
            try:
                bring_in(world, path)
            except UsageFileAlreadyLoaded:
                return "refused"
            return "loaded"

        with ThreadPoolExecutor(3) as pool:
            outcomes = Counter(pool.map(attempt, range(3)))

        assert outcomes == {"loaded": 1, "refused": 2}
        assert len(world.usage()) == 1


def _disk_full(**_: object) -> None:
    raise OSError("disk full")


class TestVolume:
    def test_accounts_for_every_line_of_a_large_file(self, world: World, line: int) -> None:
        lines = 120_000
        rows = (
            (f"c{n % 110_000}", NUMBER, "+4930555", "2026-06-10 12:00:00", n % 3_600)
            if n % 1_000
            else (f"c{n}", "nobody", "", "", "")
            for n in range(lines)
        )

        report = bring_in(world, world.calls(rows))

        assert report.lines_read == lines
        assert report.accepted == 109_890
        assert Counter(reasons(world).values()).keys() == {"bad_time"}
        assert report.accepted + report.duplicate + report.suspense == lines
