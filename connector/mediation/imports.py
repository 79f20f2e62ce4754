"""Imports a vendor's usage file: every line becomes usage, a duplicate, or waits in suspense."""

import shutil
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import structlog
from sqlalchemy import Connection

from connector.errors import InvalidInput, StateConflict
from connector.mediation.aliases import alias_spans
from connector.mediation.feeds import FeedDefinition
from connector.mediation.parse import (
    REASONS,
    Judgement,
    judge,
    lines_with,
    mark_duplicates,
    suspense_lines,
    write_usage,
)
from connector.mediation.queries import (
    add_suspense,
    file_loaded_at,
    files_with_open_lines,
    import_lines,
    next_file_id,
    register_file,
    restate_reasons,
    settle_lines,
)
from connector.mediation.spool import Spooled, spool_file, spool_lines
from connector.store.engine import Store, advisory_lock
from connector.store.lake import Draft, Lake

log = structlog.get_logger(__name__)


class UsageFileAlreadyLoaded(StateConflict):
    """A file with the same content was imported before."""

    code = "mediation.file_already_loaded"
    remedy = "Nothing to do: its records are there. A corrected file has other content."


class UsageFileMissing(InvalidInput):
    """The file to import is not there."""

    code = "mediation.file_missing"
    remedy = "Check the path."


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a file's lines: accepted + duplicate + suspense = lines_read."""

    usage_file_id: int
    feed: str
    name: str
    lines_read: int
    accepted: int
    duplicate: int
    suspense: int

    def as_dict(self) -> dict[str, int | str]:
        """Return it for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What became of the lines of a feed that waited in suspense."""

    lines: int
    accepted: int
    duplicate: int
    still_waiting: int

    def as_dict(self) -> dict[str, int]:
        """Return it for JSON."""
        return asdict(self)


def import_usage_file(
    *,
    store: Store,
    lake: Lake,
    feed: FeedDefinition,
    path: Path,
    now: datetime,
    archive: Path | None = None,
) -> ImportReport:
    """Import one file; usage, suspense, counts and manifest appear together or not at all.

    Imports of one feed run one after another. With `archive` the file is moved there afterwards.

    Raises:
        UsageFileMissing: There is no such file.
        UsageFileAlreadyLoaded: Its content was imported before.
        UnreadableUsageFile: It is empty or lacks a column of the feed.
    """
    if not path.is_file():
        raise UsageFileMissing(f"There is no file {path}.")
    with lake.workspace() as folder:
        spooled = spool_file(path, folder / "spool", feed)
        with store.transaction() as tx, lake.session() as duck:
            advisory_lock(tx, f"mediation.import:{feed.name}")
            _refuse_known(tx, feed, path, spooled)
            report = _import(
                tx=tx, duck=duck, lake=lake, feed=feed, name=path.name, spooled=spooled, now=now
            )
    if archive is not None:
        _move(path, archive)
    log.info("usage.imported", **report.as_dict())
    return report


def replay_suspense(
    *, store: Store, lake: Lake, feed: FeedDefinition, now: datetime
) -> ReplayReport:
    """Judge the lines of a feed that wait since import once more, after a fix.

    Each file's lines are one transaction, so an interrupted replay loses nothing.
    """
    with store.read() as tx:
        files = files_with_open_lines(tx, feed.name)
    total = ReplayReport(0, 0, 0, 0)
    for file_id, header in files:
        one = _replay_file(
            store=store, lake=lake, feed=feed, file_id=file_id, header=header, now=now
        )
        total = ReplayReport(
            lines=total.lines + one.lines,
            accepted=total.accepted + one.accepted,
            duplicate=total.duplicate + one.duplicate,
            still_waiting=total.still_waiting + one.still_waiting,
        )
    log.info("usage.replayed", feed=feed.name, **total.as_dict())
    return total


def _refuse_known(tx: Connection, feed: FeedDefinition, path: Path, spooled: Spooled) -> None:
    known = file_loaded_at(tx=tx, feed=feed.name, sha256=spooled.sha256)
    if known is not None:
        name, at = known
        raise UsageFileAlreadyLoaded(
            f"{path.name} was loaded on {at:%Y-%m-%d at %H:%M} UTC as {name}."
        )


def _import(
    *,
    tx: Connection,
    duck: duckdb.DuckDBPyConnection,
    lake: Lake,
    feed: FeedDefinition,
    name: str,
    spooled: Spooled,
    now: datetime,
) -> ImportReport:
    judgement = _judge(
        tx=tx,
        duck=duck,
        lake=lake,
        feed=feed,
        spooled=spooled.path,
        header=spooled.header,
        now=now,
    )
    file_id = next_file_id(tx)
    register_file(
        tx=tx,
        file_id=file_id,
        feed=feed.name,
        name=name,
        sha256=spooled.sha256,
        header=spooled.header,
        lines_read=spooled.lines,
        accepted=judgement.accepted,
        duplicate=judgement.duplicate,
        suspense_count=judgement.suspense,
        now=now,
    )
    add_suspense(tx=tx, file_id=file_id, lines=suspense_lines(duck), reasons=REASONS, now=now)
    _publish(tx=tx, duck=duck, lake=lake, feed=feed, file_id=file_id, judgement=judgement, now=now)
    return ImportReport(
        usage_file_id=file_id,
        feed=feed.name,
        name=name,
        lines_read=spooled.lines,
        accepted=judgement.accepted,
        duplicate=judgement.duplicate,
        suspense=judgement.suspense,
    )


def _judge(
    *,
    tx: Connection,
    duck: duckdb.DuckDBPyConnection,
    lake: Lake,
    feed: FeedDefinition,
    spooled: Path,
    header: tuple[str, ...],
    now: datetime,
) -> Judgement:
    days = judge(
        duck,
        spooled=spooled,
        header=header,
        feed=feed,
        aliases=alias_spans(tx=tx, kind=feed.alias_kind),
        now=now,
    )
    retained: list[Path] = []
    if days is not None:
        reach = timedelta(days=feed.dedup_window_days)
        files = lake.usage_files(
            tx=tx, period_start=days[0] - reach, period_end=days[1] + reach, feed=feed.name
        )
        retained = [one.path for one in files]
    return mark_duplicates(duck, retained=retained)


def _publish(
    *,
    tx: Connection,
    duck: duckdb.DuckDBPyConnection,
    lake: Lake,
    feed: FeedDefinition,
    file_id: int,
    judgement: Judgement,
    now: datetime,
) -> None:
    if judgement.first_on is None or judgement.last_on is None:
        return
    draft: Draft = lake.begin(tx=tx, dataset="usage", month=judgement.first_on)
    try:
        write_usage(duck, target=draft.path, feed=feed, usage_file_id=file_id)
        lake.publish(
            tx=tx,
            draft=draft,
            rows=judgement.accepted,
            period_start=judgement.first_on,
            period_end=_next_day(judgement.last_on),
            now=now,
            feed=feed.name,
            usage_file_id=file_id,
        )
    finally:
        lake.discard(draft)


def _replay_file(
    *,
    store: Store,
    lake: Lake,
    feed: FeedDefinition,
    file_id: int,
    header: tuple[str, ...],
    now: datetime,
) -> ReplayReport:
    with lake.workspace() as folder, store.transaction() as tx, lake.session() as duck:
        advisory_lock(tx, f"mediation.import:{feed.name}")
        spool = folder / "spool"
        lines = spool_lines(import_lines(tx=tx, file_id=file_id), spool, feed)
        judgement = _judge(
            tx=tx, duck=duck, lake=lake, feed=feed, spooled=spool, header=header, now=now
        )
        _publish(
            tx=tx, duck=duck, lake=lake, feed=feed, file_id=file_id, judgement=judgement, now=now
        )
        for outcome, state in (("accepted", "replayed"), ("duplicate", "dropped")):
            settle_lines(tx=tx, file_id=file_id, lines=lines_with(duck, outcome), state=state)
        restate_reasons(
            tx=tx,
            file_id=file_id,
            lines=[(line_no, code) for line_no, code, _ in suspense_lines(duck)],
            reasons=REASONS,
        )
    return ReplayReport(
        lines=lines,
        accepted=judgement.accepted,
        duplicate=judgement.duplicate,
        still_waiting=judgement.suspense,
    )


def _move(path: Path, archive: Path) -> None:
    archive.mkdir(parents=True, exist_ok=True)
    target = archive / path.name
    number = 1
    while target.exists():
        number += 1
        target = archive / f"{path.stem}-{number}{path.suffix}"
    shutil.move(path, target)


def _next_day(day: date) -> date:
    return day + timedelta(days=1)
