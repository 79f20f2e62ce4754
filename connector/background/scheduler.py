"""The clock that defers jobs. It runs nothing itself, and any number of them may tick."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog
from apscheduler.executors.base import BaseExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from connector.background import queries
from connector.background.queue import JobQueue
from connector.background.registry import interval
from connector.errors import Misconfigured
from connector.kernel.clock import Clock, SystemClock

log = structlog.get_logger(__name__)

OFF = "off"
_TICK_KEPT = timedelta(hours=1)
_CATCH_UP_STEPS_MAX = 10_000
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Trigger(Protocol):
    """What tells the next due time after an instant."""

    def get_next_fire_time(
        self, previous_fire_time: datetime | None, now: datetime
    ) -> datetime | None:
        """Return the first due time at or after `now`."""


class Scheduler:
    """Defers every job of the queue that has a schedule, when it is due.

    Args:
        queue: Whose jobs to defer.
        schedules: Schedules that replace the jobs' own; `off` stops one.
    """

    def __init__(
        self,
        queue: JobQueue,
        *,
        schedules: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._queue = queue
        self._clock = clock or SystemClock()
        self._triggers = _triggers(queue, schedules or {})
        self._scheduler = BackgroundScheduler(timezone=UTC)
        self._scheduler.add_executor(_InPlaceExecutor())

    def start(self) -> None:
        """Make up for what fell due while nobody was there, then tick."""
        now = self._clock.now()
        for name, trigger in self._triggers.items():
            with self._queue.store.read() as tx:
                last = tx.execute(queries.LAST_TICK, {"job": name}).scalar_one()
            missed = _last_missed(trigger, last, now)
            if missed is not None:
                tick(self._queue, name, due_at=missed)
            self._scheduler.add_job(
                self._tick,
                trigger,
                args=[name],
                kwargs={"due_at": now},  # replaced by the executor
                id=name,
                coalesce=True,
                misfire_grace_time=None,
            )
        self._scheduler.start()

    def stop(self) -> None:
        """Stop ticking."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def _tick(self, name: str, due_at: datetime) -> None:
        try:
            tick(self._queue, name, due_at=due_at)
        except Exception as error:  # the next tick comes anyway
            log.warning("jobs.tick_lost", job=name, error=type(error).__name__)


def tick(queue: JobQueue, name: str, *, due_at: datetime) -> bool:
    """Defer a job for one due time; return False when another scheduler was first."""
    with queue.store.transaction() as tx:
        claimed = tx.execute(queries.CLAIM_TICK, {"job": name, "due_at": due_at}).first()
        if claimed is None:
            return False
        tx.execute(queries.FORGET_TICKS, {"job": name, "before": due_at - _TICK_KEPT})
        queue.defer(name, tx=tx, queueing_lock=name, lock=name)
    return True


def _triggers(queue: JobQueue, schedules: Mapping[str, str]) -> dict[str, Trigger]:
    unknown = schedules.keys() - queue.jobs.keys()
    if unknown:
        raise Misconfigured(
            f"jobs.schedules names {', '.join(sorted(unknown))}, which are no jobs.",
            remedy=f"The jobs are {', '.join(sorted(queue.jobs))}.",
        )
    wanted = {name: schedules.get(name, job.schedule) for name, job in queue.jobs.items()}
    return {
        name: _trigger(name, schedule)
        for name, schedule in wanted.items()
        if schedule is not None and schedule != OFF
    }


def _trigger(name: str, schedule: str) -> Trigger:
    step = interval(schedule)
    try:
        if step is not None:
            # Counted from one epoch, so that all schedulers mean the same due times.
            made: Trigger = IntervalTrigger(
                seconds=int(step.total_seconds()), start_date=_EPOCH, timezone=UTC
            )
        else:
            made = CronTrigger.from_crontab(schedule, timezone=UTC)
    except ValueError as error:
        raise Misconfigured(
            f"The schedule {schedule!r} of job {name} is not understood: {error}.",
            remedy="Write `every 5 s`, `every 2 min`, a crontab line such as `0 2 * * *`, or off.",
        ) from error
    return made


def _last_missed(trigger: Trigger, last: datetime | None, now: datetime) -> datetime | None:
    """Return the newest due time after `last` that has passed, one for all that were missed.

    A job that never ticked has missed nothing, and one that comes every few seconds needs no
    making up.
    """
    if last is None or isinstance(trigger, IntervalTrigger):
        return None
    missed = None
    after = last
    for _ in range(_CATCH_UP_STEPS_MAX):
        due = trigger.get_next_fire_time(None, after + timedelta(microseconds=1))
        if due is None or due > now:
            break
        missed = after = due
    return missed


class _InPlaceExecutor(BaseExecutor):  # type: ignore[misc]
    """Ticks in the scheduler's own thread and tells the tick what time it was due."""

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        job.func(*job.args, due_at=run_times[-1].astimezone(UTC))
        self._run_job_success(job.id, [])
