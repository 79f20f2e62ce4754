"""Works off an ingest job: chunk by chunk, each with its results in one transaction.

Rows whose locks are held wait until the end and are tried again, as often as an org tries.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from .. import clock
from ..errors import ApiError, RowError
from ..ids import normalize
from ..records import recycle
from ..records.delete import delete_record
from ..records.save import Writer
from ..records.service import JsonRow, Outcome, create, update, upsert
from ..records.transaction import Actor
from ..schema.model import ObjectType
from . import store
from .columns import Columns
from .job import Job, State
from .text import BadUploadError, Upload, written

if TYPE_CHECKING:
    from ..org import Org

CHUNK = 200
BATCH = 10_000
LOCK_RETRIES = 20
LOCKED = "UNABLE_TO_LOCK_ROW"
SUCCESSFUL, FAILED = "successful", "failed"
FAILED_IDS_FROM = 53.0
MS = 1_000
Numbered = list[tuple[int, list[str]]]


class StoppedError(Exception):
    """The job was aborted, deleted or forgotten while it was worked off."""


class Ingest:
    """The run of one job."""

    def __init__(self, org: "Org", job: Job, actor: Actor) -> None:
        self._org = org
        self._id = job.id
        self._actor = actor
        self._began_s = clock.monotonic_s()
        schema = actor.view or org.schema
        found = schema.find(job.object)
        with org.database.read() as connection:
            content = store.upload(connection, job.id)
        if found is None:
            raise BadUploadError(f"InvalidEntity : Unable to find object: {job.object}")
        if content is None:
            raise BadUploadError("InvalidBatch : The job has no data")
        self._item: ObjectType = found
        self._upload = Upload(content, job)
        self._columns = Columns(self._upload.header, job, found, schema)
        self.row_count = self._upload.check()

    def run(self, job: Job, *, stopping: Callable[[], bool]) -> None:
        """Save all rows that are not saved yet.

        Raises:
            StoppedError: Somebody else ended the job, or the org is closing.
            BadUploadError: The allowance of batches is used up.
        """
        number = job.next_row
        rows = self._upload.rows(number)
        while chunk := list(islice(rows, CHUNK)):
            if number % BATCH == 0 and not self._org.bulk.batches.count():
                raise BadUploadError("ExceededQuota : ApiBatchItems Limit exceeded.")
            if stopping():
                raise StoppedError
            numbered = list(enumerate(chunk, number))
            self._chunk(numbered, retry=False)
            number += len(chunk)
            clock.pause(0)  # let those in who wait for the database
        self._retry(job, stopping)

    def _retry(self, job: Job, stopping: Callable[[], bool]) -> None:
        while True:
            if stopping():
                raise StoppedError
            with self._org.database.read() as connection:
                current = store.find(connection, job.id, is_query=False)
            if current is None or not current.waiting:
                return
            waiting = current.waiting[:CHUNK]
            numbered = list(self._picked(waiting))
            self._org.locks.patiently(partial(self._chunk, numbered, retry=True))

    def _picked(self, numbers: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
        wanted = set(numbers)
        for number, row in enumerate(self._upload.rows(0)):
            if number in wanted:
                yield number, row

    def _chunk(self, numbered: Numbered, *, retry: bool) -> None:
        """Save rows and their results in one transaction."""
        began_s = clock.monotonic_s()
        shown = [row for _, row in numbered]
        cells = [list(row) for row in shown]  # may be waited for and run again
        rows = self._columns.rows(cells)
        with self._org.transaction(self._actor, request_id=self._id) as writer:
            connection = writer.tx.connection
            job = store.find(connection, self._id, is_query=False)
            if job is None or job.state is not State.IN_PROGRESS:
                raise StoppedError
            outcomes = self._save(writer, job, rows, cells)
            if retry:
                job.retries += 1
                job.waiting = job.waiting[len(numbered) :]
            else:
                job.next_row += len(numbered)
            may_wait = job.retries < LOCK_RETRIES
            done: list[tuple[Outcome, list[str]]] = []
            for (number, _), row, outcome in zip(numbered, shown, outcomes, strict=True):
                if may_wait and any(error.code == LOCKED for error in outcome.errors):
                    job.waiting.append(number)
                else:
                    done.append((outcome, row))
            self._note(writer, job, done)
            job.changed_s = writer.tx.now_s
            job.active_ms += int((clock.monotonic_s() - began_s) * MS)
            job.total_ms = max(job.total_ms, int((clock.monotonic_s() - self._began_s) * MS))
            store.save(connection, job)

    def _note(self, writer: Writer, job: Job, done: Sequence[tuple[Outcome, list[str]]]) -> None:
        creates = {True: "true", False: "false"}
        good = [(o.id or "", creates[o.created], *row) for o, row in done if o.success]
        names_ids = float(job.version) >= FAILED_IDS_FROM
        bad = [
            (
                self._failed_id(o, row) if names_ids else "",
                self._columns.explain(o.errors, row),
                *row,
            )
            for o, row in done
            if not o.success
        ]
        connection = writer.tx.connection
        store.put_lines(connection, job, SUCCESSFUL, written(iter(good), job))
        store.put_lines(connection, job, FAILED, written(iter(bad), job))
        job.processed += len(done)
        job.failed += len(bad)

    def _failed_id(self, outcome: Outcome, row: Sequence[str]) -> str:
        if outcome.created:
            return ""
        by_id = self._columns.key >= 0 and self._columns.key_name == "Id"
        return outcome.id or (row[self._columns.key] if by_id else "")

    # --- saving ---

    def _save(
        self, writer: Writer, job: Job, rows: list[JsonRow], cells: Sequence[list[str]]
    ) -> list[Outcome]:
        """Save rows together; where a standard object refuses as a whole, one by one."""
        mark = set(writer.tx.messages)
        try:
            with writer.tx.savepoint():
                return self._write(writer, job, rows, cells)
        except ApiError:
            writer.tx.messages = mark
        outcomes = []
        for row, cell in zip(rows, cells, strict=True):
            try:
                with writer.tx.savepoint():
                    outcomes += self._write(writer, job, [row], [cell])
            except ApiError as error:
                reason = RowError(error.code, error.message, error.fields or ())
                outcomes.append(Outcome(id=None, created=True, errors=(reason,)))
        return outcomes

    def _write(
        self, writer: Writer, job: Job, rows: list[JsonRow], cells: Sequence[list[str]]
    ) -> list[Outcome]:
        item, key = self._item, self._columns.key
        if job.operation == "insert":
            return create(writer, item, rows)
        if job.operation in {"delete", "hardDelete"}:
            hard = job.operation == "hardDelete"
            return [self._delete(writer, cell[key], hard=hard) for cell in cells]
        keyed = list(zip(self._columns.keys(cells), rows, strict=True))
        if job.operation == "update":
            return update(writer, item, keyed)
        field = item.by_name[self._columns.key_name.lower()]
        return upsert(writer, item, field, keyed)

    def _delete(self, writer: Writer, text: str, *, hard: bool) -> Outcome:
        record_id = normalize(text)
        if record_id is None or record_id[:3] != self._item.prefix:
            malformed = RowError("MALFORMED_ID", f"malformed id {text}", ("Id",))
            return Outcome(id=text, created=False, errors=(malformed,))
        error = delete_record(writer, record_id)
        if error is None and hard:
            recycle.remove_for_good(writer.tx.connection, writer.tx.schema, record_id)
        errors = (error,) if error is not None else ()
        return Outcome(id=record_id, created=False, errors=errors)
