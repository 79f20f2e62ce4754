"""Runs `l2c demo` as an operator does, and kills it where asked."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg

from connector.store.embedded import EmbeddedPostgres
from tests.e2e.outside import DATABASE

TIMEOUT_S = 240


def command(folder: Path, *, calls: int) -> list[str]:
    program = "from connector.cli.main import main; main()"
    arguments = ["demo", "--once", "--json", "--keep", str(folder), "--calls", str(calls)]
    return [sys.executable, "-c", program, *arguments]


def tell(folder: Path, *, calls: int) -> dict[str, Any]:
    """Tell the story to its end and return its summary."""
    done = subprocess.run(
        command(folder, calls=calls), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stderr[-6000:]
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return summary


def tell_and_kill(folder: Path, *, calls: int, after_s: float) -> bool:
    """Tell the story and kill it after a while; return whether it was still running then."""
    with subprocess.Popen(
        command(folder, calls=calls), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        time.sleep(after_s)
        was_running = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    return was_running


def tell_and_kill_inside_a_push(folder: Path, *, calls: int, after_s: float) -> bool:
    """Tell the story and kill it while rows are on their way to the CRM, some time after its start.

    Returns whether a push was under way when it was killed.
    """
    with subprocess.Popen(
        command(folder, calls=calls), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        time.sleep(after_s)
        with (
            EmbeddedPostgres.start(folder / "postgres", durable=False) as server,
            psycopg.connect(
                server.url_of(DATABASE).replace("+psycopg", ""), autocommit=True
            ) as sql,
        ):
            seen = False
            while not seen and process.poll() is None:
                leased = sql.execute(
                    "SELECT EXISTS (SELECT FROM push_queue WHERE lease_until > now())"
                ).fetchone()
                seen = leased is not None and bool(leased[0])
            process.send_signal(signal.SIGKILL)
            process.wait()
    return seen


def kill_times(*, seed: int, count: int, longest_s: float) -> list[float]:
    """Return seeded times, uniformly spread over the story's length."""
    chance = random.Random(seed)
    return [chance.uniform(0.5, longest_s) for _ in range(count)]
