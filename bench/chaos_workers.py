"""Connector processes of the chaos run, killed with SIGKILL and started again."""

import os
import random
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

START_TIMEOUT_S = 120
LONGEST_LIFE_S = 2.5
IN_ITS_START = 0.2  # the share of kills that do not wait until the process listens
LAST_WORDS = 3_000  # characters
_LISTENS = re.compile(r"Listening on (http://[0-9.:]+)")


class WorkerProcess:
    """One connector process: web, worker and scheduler."""

    def __init__(self, config: Path, log: Path, environment: Mapping[str, str]) -> None:
        self._log = log
        self.address: str | None = None
        self.began_s = time.monotonic()
        self.start_s = 0.0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "l2c_bench.chaos_worker", "--config", str(config), "serve"],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **environment},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self._log.open("a", buffering=1) as log:
            for line in self.process.stderr:
                log.write(line)
                # Not at the start of the line: another thread may be logging just then.
                if (found := _LISTENS.search(line)) is not None:
                    self.start_s = time.monotonic() - self.began_s
                    self.address = found[1]

    def wait_until_it_listens(self) -> None:
        """Return when it takes messages; it must come up."""
        until = time.monotonic() + START_TIMEOUT_S
        while self.address is None:
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"a worker did not start: {self._log.read_text()[-3000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.address = None
        self.process.kill()
        self._end()

    def stop(self) -> None:
        """Ask it to end."""
        self.process.terminate()
        self._end()

    def _end(self) -> None:
        try:
            self.process.wait(START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(START_TIMEOUT_S)
        assert self.process.stderr is not None
        self.process.stderr.close()


class Workers:
    """A number of connector processes on one store, and the killer among them."""

    def __init__(
        self, *, count: int, config: Path, folder: Path, environment: Mapping[str, str], seed: int
    ) -> None:
        self._config, self._folder, self._environment = config, folder, environment
        self._chance = random.Random(seed)
        self._killer: threading.Thread | None = None
        self._ending = threading.Event()
        self.failure: BaseException | None = None
        self.kills = 0
        self.running = [self._start(place) for place in range(count)]
        for worker in self.running:
            worker.wait_until_it_listens()

    def _start(self, place: int) -> WorkerProcess:
        log = self._folder / f"worker-{place}.log"
        return WorkerProcess(self._config, log, self._environment)

    def last_words(self) -> str:
        """Return the end of what each process logged."""
        logs = sorted(self._folder.glob("worker-*.log"))
        return "\n".join(log.read_text()[-LAST_WORDS:] for log in logs)

    def addresses(self) -> list[str]:
        """Return where messages can be sent now."""
        return [worker.address for worker in self.running if worker.address is not None]

    def kill_some(self, kills: int) -> None:
        """Begin to kill, one at a time, so many in all."""
        self._killer = threading.Thread(target=self._kill, args=(kills,), daemon=True)
        self._killer.start()

    def _kill(self, kills: int) -> None:
        try:
            while self.kills < kills and not self._ending.is_set():
                place = self._chance.randrange(len(self.running))
                worker = self.running[place]
                if self._chance.random() >= IN_ITS_START:
                    worker.wait_until_it_listens()
                # On a slow machine it needs longer to get to its work, too.
                longest_s = max(LONGEST_LIFE_S, worker.start_s)
                self._ending.wait(self._chance.uniform(0, longest_s))
                worker.kill()
                self.kills += 1
                self.running[place] = self._start(place)
        except BaseException as error:
            self.failure = error

    def all_up(self) -> None:
        """Return when nobody kills any more and every process listens."""
        if self._killer is not None:
            self._killer.join()
        if self.failure is not None:
            raise self.failure
        for worker in self.running:
            worker.wait_until_it_listens()

    def stop(self) -> None:
        """End all of them."""
        self._ending.set()
        if self._killer is not None:
            self._killer.join(START_TIMEOUT_S)
        for worker in self.running:
            worker.stop()


def peak_mib() -> int:
    """Return the most memory any ended child of this process had."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
