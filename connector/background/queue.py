"""Puts jobs into the queue: inside the caller's transaction, or as a nudge."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog
from procrastinate import App, SyncPsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.types import JSONValue
from sqlalchemy import Connection

from connector.background import queries
from connector.background.registry import Job
from connector.errors import ConnectorError, Misconfigured
from connector.store.engine import Store, driver_connection

log = structlog.get_logger(__name__)


class UnknownJob(Misconfigured):
    """No job of this name is installed."""

    code = "jobs.unknown"


@dataclass(frozen=True, slots=True)
class QueueState:
    """How many jobs there are, by what becomes of them next."""

    waiting: int
    scheduled: int
    running: int
    failed: int


class JobQueue:
    """The queue of background jobs in the hub's database. Safe to share between threads."""

    def __init__(self, store: Store, jobs: Iterable[Job]) -> None:
        self.store = store
        self.jobs = {job.name: job for job in jobs}
        # Never opened: every job is deferred on a connection of the store.
        self._app = App(connector=SyncPsycopgConnector())
        self._wanted: set[str] = set()
        self._changed = threading.Condition()
        self._nudging: threading.Thread | None = None
        self._closed = False

    def defer(
        self,
        name: str,
        *,
        tx: Connection | None = None,
        queueing_lock: str | None = None,
        lock: str | None = None,
        at: datetime | None = None,
        priority: int = 0,
        arguments: Mapping[str, JSONValue] | None = None,
    ) -> int | None:
        """Put one job into the queue; with `tx` it exists when that transaction is committed.

        At most one job waits per `queueing_lock`, at most one runs per `lock`. Arguments are JSON
        and become keyword arguments of the job's `run`.

        Returns:
            The job's id, or None when one waits already under the queueing lock.

        Raises:
            UnknownJob: No job has this name.
        """
        if name not in self.jobs:
            raise UnknownJob(f"No job is called {name!r}.", remedy="Add its module to jobs/.")
        if tx is None:
            with self.store.transaction() as own:
                return self.defer(
                    name,
                    tx=own,
                    queueing_lock=queueing_lock,
                    lock=lock,
                    at=at,
                    priority=priority,
                    arguments=arguments,
                )
        deferrer = self._app.configure_task(
            name,
            connection=driver_connection(tx),
            queueing_lock=queueing_lock,
            lock=lock,
            schedule_at=at,
            priority=priority,
        )
        try:
            with tx.begin_nested():  # the refusal would abort the caller's transaction
                return int(deferrer.defer(**(arguments or {})))
        except AlreadyEnqueued:
            return None

    def nudge(self, name: str) -> None:
        """Ask for a job to run soon, without waiting for the database.

        Many nudges become one job, and only one job of the name runs at a time. A nudge is a hint:
        it is lost when the process dies, and the job's schedule makes up for it.

        Raises:
            UnknownJob: No job has this name.
        """
        if name not in self.jobs:
            raise UnknownJob(f"No job is called {name!r}.", remedy="Add its module to jobs/.")
        with self._changed:
            if self._closed:
                return
            self._wanted.add(name)
            if self._nudging is None:
                self._nudging = threading.Thread(
                    target=self._defer_nudges, name="nudges", daemon=True
                )
                self._nudging.start()
            self._changed.notify_all()

    def state(self) -> QueueState:
        """Count the jobs."""
        with self.store.read() as tx:
            row = tx.execute(queries.STATE).one()
        return QueueState(
            waiting=row.waiting, scheduled=row.scheduled, running=row.running, failed=row.failed
        )

    def close(self) -> None:
        """Defer what was nudged and stop taking nudges."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._nudging is not None:
            self._nudging.join(timeout=30)

    def _defer_nudges(self) -> None:
        while True:
            with self._changed:
                while not self._wanted and not self._closed:
                    self._changed.wait()
                wanted, self._wanted = self._wanted, set()
                closed = self._closed
            for name in sorted(wanted):
                self._defer_nudge(name)
            if closed:
                return

    def _defer_nudge(self, name: str) -> None:
        try:
            self.defer(name, queueing_lock=name, lock=name)
        except ConnectorError as error:
            log.warning("jobs.nudge_lost", job=name, code=error.code)
        except Exception as error:  # a hint may be lost, the thread may not
            log.warning("jobs.nudge_lost", job=name, error=type(error).__name__)


def idle(queue: JobQueue) -> bool:
    """Return whether nothing runs and nothing waits but for a later time."""
    with queue._changed:
        if queue._wanted:
            return False
    state = queue.state()
    return state.waiting == 0 and state.running == 0


def delete_failed(store: Store, *, before: datetime) -> int:
    """Delete the failed jobs that ended before an instant; return how many."""
    with store.transaction() as tx:
        return tx.execute(queries.DELETE_FAILED, {"before": before}).rowcount
