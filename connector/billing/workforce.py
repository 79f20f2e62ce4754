"""Who works off the chunks of a bill run: threads of this process, and for a large run others too.

Computing a bill is Python, and Python computes on one processor at a time however many threads it
has: a second process makes use of the second one. A process may die at any moment: the store takes
back the chunk it held, and this one does what is left.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess

import structlog

from connector.billing.chunk import Tally, bill_next_chunk
from connector.store.engine import Store

log = structlog.get_logger(__name__)

THREADS = 2  # one computes while the store writes for the other
PROCESSES_MAX = 4  # this one counted; more would wait for the store
CHUNKS_A_PROCESS = 4  # fewer are done before another process has begun to work


@dataclass(frozen=True, slots=True)
class _Task:
    """What another process needs to know."""

    url: str
    run_id: int
    chunks: int
    now: datetime


def processes_for(chunks: int) -> int:
    """Return how many processes are worth while for so many chunks."""
    return max(1, min(os.cpu_count() or 1, PROCESSES_MAX, chunks // CHUNKS_A_PROCESS))


def bill_chunks(
    *, store: Store, run_id: int, chunks: int, now: datetime, processes: int | None = None
) -> Tally:
    """Bill the chunks of a run that nobody holds, in as many processes as are worth while."""
    task = _Task(store.url, run_id, chunks, now)
    count = processes_for(chunks) if processes is None else processes
    others = [_start(task) for _ in range(count - 1)]
    tally = _bill(store, task)
    is_one_lost = False
    for process, answer in others:
        told = _told(process, answer)
        is_one_lost |= told is None
        tally.add(told or Tally())
    if is_one_lost:  # and its chunk is free again
        tally.add(_bill(store, task))
    return tally


def _bill(store: Store, task: _Task, goes_on: Callable[[], bool] = lambda: True) -> Tally:
    def work() -> Tally:
        tally = Tally()
        for _ in range(task.chunks):
            if not goes_on():
                break
            done = bill_next_chunk(store=store, run_id=task.run_id, now=task.now)
            if done is None:
                break  # others have the rest
            tally.add(done)
        return tally

    threads = min(THREADS, task.chunks)
    if threads <= 1:
        return work()
    tally = Tally()
    with ThreadPoolExecutor(threads, thread_name_prefix="bill") as pool:
        for done in pool.map(lambda _: work(), range(threads)):
            tally.add(done)
    return tally


def _start(task: _Task) -> tuple[BaseProcess, Pipe]:
    # Made anew and not forked: a fork would share the connections and locks of this process.
    context = multiprocessing.get_context("spawn")
    answer, told = context.Pipe(duplex=False)
    process = context.Process(target=_work_beside, args=(task, told), name="bill", daemon=True)
    process.start()
    told.close()  # here: only the other process holds it, so its death ends the waiting
    return process, answer


def _told(process: BaseProcess, answer: Pipe) -> Tally | None:
    """Wait for what another process did; None when it was lost."""
    try:
        tally: Tally | None = answer.recv()
    except EOFError:
        tally = None
    process.join()
    answer.close()
    if tally is None:
        log.warning("bill_run.process_lost", exit_code=process.exitcode)
    return tally


def _work_beside(task: _Task, told: Pipe) -> None:
    """Bill chunks as another process, for as long as the one that started it lives."""
    # Standard output belongs to the other one, which may print an object there.
    structlog.configure(
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger("warning"),
    )
    parent = multiprocessing.parent_process()
    store = Store(task.url, pool_size=THREADS)
    try:
        told.send(_bill(store, task, lambda: parent is None or parent.is_alive()))
    finally:
        store.close()
