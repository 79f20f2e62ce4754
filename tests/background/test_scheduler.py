"""Any number of schedulers tick once; what fell due while nobody was there is made up for."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text as sql

from connector.background.queue import JobQueue
from connector.background.registry import Job, interval
from connector.background.scheduler import Scheduler, tick
from connector.errors import Misconfigured
from connector.kernel.clock import MovableClock
from connector.store.engine import Store

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def queue_of(store: Store, **schedules: str) -> JobQueue:
    return JobQueue(
        store, [Job(name, lambda _: None, schedule, 1) for name, schedule in schedules.items()]
    )


def ticks(store: Store, job: str) -> list[datetime]:
    with store.read() as tx:
        rows = tx.execute(
            sql("SELECT due_at FROM job_tick WHERE job = :job ORDER BY due_at"), {"job": job}
        )
        return [row.due_at for row in rows]


def waiting(store: Store) -> int:
    with store.read() as tx:
        return int(tx.execute(sql("SELECT count(*) FROM procrastinate_jobs")).scalar_one())


def run_all(store: Store) -> None:
    with store.transaction() as tx:
        tx.execute(sql("DELETE FROM procrastinate_jobs"))


def test_three_schedulers_tick_once_per_due_time(store: Store) -> None:
    queue = queue_of(store, often="every 1 s")
    schedulers = [Scheduler(queue) for _ in range(3)]
    deferred = 0

    for scheduler in schedulers:
        scheduler.start()
    end = time.monotonic() + 2.5
    while time.monotonic() < end:  # a fast worker, which frees the queueing lock at once
        deferred += waiting(store)
        run_all(store)
        time.sleep(0.01)
    for scheduler in schedulers:
        scheduler.stop()

    due = ticks(store, "often")
    assert len(due) >= 2
    assert deferred + waiting(store) <= len(due)
    assert all(at.microsecond == 0 for at in due)


def test_a_due_time_is_claimed_once(store: Store) -> None:
    queue = queue_of(store, nightly="0 2 * * *")

    assert tick(queue, "nightly", due_at=NOW)
    run_all(store)
    assert not tick(queue, "nightly", due_at=NOW)

    assert waiting(store) == 0


def test_makes_up_once_for_the_nights_it_missed(store: Store) -> None:
    queue = queue_of(store, nightly="0 2 * * *", often="every 5 min")
    tick(queue, "nightly", due_at=NOW - timedelta(days=3))
    run_all(store)

    scheduler = Scheduler(queue, clock=MovableClock(NOW))
    scheduler.start()
    scheduler.stop()

    assert ticks(store, "nightly")[-1] == datetime(2026, 3, 10, 2, 0, tzinfo=UTC)
    assert waiting(store) == 1


def test_a_first_start_makes_up_for_nothing(store: Store) -> None:
    scheduler = Scheduler(queue_of(store, nightly="0 2 * * *"), clock=MovableClock(NOW))
    scheduler.start()
    scheduler.stop()

    assert waiting(store) == 0


def test_forgets_old_ticks_but_never_the_last(store: Store) -> None:
    queue = queue_of(store, often="every 5 s")
    for hours in range(5):
        tick(queue, "often", due_at=NOW + timedelta(hours=hours))

    assert ticks(store, "often") == [NOW + timedelta(hours=3), NOW + timedelta(hours=4)]


def test_a_setting_replaces_a_schedule_or_stops_it(store: Store) -> None:
    queue = queue_of(store, nightly="0 2 * * *", often="every 5 s")

    scheduler = Scheduler(queue, schedules={"nightly": "every 2 min", "often": "off"})

    assert set(scheduler._triggers) == {"nightly"}


@pytest.mark.parametrize("schedule", ["whenever", "every 0 s", "99 2 * * *", ""])
def test_refuses_a_schedule_nobody_understands(store: Store, schedule: str) -> None:
    with pytest.raises(Misconfigured):
        Scheduler(queue_of(store, nightly="0 2 * * *"), schedules={"nightly": schedule})


def test_refuses_a_schedule_of_a_job_that_does_not_exist(store: Store) -> None:
    with pytest.raises(Misconfigured, match="nihgtly"):
        Scheduler(queue_of(store, nightly="0 2 * * *"), schedules={"nihgtly": "every 5 s"})


def test_reads_intervals() -> None:
    assert interval("every 2 min") == timedelta(minutes=2)
    assert interval("0 2 * * *") is None
