"""The jobs of an org, and the two workers that work them off behind the calls."""

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .. import clock
from ..errors import ApiError
from ..limits import MB, Meter, whole_mb
from ..origin import origin
from ..records.transaction import Actor
from . import store
from .errors import exceeded_quota
from .extract import extract
from .ingest import Ingest, StoppedError
from .job import Job, State
from .text import BadUploadError

if TYPE_CHECKING:
    from ..org import Org

BATCHES_KEY, QUERIES_KEY = "DailyBulkApiBatches", "DailyBulkV2QueryJobs"
RESULTS_KEY = "DailyBulkV2QueryFileStorageMB"
MOST_RECORDS = 150_000_000  # uploaded within 24 hours (fact sheet E.5)
OPEN_S = 24 * 3_600
KEPT_S = 7 * 24 * 3_600
JOIN_S = 5.0
LOG = logging.getLogger("l2c_sandbox")


class BulkJobs:
    """All jobs of one org; they are kept in its database."""

    def __init__(self, org: "Org") -> None:
        self._org = org
        self._news = threading.Condition()
        self._version = 0
        self._closing = False
        self._threads: list[threading.Thread] = []
        limits = org.profile.limits
        self.batches = Meter(limits[BATCHES_KEY])
        self.query_jobs = Meter(limits[QUERIES_KEY])
        self.result_bytes = Meter(limits[RESULTS_KEY] * MB)
        self.records = Meter(MOST_RECORDS)
        with org.database.write() as connection:
            store.create_tables(connection)
            left = [store.due(connection, is_query=is_query) for is_query in (False, True)]
        if any(left):
            self.wake()  # a predecessor was stopped in the middle of them

    def used(self) -> dict[str, int]:
        """Return what is used of the allowances that `/limits` names."""
        return {
            BATCHES_KEY: self.batches.used,
            QUERIES_KEY: self.query_jobs.used,
            RESULTS_KEY: whole_mb(self.result_bytes.used),
        }

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Change jobs in one transaction, without those that are too old to be there still."""
        with self._org.database.write() as connection:
            self._tidy(connection)
            yield connection
        self.wake()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read jobs, without those that are too old to be there still."""
        now_s = clock.epoch_s()
        with self._org.database.read() as connection:
            old = store.open_since_before(connection, now_s - OPEN_S)
            is_tidy = not old and not store.ended_before(connection, now_s - KEPT_S)
            if is_tidy:
                yield connection
                return
        with self.changing() as connection:
            yield connection

    def count_query(self) -> None:
        """Count a query job.

        Raises:
            ApiError: EXCEEDEDQUOTA.
        """
        if not self.query_jobs.count():
            raise exceeded_quota("Daily limit of Bulk API 2.0 query jobs exceeded.")

    def check_quota(self) -> None:
        """Refuse a new ingest job where nothing may be uploaded any more.

        Raises:
            ApiError: EXCEEDEDQUOTA.
        """
        if self.batches.used >= self.batches.most:
            raise exceeded_quota("ApiBatchItems Limit exceeded.")
        if self.records.used >= self.records.most:
            raise exceeded_quota("Daily limit of uploaded records exceeded.")

    def forget(self) -> None:
        """Drop all jobs, as after a reset; what is being worked off stops by itself."""
        with self._org.database.write() as connection:
            store.delete_all(connection)
        limits = self._org.profile.limits
        self.batches.set(most=limits[BATCHES_KEY], used=0)
        self.query_jobs.set(most=limits[QUERIES_KEY], used=0)
        self.result_bytes.set(most=limits[RESULTS_KEY] * MB, used=0)
        self.records.set(most=MOST_RECORDS, used=0)

    def wake(self) -> None:
        """Tell the workers that there may be something to do; the first time starts them."""
        with self._news:
            if self._closing:
                return
            self._version += 1
            self._news.notify_all()
            if not self._threads:
                self._threads = [self._thread(is_query) for is_query in (False, True)]

    def close(self) -> None:
        """Stop the workers; what they did not finish goes on when the data is opened again."""
        with self._news:
            self._closing = True
            self._news.notify_all()
        for thread in self._threads:
            thread.join(timeout=JOIN_S)

    # --- working off ---

    def _thread(self, is_query: bool) -> threading.Thread:
        name = f"bulk {'query' if is_query else 'ingest'}"
        thread = threading.Thread(target=self._work, args=(is_query,), name=name, daemon=True)
        thread.start()
        return thread

    def _work(self, is_query: bool) -> None:
        seen = -1
        while True:
            with self._news:
                if not self._closing and self._version == seen:
                    self._news.wait()
                if self._closing:
                    return
                seen = self._version
            try:
                while not self._closing and self._one(is_query):
                    continue
            except sqlite3.ProgrammingError:
                if not self._closing:  # else the database was closed under a slow chunk
                    raise

    def _one(self, is_query: bool) -> bool:
        """Work off the oldest job; return whether there was one."""
        with self._org.database.write() as connection:
            job_id = store.due(connection, is_query=is_query)
            job = store.find(connection, job_id, is_query=is_query) if job_id else None
            if job is None:
                return False
            job.state = State.IN_PROGRESS
            job.changed_s = clock.epoch_s()
            store.save(connection, job)
        try:
            self._run(job)
            self._end(job, State.JOB_COMPLETE)
        except StoppedError:
            return True
        except BadUploadError as error:
            self._end(job, State.FAILED, str(error))
        except ApiError as error:
            self._end(job, State.FAILED, f"InvalidBatch : {error.code}: {error.message}")
        except sqlite3.ProgrammingError:
            raise
        except Exception:
            LOG.exception("sandbox.bug bulk_job=%s", job.id)
            self._end(job, State.FAILED, "Unknown : An unexpected error occurred.")
        return True

    def _run(self, job: Job) -> None:
        if job.is_query:
            extract(self._org, job, self._actor(job))
            return
        origin.set(job.origin)
        ingest = Ingest(self._org, job, self._actor(job))
        if job.next_row == 0 and ingest.row_count and not self.records.count(ingest.row_count):
            raise BadUploadError("ExceededQuota : Daily limit of uploaded records exceeded.")
        ingest.run(job, stopping=lambda: self._closing)

    def _actor(self, job: Job) -> Actor:
        """Return the job's user as they are now."""
        org = self._org
        session = org.sessions.begin(job.username, organization_id=org.organization_id)
        if session is None:
            raise BadUploadError(f"InvalidUser : {job.username} is not active")
        org.sessions.end(session.token)
        return session.actor

    def _end(self, job: Job, state: State, error: str | None = None) -> None:
        with self._org.database.write() as connection:
            current = store.find(connection, job.id, is_query=job.is_query)
            if current is None or current.state is not State.IN_PROGRESS:
                return
            current.state, current.error = state, error
            current.changed_s = clock.epoch_s()
            store.save(connection, current)

    def _tidy(self, connection: sqlite3.Connection) -> None:
        now_s = clock.epoch_s()
        for job in store.open_since_before(connection, now_s - OPEN_S):
            job.state, job.changed_s = State.FAILED, job.changed_s + OPEN_S
            job.error = "ExceededQuota : The job was open for more than 24 hours."
            store.save(connection, job)
        for job_id in store.ended_before(connection, now_s - KEPT_S):
            store.delete(connection, job_id)
