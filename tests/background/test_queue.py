"""Jobs exist exactly when their transaction does, run when they should, and survive a crash."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text as sql

from connector.background import worker as worker_module
from connector.background.queue import JobQueue, UnknownJob, delete_failed, idle
from connector.background.registry import Job, load_jobs
from connector.background.worker import Worker
from connector.errors import InvalidInput, TransientFailure
from connector.store.engine import Store

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Diary:
    """What the jobs of a test write down."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.failures: list[Exception] = []

    def note(self, text: str) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.lines.append(text)


def note(diary: Diary, text: str = "ran") -> None:
    diary.note(text)


def job(name: str, *, attempts: int = 5, schedule: str | None = None) -> Job:
    return Job(name=name, run=note, schedule=schedule, attempts=attempts)


@pytest.fixture
def queue(store: Store) -> Iterator[JobQueue]:
    made = JobQueue(store, [job("note"), job("other"), job("ticking", schedule="every 5 s")])
    yield made
    made.close()


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest.fixture
def worker(queue: JobQueue, diary: Diary) -> Iterator[Worker]:
    made = Worker(queue, context=diary)
    made.start()
    yield made
    made.stop()


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


class TestDeferring:
    def test_a_job_of_a_rolled_back_transaction_never_was(
        self, store: Store, queue: JobQueue
    ) -> None:
        with store.transaction() as tx:
            queue.defer("note", tx=tx)
            tx.rollback()

        assert queue.state().waiting == 0

    def test_one_job_waits_per_queueing_lock_and_the_transaction_goes_on(
        self, store: Store, queue: JobQueue
    ) -> None:
        with store.transaction() as tx:
            first = queue.defer("note", tx=tx, queueing_lock="a")
            second = queue.defer("note", tx=tx, queueing_lock="a")
            third = queue.defer("note", tx=tx, queueing_lock="b")

        assert first is not None
        assert second is None
        assert third is not None
        assert queue.state().waiting == 2

    def test_many_nudges_become_one_job(self, queue: JobQueue) -> None:
        for _ in range(200):
            queue.nudge("note")
            queue.nudge("other")
        queue.close()

        assert queue.state().waiting == 2

    def test_a_job_for_later_does_not_keep_the_queue_busy(self, queue: JobQueue) -> None:
        queue.defer("note", at=datetime(2999, 1, 1, tzinfo=UTC))

        assert queue.state().scheduled == 1
        assert idle(queue)

    def test_refuses_a_job_that_does_not_exist(self, queue: JobQueue) -> None:
        with pytest.raises(UnknownJob, match="nothing_such"):
            queue.defer("nothing_such")
        with pytest.raises(UnknownJob):
            queue.nudge("nothing_such")


class TestWorking:
    def test_runs_a_job_with_its_arguments_and_forgets_it(
        self, queue: JobQueue, worker: Worker, diary: Diary
    ) -> None:
        queue.defer("note", arguments={"text": "hello"})

        wait_until(lambda: idle(queue))

        assert diary.lines == ["hello"]
        assert queue.state().failed == 0

    def test_tries_again_what_may_pass(self, queue: JobQueue, worker: Worker, diary: Diary) -> None:
        diary.failures.append(TransientFailure("The org is away."))

        queue.defer("note", queueing_lock="note")

        wait_until(lambda: diary.lines == ["ran"])

    def test_a_retry_does_not_collide_with_the_next_of_its_name(
        self, store: Store, queue: JobQueue, worker: Worker, diary: Diary
    ) -> None:
        def fail_while_another_waits(diary: Diary) -> None:
            if not diary.lines:
                diary.note("first")
                queue.defer("note", queueing_lock="note")
                raise TransientFailure("The org is away.")
            diary.note("again")

        queue.jobs["other"] = Job("other", fail_while_another_waits, None, 5)
        other = Worker(queue, context=diary)
        worker.stop()
        other.start()
        queue.defer("other", queueing_lock="note")

        wait_until(lambda: diary.lines.count("again") == 1 and diary.lines.count("ran") == 1)
        wait_until(lambda: idle(queue))
        other.stop()

        assert queue.state().running == 0

    def test_gives_up_at_once_what_a_repetition_cannot_mend(
        self, queue: JobQueue, worker: Worker, diary: Diary
    ) -> None:
        diary.failures.append(InvalidInput("The file is broken."))

        queue.defer("note")
        wait_until(lambda: queue.state().failed == 1)

        assert diary.lines == []

    def test_the_next_tick_is_the_retry_of_a_repeating_job(
        self, queue: JobQueue, worker: Worker, diary: Diary
    ) -> None:
        diary.failures.append(TransientFailure("The org is away."))

        queue.defer("ticking")
        wait_until(lambda: idle(queue) and not diary.failures)

        assert diary.lines == []
        assert queue.state().failed == 0

    def test_of_what_was_nudged_only_one_runs_at_a_time(
        self, queue: JobQueue, diary: Diary
    ) -> None:
        def slow(diary: Diary) -> None:
            diary.note("begins")
            time.sleep(0.3)
            diary.note("ends")

        queue.jobs["note"] = Job("note", slow, None, 1)
        worker = Worker(queue, context=diary, concurrency=4)
        worker.start()

        queue.nudge("note")
        wait_until(lambda: "begins" in diary.lines)
        queue.nudge("note")
        wait_until(lambda: len(diary.lines) == 4)
        worker.stop()

        assert diary.lines == ["begins", "ends", "begins", "ends"]

    def test_what_waited_for_the_running_one_starts_when_it_ends_not_at_the_next_poll(
        self, queue: JobQueue, diary: Diary, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(worker_module, "_POLL_S", 3_600)
        may_end = threading.Event()

        def held(diary: Diary) -> None:
            diary.note("begins")
            may_end.wait(20)

        queue.jobs["note"] = Job("note", held, None, 1)
        worker = Worker(queue, context=diary)
        queue.defer("note", lock="note")  # before the start: the first look finds it
        worker.start()
        wait_until(lambda: diary.lines == ["begins"])

        queue.defer("note", lock="note")
        time.sleep(0.2)  # its announcement comes while it may not run
        may_end.set()

        wait_until(lambda: diary.lines == ["begins", "begins"])
        worker.stop()

    def test_stops_after_the_running_job(self, queue: JobQueue, diary: Diary) -> None:
        began, may_end = threading.Event(), threading.Event()

        def slow(diary: Diary) -> None:
            began.set()
            may_end.wait(20)
            diary.note("ended")

        queue.jobs["note"] = Job("note", slow, None, 1)
        worker = Worker(queue, context=diary)
        worker.start()
        queue.defer("note")
        assert began.wait(20)

        threading.Timer(0.2, may_end.set).start()
        worker.stop()

        assert diary.lines == ["ended"]

    def test_comes_back_when_the_database_does(
        self, store: Store, queue: JobQueue, worker: Worker, diary: Diary
    ) -> None:
        with store.transaction() as tx:
            tx.execute(
                sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name = 'l2c worker'"
                )
            )

        queue.defer("note")

        wait_until(lambda: diary.lines == ["ran"])


_KILLED = """
import sys, time
from connector.background.queue import JobQueue
from connector.background.registry import Job
from connector.background.worker import Worker
from connector.store.engine import Store
def hang(context):
    print("running", flush=True)
    time.sleep(600)
queue = JobQueue(Store(sys.argv[1]), [Job("note", hang, None, 5)])
Worker(queue, context=None).start()
sys.stdin.read()
"""


class TestAfterACrash:
    @pytest.fixture
    def interrupted(self, store: Store, queue: JobQueue) -> JobQueue:
        """Return a queue whose only job was running when its worker was killed."""
        queue.defer("note", queueing_lock="note")
        process = subprocess.Popen(
            [sys.executable, "-c", _KILLED, store.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        assert process.stdout.readline() == "running\n"
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert queue.state().running == 1
        return queue

    def test_the_sole_user_takes_the_job_up_at_once(
        self, interrupted: JobQueue, diary: Diary
    ) -> None:
        interrupted.defer("note", queueing_lock="note")  # the next one is waiting already
        worker = Worker(interrupted, context=diary, requeue_running=True)
        worker.start()
        began = time.monotonic()

        wait_until(lambda: len(diary.lines) == 2)
        waited_s = time.monotonic() - began
        worker.stop()

        assert waited_s < 5  # sooner than any heartbeat could have told

    def test_another_worker_takes_the_job_up_when_the_heartbeat_is_missed(
        self, interrupted: JobQueue, diary: Diary, store: Store
    ) -> None:
        with store.transaction() as tx:  # six seconds are long; the heart stopped a while ago
            tx.execute(
                sql("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 min'")
            )
        worker = Worker(interrupted, context=diary)
        worker.start()

        wait_until(lambda: diary.lines == ["ran"])
        worker.stop()


def test_old_failures_are_deleted_and_young_ones_kept(
    store: Store, queue: JobQueue, worker: Worker, diary: Diary
) -> None:
    diary.failures.append(InvalidInput("broken"))
    queue.defer("note")
    wait_until(lambda: queue.state().failed == 1)
    with store.read() as tx:
        now = tx.execute(sql("SELECT now()")).scalar_one()

    assert delete_failed(store, before=now - timedelta(days=1)) == 0
    assert delete_failed(store, before=now + timedelta(days=1)) == 1
    assert queue.state().failed == 0


class TestTheInstalledJobs:
    def test_are_all_loadable(self) -> None:
        names = [job.name for job in load_jobs()]

        assert "tidy_queue" in names
        assert names == sorted(names)
