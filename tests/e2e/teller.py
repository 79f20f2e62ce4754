"""Runs `l2c demo` as an operator does, and kills it where asked."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from connector.store.embedded import EmbeddedPostgres
from tests.e2e.outside import DATABASE

TIMEOUT_S = 240
FIRST_KILL_S = 0.5
LOOK_S = 0.005


@dataclass(frozen=True)
class Kill:
    """When to kill: so long after the start, or with the first push that is under way then."""

    after_s: float
    is_inside_a_push: bool


@dataclass(frozen=True)
class Life:
    """A story that was killed, begun again and at last told to its end."""

    folder: Path
    summary: dict[str, Any]
    kills: int
    kills_inside_a_push: int


def command(folder: Path, *, calls: int) -> list[str]:
    program = "from connector.cli.main import main; main()"
    arguments = ["demo", "--once", "--json", "--keep", str(folder), "--calls", str(calls)]
    return [sys.executable, "-c", program, *arguments]


def tell(folder: Path, *, calls: int) -> dict[str, Any]:
    """Tell the story to its end and return its summary."""
    done = subprocess.run(
        command(folder, calls=calls), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    return _summary(done.returncode, done.stdout, done.stderr)


def tell_and_end(scratch: Path, *, calls: int, at: str) -> int:
    """Tell the story with nothing kept, end it with SIGTERM at a chapter; return the exit code."""
    telling = command(Path("unused"), calls=calls)
    at_keep = telling.index("--keep")
    del telling[at_keep : at_keep + 2]
    with subprocess.Popen(
        telling,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if at in line:
                process.terminate()
                break
        process.stderr.read()
        return process.wait(timeout=TIMEOUT_S)


def kills(*, seed: int, longest_s: float, inside_a_push_every: int = 0) -> Iterator[Kill]:
    """Yield seeded kills, uniformly spread over the length of a story, without end."""
    chance = random.Random(seed)
    n = 0
    while True:
        inside = inside_a_push_every > 0 and n % inside_a_push_every == 0
        yield Kill(chance.uniform(FIRST_KILL_S, longest_s), inside)
        n += 1


def live(folder: Path, *, calls: int, planned: Iterator[Kill], kills_max: int) -> Life:
    """Tell the story in a folder again and again, killed each time, until it comes to its end.

    After `kills_max` kills it is left in peace.
    """
    done = inside = 0
    summary = None
    while summary is None and done < kills_max:
        kill = next(planned)
        summary = _tell_and_kill(folder, kill, calls=calls)
        if summary is None:
            done += 1
            inside += kill.is_inside_a_push
    return Life(folder, summary or tell(folder, calls=calls), done, inside)


def _tell_and_kill(folder: Path, kill: Kill, *, calls: int) -> dict[str, Any] | None:
    """Tell the story and kill it; return its summary when it came to its end before that."""
    said, told = folder.with_suffix(".out"), folder.with_suffix(".err")
    with (
        said.open("w") as stdout,
        told.open("w") as stderr,
        subprocess.Popen(command(folder, calls=calls), stdout=stdout, stderr=stderr) as process,
    ):
        try:
            process.wait(timeout=kill.after_s)
        except subprocess.TimeoutExpired:
            if kill.is_inside_a_push:
                _wait_for_a_push(folder, process)
            is_over = process.poll() is not None
            process.kill()
            process.wait()
        else:
            is_over = True
    return _summary(process.returncode, said.read_text(), told.read_text()) if is_over else None


def _wait_for_a_push(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Return when rows are on their way to the CRM, or when the story is over."""
    until = time.monotonic() + TIMEOUT_S
    with EmbeddedPostgres.start(folder / "postgres", durable=False) as server:
        address = server.url_of(DATABASE).replace("+psycopg", "")
        while process.poll() is None and time.monotonic() < until:
            try:
                with psycopg.connect(address, autocommit=True) as sql:
                    while process.poll() is None and not _is_pushing(sql):
                        time.sleep(LOOK_S)
                    return
            except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
                time.sleep(LOOK_S)  # the story has not made its database yet


def _is_pushing(sql: psycopg.Connection[Any]) -> bool:
    row = sql.execute(
        "SELECT EXISTS (SELECT FROM push_queue WHERE lease_until = 'infinity')"
    ).fetchone()
    return row is not None and bool(row[0])


def _summary(exit_code: int | None, out: str, told: str) -> dict[str, Any]:
    assert exit_code == 0, told[-6000:]
    summary: dict[str, Any] = json.loads(out.splitlines()[-1])
    return summary
