"""The usage lake: Parquet files that count only once PostgreSQL's manifest lists them.

A writer fills a draft, moves it to its final name and lists it in its own transaction; so a crash
leaves at most a file nobody lists, which `remove_orphans` deletes.
"""

import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import structlog
from sqlalchemy import Connection, insert, select, text

from connector.store.engine import try_advisory_lock
from connector.store.tables.usage import lake_file, rating_run

log = structlog.get_logger(__name__)

_WRITERS = "lake.writers"
_LOCK_SHARED = text("SELECT pg_advisory_xact_lock_shared(hashtextextended(:key, 0))")
DEFAULT_MEMORY_MIB = 1024
_WORK_PREFIX = "work-"
_IN_USE = "in-use"  # locked as long as the process that works there lives


@dataclass(frozen=True, slots=True)
class Draft:
    """A Parquet file being written; nobody reads it before it is published."""

    dataset: str
    path: Path
    final: str


@dataclass(frozen=True, slots=True)
class LakeFile:
    """A published file."""

    id: int
    path: Path
    rows: int
    bytes: int
    period_start: date
    period_end: date


class Lake:
    """The folder of the Parquet files."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def session(
        self, *, memory_mib: int = DEFAULT_MEMORY_MIB, threads: int | None = None
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open an in-process DuckDB that spills into the lake's own temporary folder."""
        spill = self.root / "tmp"
        spill.mkdir(parents=True, exist_ok=True)
        config: dict[str, Any] = {
            "memory_limit": f"{memory_mib}MiB",
            "temp_directory": str(spill),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        if threads is not None:
            config["threads"] = threads
        connection = duckdb.connect(config=config)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")
            yield connection
        finally:
            connection.close()

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Return a folder for the time of a piece of work; the kernel knows whether it is in use.

        It lies in the lake, not in the system's temporary folder, which may be small or in memory.
        """
        parent = self.root / "tmp"
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_WORK_PREFIX, dir=parent))
        try:
            with (folder / _IN_USE).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def begin(self, *, tx: Connection, dataset: str, month: date) -> Draft:
        """Return a draft to write to; the transaction keeps orphan removal away from it."""
        tx.execute(_LOCK_SHARED, {"key": _WRITERS})
        name = uuid.uuid4().hex
        final = f"{dataset}/{month:%Y-%m}/{name}.parquet"
        (self.root / final).parent.mkdir(parents=True, exist_ok=True)
        return Draft(dataset, (self.root / final).with_name(f".{name}.draft"), final)

    def publish(
        self,
        *,
        tx: Connection,
        draft: Draft,
        rows: int,
        period_start: date,
        period_end: date,
        now: datetime,
        feed: str | None = None,
        usage_file_id: int | None = None,
        rating_run_id: int | None = None,
    ) -> Path:
        """Move a draft to its name and list it; it counts from the transaction's commit on."""
        final = self.root / draft.final
        size = draft.path.stat().st_size
        _sync(draft.path)
        draft.path.rename(final)
        _sync(final.parent)
        tx.execute(
            insert(lake_file).values(
                dataset=draft.dataset,
                feed=feed,
                path=draft.final,
                rows=rows,
                bytes=size,
                period_start=period_start,
                period_end=period_end,
                usage_file_id=usage_file_id,
                rating_run_id=rating_run_id,
                published_at=now,
            )
        )
        return final

    def discard(self, draft: Draft) -> None:
        """Throw a draft away."""
        draft.path.unlink(missing_ok=True)

    def usage_files(
        self,
        *,
        tx: Connection,
        period_start: date,
        period_end: date,
        feed: str | None = None,
    ) -> tuple[LakeFile, ...]:
        """Return the usage files with records on days from start up to, not including, end."""
        wanted = select(lake_file).where(
            lake_file.c.dataset == "usage",
            lake_file.c.period_start < period_end,
            lake_file.c.period_end > period_start,
        )
        if feed is not None:
            wanted = wanted.where(lake_file.c.feed == feed)
        return tuple(
            LakeFile(
                id=row.id,
                path=self.root / row.path,
                rows=row.rows,
                bytes=row.bytes,
                period_start=row.period_start,
                period_end=row.period_end,
            )
            for row in tx.execute(wanted.order_by(lake_file.c.id))
        )

    def rated_paths(self, *, tx: Connection, period_start: date) -> tuple[Path, ...]:
        """Return the files of the published rating run of a period."""
        rows = tx.execute(
            select(lake_file.c.path)
            .join(rating_run, rating_run.c.id == lake_file.c.rating_run_id)
            .where(
                lake_file.c.dataset == "rated",
                rating_run.c.state == "published",
                lake_file.c.period_start == period_start,
            )
            .order_by(lake_file.c.id)
        )
        return tuple(self.root / row.path for row in rows)

    def remove_orphans(self, *, tx: Connection) -> int:
        """Delete files that no manifest row lists, when nobody is writing; return how many."""
        if not self.root.is_dir() or not try_advisory_lock(tx, _WRITERS):
            return 0
        listed = set(tx.execute(select(lake_file.c.path)).scalars())
        removed = 0
        for dataset in ("usage", "rated"):
            for path in (self.root / dataset).glob("*/*"):
                if path.relative_to(self.root).as_posix() not in listed:
                    path.unlink(missing_ok=True)
                    removed += 1
        for folder in (self.root / "tmp").glob(f"{_WORK_PREFIX}*"):
            if _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)
        if removed:
            log.info("lake.orphans_removed", count=removed)
        return removed


def sql_list(paths: Sequence[Path]) -> str:
    """Return paths as a DuckDB list literal."""
    return "[" + ", ".join(sql_text(str(path)) for path in paths) + "]"


def sql_text(value: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def _is_abandoned(folder: Path) -> bool:
    try:
        handle = os.open(folder / _IN_USE, os.O_RDWR)
    except FileNotFoundError:
        return False  # just being made
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
