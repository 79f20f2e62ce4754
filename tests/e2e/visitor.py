"""Looks at a demo that stays up, as a visitor with a browser would."""

import re
import signal
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.e2e.teller import TIMEOUT_S, command


@dataclass(frozen=True)
class Seen:
    """What a visitor saw, and how the demo ended after one signal."""

    start_page: str
    account_page: str
    health: str
    newest_api_version: str
    exit_code: int


def visit(folder: Path, *, calls: int) -> Seen:
    """Let the demo stay up on a kept folder, look around, end it with one SIGTERM."""
    staying = [part for part in command(folder, calls=calls) if part not in ("--once", "--json")]
    with subprocess.Popen(staying, stderr=subprocess.PIPE, text=True) as process:
        try:
            told = _read_until(process, "curl -s .*/healthz")
            console = _found(r"Console +(\S+)", told)
            org = _found(r"Local org +(\S+)", told)
            with requests.Session() as http:
                http.trust_env = False
                start = http.get(console, timeout=10).text
                account = http.get(console + _account_path(start), timeout=10).text
                health = http.get(console.replace("/console/", "/healthz"), timeout=10).json()
                versions = http.get(f"{org}/services/data", timeout=10).json()
            process.send_signal(signal.SIGTERM)
            exit_code = process.wait(timeout=60)
        finally:
            process.kill()
    return Seen(start, account, health["status"], versions[-1]["version"], exit_code)


def _read_until(process: subprocess.Popen[str], pattern: str) -> str:
    assert process.stderr is not None
    seen: list[str] = []
    watchdog = threading.Timer(TIMEOUT_S, process.kill)
    watchdog.start()
    try:
        for line in process.stderr:
            seen.append(line)
            if re.search(pattern, line):
                return "".join(seen)
    finally:
        watchdog.cancel()
    raise AssertionError("".join(seen)[-3000:])


def _found(pattern: str, told: str) -> str:
    found = re.search(pattern, told)
    assert found is not None, told
    return found[1]


def _account_path(start_page: str) -> str:
    return _found(r'href="/console/(accounts/\d+)">\s*Zahnzentrum', start_page)
