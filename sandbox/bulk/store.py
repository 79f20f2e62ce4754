"""Jobs and their data in SQLite, so that a chunk of rows and its results are saved together."""

import sqlite3
import zlib
from collections.abc import Iterator, Sequence

import orjson

from ..ids import make_id
from .job import FINAL, JOB_PREFIX, Job, State

TABLES = (
    "CREATE TABLE IF NOT EXISTS sandbox_bulk_job (id TEXT PRIMARY KEY, is_query INTEGER NOT NULL,"
    " state TEXT NOT NULL, changed_s INTEGER NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS sandbox_bulk_data (job TEXT NOT NULL, kind TEXT NOT NULL,"
    " place INTEGER NOT NULL, count INTEGER NOT NULL, content BLOB NOT NULL,"
    " PRIMARY KEY (job, kind, place))",
)
COUNTER = "bulk job"
UPLOAD = "upload"
FAST = 1  # rows of a load are so alike that more effort hardly packs them smaller
PACKED = b"x\x01"  # how data packed fast begins; data of earlier days is not packed


def create_tables(connection: sqlite3.Connection) -> None:
    """Create the tables of jobs where they are missing."""
    for sql in TABLES:
        connection.execute(sql)


def next_id(connection: sqlite3.Connection) -> str:
    """Return the id of a new job."""
    sql = (
        "INSERT INTO sandbox_counter (object, next) VALUES (?, 2) "
        "ON CONFLICT (object) DO UPDATE SET next = next + 1 RETURNING next"
    )
    (following,) = connection.execute(sql, (COUNTER,)).fetchone()
    return make_id(prefix=JOB_PREFIX, number=following - 1)


def save(connection: sqlite3.Connection, job: Job) -> None:
    """Write a job."""
    sql = (
        "INSERT OR REPLACE INTO sandbox_bulk_job (id, is_query, state, changed_s, body) "
        "VALUES (?, ?, ?, ?, ?)"
    )
    row = (job.id, int(job.is_query), job.state.value, job.changed_s, job.body())
    connection.execute(sql, row)


def find(connection: sqlite3.Connection, job_id: str, *, is_query: bool) -> Job | None:
    """Return a job."""
    sql = "SELECT body FROM sandbox_bulk_job WHERE id = ? AND is_query = ?"
    row = connection.execute(sql, (job_id, int(is_query))).fetchone()
    return Job.from_body(row[0]) if row is not None else None


def page(connection: sqlite3.Connection, *, is_query: bool, after: str, most: int) -> list[Job]:
    """Return jobs after an id, in the order of their creation."""
    sql = "SELECT body FROM sandbox_bulk_job WHERE is_query = ? AND id > ? ORDER BY id LIMIT ?"
    rows = connection.execute(sql, (int(is_query), after, most)).fetchall()
    return [Job.from_body(row[0]) for row in rows]


def due(connection: sqlite3.Connection, *, is_query: bool) -> str | None:
    """Return the oldest job that is to be worked off."""
    sql = (
        "SELECT id FROM sandbox_bulk_job WHERE is_query = ? AND state IN (?, ?) ORDER BY id LIMIT 1"
    )
    states = (State.IN_PROGRESS.value, State.UPLOAD_COMPLETE.value)
    row = connection.execute(sql, (int(is_query), *states)).fetchone()
    return str(row[0]) if row is not None else None


def delete(connection: sqlite3.Connection, job_id: str) -> None:
    """Remove a job and its data."""
    connection.execute("DELETE FROM sandbox_bulk_data WHERE job = ?", (job_id,))
    connection.execute("DELETE FROM sandbox_bulk_job WHERE id = ?", (job_id,))


def delete_all(connection: sqlite3.Connection) -> None:
    """Remove all jobs."""
    connection.execute("DELETE FROM sandbox_bulk_data")
    connection.execute("DELETE FROM sandbox_bulk_job")


def ended_before(connection: sqlite3.Connection, second: int) -> list[str]:
    """Return the jobs that reached a final state before a moment."""
    marks = ", ".join("?" * len(FINAL))
    sql = f"SELECT id FROM sandbox_bulk_job WHERE changed_s < ? AND state IN ({marks})"
    return [row[0] for row in connection.execute(sql, (second, *sorted(FINAL)))]


def open_since_before(connection: sqlite3.Connection, second: int) -> list[Job]:
    """Return the jobs that wait for data since before a moment."""
    sql = "SELECT body FROM sandbox_bulk_job WHERE state = ? AND changed_s < ?"
    rows = connection.execute(sql, (State.OPEN.value, second)).fetchall()
    return [Job.from_body(row[0]) for row in rows]


# --- data ---


def put_upload(connection: sqlite3.Connection, job_id: str, content: bytes) -> bool:
    """Keep the one upload of a job; return False where there is one already."""
    sql = (
        "INSERT OR IGNORE INTO sandbox_bulk_data (job, kind, place, count, content) "
        "VALUES (?, ?, 0, 0, ?)"
    )
    return connection.execute(sql, (job_id, UPLOAD, _packed(content))).rowcount == 1


def upload(connection: sqlite3.Connection, job_id: str) -> bytes | None:
    """Return the upload of a job."""
    sql = "SELECT content FROM sandbox_bulk_data WHERE job = ? AND kind = ?"
    row = connection.execute(sql, (job_id, UPLOAD)).fetchone()
    return _unpacked(row[0]) if row is not None else None


def put_lines(connection: sqlite3.Connection, job: Job, kind: str, lines: Sequence[str]) -> None:
    """Append CSV rows, line endings included, to a result of a job."""
    if not lines:
        return
    sql = "INSERT INTO sandbox_bulk_data (job, kind, place, count, content) VALUES (?, ?, ?, ?, ?)"
    content = _packed(orjson.dumps(lines))
    connection.execute(sql, (job.id, kind, job.parts, len(lines), content))
    job.parts += 1


def line_count(connection: sqlite3.Connection, job_id: str, kind: str) -> int:
    """Return how many rows a result has."""
    sql = "SELECT COALESCE(SUM(count), 0) FROM sandbox_bulk_data WHERE job = ? AND kind = ?"
    return int(connection.execute(sql, (job_id, kind)).fetchone()[0])


def lines(
    connection: sqlite3.Connection, job_id: str, kind: str, *, start: int, most: int
) -> Iterator[str]:
    """Yield rows of a result."""
    sql = "SELECT place, count FROM sandbox_bulk_data WHERE job = ? AND kind = ? ORDER BY place"
    left, skip = most, start
    for place, count in connection.execute(sql, (job_id, kind)).fetchall():
        if left <= 0:
            return
        if skip >= count:
            skip -= count
            continue
        one = "SELECT content FROM sandbox_bulk_data WHERE job = ? AND kind = ? AND place = ?"
        (content,) = connection.execute(one, (job_id, kind, place)).fetchone()
        part = orjson.loads(_unpacked(content))[skip : skip + left]
        skip = 0
        left -= len(part)
        yield from part


def delete_lines(connection: sqlite3.Connection, job_id: str, kind: str) -> None:
    """Remove a result of a job."""
    sql = "DELETE FROM sandbox_bulk_data WHERE job = ? AND kind = ?"
    connection.execute(sql, (job_id, kind))


def _packed(content: bytes) -> bytes:
    return zlib.compress(content, level=FAST)


def _unpacked(content: bytes) -> bytes:
    return zlib.decompress(content) if content.startswith(PACKED) else content
