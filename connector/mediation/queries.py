"""The reads and writes of usage files and suspense."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, text, update

from connector.store.engine import copy_rows
from connector.store.tables.usage import suspense, usage_file

_NEXT_ID = text("SELECT nextval(pg_get_serial_sequence('usage_file', 'id'))")
_SUSPENSE_COLUMNS = (
    "usage_file_id",
    "line_no",
    "stage",
    "reason_code",
    "reason",
    "raw",
    "created_at",
)


@dataclass(frozen=True, slots=True)
class SuspenseLine:
    """A line that waits."""

    usage_file_id: int
    feed: str
    file: str
    line_no: int
    stage: str
    reason_code: str
    reason: str
    raw: str


def next_file_id(tx: Connection) -> int:
    """Return the id of the usage file about to be registered."""
    return int(tx.execute(_NEXT_ID).scalar_one())


def file_loaded_at(*, tx: Connection, feed: str, sha256: str) -> tuple[str, datetime] | None:
    """Return name and time of the file with this content, when it is loaded."""
    row = tx.execute(
        select(usage_file.c.name, usage_file.c.imported_at).where(
            usage_file.c.feed == feed, usage_file.c.sha256 == sha256
        )
    ).one_or_none()
    return None if row is None else (row.name, row.imported_at)


def register_file(
    *,
    tx: Connection,
    file_id: int,
    feed: str,
    name: str,
    sha256: str,
    header: Sequence[str],
    lines_read: int,
    accepted: int,
    duplicate: int,
    suspense_count: int,
    now: datetime,
) -> None:
    """Record a file and what became of its lines."""
    tx.execute(
        insert(usage_file).values(
            id=file_id,
            feed=feed,
            name=name,
            sha256=sha256,
            header=list(header),
            lines_read=lines_read,
            accepted=accepted,
            duplicate=duplicate,
            suspense=suspense_count,
            imported_at=now,
        )
    )


def add_suspense(
    *,
    tx: Connection,
    file_id: int,
    lines: Iterable[tuple[int, str, str]],
    reasons: dict[str, str],
    now: datetime,
) -> int:
    """Keep lines (number, reason code, raw text) for replay; return how many."""
    return copy_rows(
        tx,
        suspense,
        _SUSPENSE_COLUMNS,
        (
            (file_id, line_no, "import", code, reasons[code], raw, now)
            for line_no, code, raw in lines
        ),
    )


def open_lines(*, tx: Connection, limit: int, feed: str | None = None) -> list[SuspenseLine]:
    """Return lines in suspense, oldest file first."""
    wanted = (
        select(
            suspense.c.usage_file_id,
            usage_file.c.feed,
            usage_file.c.name.label("file"),
            suspense.c.line_no,
            suspense.c.stage,
            suspense.c.reason_code,
            suspense.c.reason,
            suspense.c.raw,
        )
        .join(usage_file, usage_file.c.id == suspense.c.usage_file_id)
        .where(suspense.c.state == "open")
        .order_by(suspense.c.usage_file_id, suspense.c.line_no)
        .limit(limit)
    )
    if feed is not None:
        wanted = wanted.where(usage_file.c.feed == feed)
    return [SuspenseLine(**row._mapping) for row in tx.execute(wanted)]


def open_counts(tx: Connection) -> list[dict[str, Any]]:
    """Return how many lines wait, by feed, stage and reason."""
    rows = tx.execute(
        select(
            usage_file.c.feed,
            suspense.c.stage,
            suspense.c.reason_code,
            func.min(suspense.c.reason).label("reason"),
            func.count().label("lines"),
        )
        .join(usage_file, usage_file.c.id == suspense.c.usage_file_id)
        .where(suspense.c.state == "open")
        .group_by(usage_file.c.feed, suspense.c.stage, suspense.c.reason_code)
        .order_by(usage_file.c.feed, func.count().desc())
    )
    return [{str(name): value for name, value in row._mapping.items()} for row in rows]


def files_with_open_lines(tx: Connection, feed: str) -> list[tuple[int, tuple[str, ...]]]:
    """Return the files of a feed that have lines in suspense since import, with their headers."""
    rows = tx.execute(
        select(usage_file.c.id, usage_file.c.header)
        .where(
            usage_file.c.feed == feed,
            usage_file.c.id.in_(
                select(suspense.c.usage_file_id).where(
                    suspense.c.state == "open", suspense.c.stage == "import"
                )
            ),
        )
        .order_by(usage_file.c.id)
    )
    return [(row.id, tuple(row.header)) for row in rows]


def import_lines(*, tx: Connection, file_id: int) -> list[tuple[int, str]]:
    """Return number and raw text of a file's lines in suspense since import, locked."""
    rows = tx.execute(
        select(suspense.c.line_no, suspense.c.raw)
        .where(
            suspense.c.usage_file_id == file_id,
            suspense.c.state == "open",
            suspense.c.stage == "import",
        )
        .order_by(suspense.c.line_no)
        .with_for_update()
    )
    return [(row.line_no, row.raw) for row in rows]


def settle_lines(*, tx: Connection, file_id: int, lines: Sequence[int], state: str) -> None:
    """Close lines in suspense: `replayed` became usage, `dropped` was a duplicate after all."""
    if not lines:
        return
    tx.execute(
        update(suspense)
        .where(
            suspense.c.usage_file_id == file_id,
            suspense.c.stage == "import",
            suspense.c.line_no.in_(lines),
        )
        .values(state=state)
    )
    counter = {"replayed": usage_file.c.accepted, "dropped": usage_file.c.duplicate}[state]
    tx.execute(
        update(usage_file)
        .where(usage_file.c.id == file_id)
        .values(
            {counter.name: counter + len(lines), "suspense": usage_file.c.suspense - len(lines)}
        )
    )


def restate_reasons(
    *, tx: Connection, file_id: int, lines: Sequence[tuple[int, str]], reasons: dict[str, str]
) -> None:
    """Renew the reason of lines (number, reason code) that still wait."""
    if lines:
        tx.execute(
            update(suspense)
            .where(
                suspense.c.usage_file_id == file_id,
                suspense.c.stage == "import",
                suspense.c.line_no == bindparam("of_line"),
            )
            .values(reason_code=bindparam("code"), reason=bindparam("why")),
            [{"of_line": line, "code": code, "why": reasons[code]} for line, code in lines],
        )
