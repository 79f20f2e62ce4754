"""Runs the jobs, in a thread with an event loop of its own."""

import asyncio
import contextlib
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import structlog
from procrastinate import App, BaseRetryStrategy, PsycopgConnector, RetryDecision
from procrastinate.jobs import Job as QueuedJob

from connector.background import queries
from connector.background.queue import JobQueue
from connector.background.registry import Job
from connector.errors import ConnectorError, Retry, TransientFailure
from connector.kernel.clock import monotonic_s

log = structlog.get_logger(__name__)

HEARTBEAT_S = 1
STALLED_AFTER_S = 6
_POLL_S = 0.25  # only retries wait for it; everything else is announced
_RECOVERY_EVERY_S = 5
_RETRY_WAIT_S = 1
_RETRY_WAIT_S_MAX = 300
_RESTART_WAIT_S = 1
_STOP_WAIT_S = 60


class Worker:
    """Runs jobs until it is stopped; survives a restart of the database.

    Args:
        queue: Where the jobs are.
        context: What every job's `run` gets first: the wired application.
        concurrency: How many jobs run at once.
        requeue_running: Put every running job back at the start. Only for the sole user of an
            embedded store: elsewhere another worker may be running it.
    """

    def __init__(
        self,
        queue: JobQueue,
        *,
        context: object,
        concurrency: int = 2,
        requeue_running: bool = False,
    ) -> None:
        self._queue = queue
        self._context = context
        self._concurrency = concurrency
        self._requeue_running = requeue_running
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = threading.Event()
        self._started = threading.Event()

    def start(self) -> None:
        """Start working and return once jobs are being taken, or after ten seconds without."""
        # The queue's library repeats every event of ours as a sentence.
        logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
        if self._requeue_running:
            with self._queue.store.transaction() as tx:
                requeued = tx.execute(queries.REQUEUE_RUNNING).scalar_one()
            if requeued:
                log.info("jobs.requeued", count=requeued)
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)
        self._thread.start()
        self._started.wait(10)

    def stop(self) -> None:
        """Let the running jobs end and stop; a job that does not end within a minute is left."""
        if self._thread is None:
            return
        self._stopping.set()
        if self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(_STOP_WAIT_S)
        if self._thread.is_alive():
            log.warning("jobs.worker_left_running")
        self._thread = None

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                asyncio.run(self._serve())
            except asyncio.CancelledError:
                return
            except Exception as error:  # the database went away: come back when it does
                log.warning("jobs.worker_restarts", error=type(error).__name__)
                self._stopping.wait(_RESTART_WAIT_S)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        # The default executor has its own idea of how many threads this machine deserves.
        executor = ThreadPoolExecutor(self._concurrency, thread_name_prefix="job")
        loop.set_default_executor(executor)
        self._task = asyncio.current_task()
        self._loop = loop
        connector = PsycopgConnector(
            conninfo=self._queue.store.conninfo,
            min_size=1,
            max_size=self._concurrency + 3,  # one listens, one beats, one recovers
            kwargs={"application_name": "l2c worker", "connect_timeout": 10},
        )
        app = App(connector=connector)
        for job in self._queue.jobs.values():
            app.task(name=job.name, retry=_RetryWhatMayPass(job.attempts))(
                partial(run_job, job, self._context)
            )
        async with app.open_async():
            if self._stopping.is_set():
                return
            recovery = asyncio.create_task(_recover_stalled(app), name="recovery")
            self._started.set()
            try:
                await app.run_worker_async(
                    concurrency=self._concurrency,
                    install_signal_handlers=False,
                    delete_jobs="successful",
                    fetch_job_polling_interval=_POLL_S,
                    update_heartbeat_interval=HEARTBEAT_S,
                    stalled_worker_timeout=STALLED_AFTER_S,
                )
            finally:
                recovery.cancel()


async def _recover_stalled(app: App) -> None:
    """Put jobs back whose worker has not been heard of; the library leaves that to us."""
    while True:
        try:
            stalled = await app.job_manager.get_stalled_jobs(
                seconds_since_heartbeat=STALLED_AFTER_S
            )
            for job in stalled:
                await app.job_manager.retry_job(job)
                log.info("jobs.recovered", job=job.task_name, job_id=job.id)
        except Exception as error:  # another worker took it, or the database is away
            log.warning("jobs.recovery_failed", error=type(error).__name__)
        await asyncio.sleep(_RECOVERY_EVERY_S)


def run_job(job: Job, context: object, **arguments: object) -> None:
    """Run one job and log how it ended.

    A transient failure of a job that the clock repeats is no failure of the job: the next tick is
    the next try.
    """
    began_s = monotonic_s()
    try:
        job.run(context, **arguments)
    except TransientFailure as error:
        log.warning("job.failed", job=job.name, code=error.code, error=str(error))
        if not job.repeats:
            raise
    except ConnectorError as error:
        log.error("job.failed", job=job.name, code=error.code, error=str(error))
        raise
    except Exception:
        log.exception("job.failed", job=job.name)
        raise
    else:
        log.debug("job.done", job=job.name, duration_ms=int((monotonic_s() - began_s) * 1000))


class _RetryWhatMayPass(BaseRetryStrategy):
    """Doubles the wait; gives up on what a repetition cannot mend."""

    def __init__(self, attempts_max: int) -> None:
        self._attempts_max = attempts_max

    def get_retry_decision(
        self, *, exception: BaseException, job: QueuedJob
    ) -> RetryDecision | None:
        hopeless = isinstance(exception, ConnectorError) and exception.retry is not Retry.LATER
        if hopeless or job.attempts + 1 >= self._attempts_max:
            return None
        wait_s = min(_RETRY_WAIT_S * 2 ** min(job.attempts, 16), _RETRY_WAIT_S_MAX)
        return RetryDecision(retry_in={"seconds": wait_s})
