"""A local org in a process of its own, and the calls that fill and ask it."""

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson

ORG = (sys.executable, "-m", "l2c_sandbox", "--json", "--exit-with-stdin")
PREPARED = (sys.executable, "-m", "l2c_bench.prepared")
DATA = "/services/data/v62.0"
FIELDS = 25
FORM = "application/x-www-form-urlencoded"
KINDS = {"string": "text", "int": 7, "double": 7.5, "currency": 7.5, "boolean": True}
TIMEOUT_S = 60
KIB_PER_MIB = 1_024
Headers = Mapping[str, str]
Call = tuple[str, str, bytes]  # method, path, body


@dataclass(frozen=True, slots=True)
class Running:
    """A server that printed its first line."""

    pid: int
    first_line: str
    start_s: float  # from the start of its process to that line

    def peak_mib(self) -> int | None:
        """Return the most resident memory so far; None where the system does not tell it."""
        status = Path(f"/proc/{self.pid}/status")
        if not status.exists():
            return None
        (line,) = (part for part in status.read_text().splitlines() if part.startswith("VmHWM:"))
        return int(line.split()[1]) // KIB_PER_MIB

    def cpu_s(self) -> float | None:
        """Return the processor time used so far; None where the system does not tell it."""
        file = Path(f"/proc/{self.pid}/stat")
        if not file.exists():
            return None
        user, system = file.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Org:
    """A local org, and an administrator's session in it."""

    running: Running
    base: str
    headers: Headers

    def call(self, method: str, path: str, body: bytes = b"") -> Any:
        """Return the JSON answer to one call over a connection of its own."""
        connection = http.client.HTTPConnection(urlsplit(self.base).netloc, timeout=TIMEOUT_S)
        try:
            return orjson.loads(content_of(connection, self.headers, (method, path, body)))
        finally:
            connection.close()

    def count(self) -> int:
        """Return how many accounts there are."""
        return int(self.call("GET", f"{DATA}/query?q=SELECT+COUNT()+FROM+Account")["totalSize"])

    def fields(self) -> dict[str, Any]:
        """Return 24 plain fields of an account with a value for each; the name is the 25th."""
        described = self.call("GET", f"{DATA}/sobjects/Account/describe")
        plain = [
            f
            for f in described["fields"]
            if f["type"] in KINDS
            and f["createable"]
            and not f["unique"]
            and "Name" not in f["name"]
        ]
        assert len(plain) >= FIELDS - 1
        return {f["name"]: KINDS[f["type"]] for f in plain[: FIELDS - 1]}


def used_s(before_s: float | None, after_s: float | None) -> float | None:
    """Return the processor time between two readings; None where the system does not tell it."""
    return None if before_s is None or after_s is None else round(after_s - before_s, 2)


@contextmanager
def server(*command: str, compiled: Path | None = None) -> Iterator[Running]:
    """Run a server until the block ends, and yield it once it printed its first line.

    A folder for compiled modules makes a second start what it is everywhere but in places that
    forbid Python to keep them.
    """
    environment = dict(os.environ)
    if compiled is not None:
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = str(compiled)
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        first_line = process.stdout.readline()
        yield Running(process.pid, first_line, time.perf_counter() - began)
    finally:
        process.stdin.close()
        process.wait(TIMEOUT_S)
        process.stdout.close()


@contextmanager
def local_org(*options: str) -> Iterator[Org]:
    """Run a local org and log in."""
    with server(*ORG, *options) as running:
        facts = orjson.loads(running.first_line)
        form = {name: facts[name] for name in ("client_id", "client_secret")}
        form["grant_type"] = "client_credentials"
        plain = Org(running, facts["base_url"], {"Content-Type": FORM})
        session = plain.call("POST", "/services/oauth2/token", urlencode(form).encode())
        bearer = {"Authorization": f"Bearer {session['access_token']}"}
        yield Org(running, facts["base_url"], bearer | {"Content-Type": "application/json"})


def timed(
    base: str, headers: Headers, calls: Sequence[Call], *, connections: int
) -> tuple[float, int]:
    """Make calls over so many kept connections; return seconds and the size of an answer."""
    sizes: list[int] = []

    def work(share: Sequence[Call]) -> None:
        connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=TIMEOUT_S)
        for call in share:
            sizes.append(len(content_of(connection, headers, call)))
        connection.close()

    shares = [calls[n::connections] for n in range(connections)]
    threads = [threading.Thread(target=work, args=(share,)) for share in shares]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    assert len(sizes) == len(calls), f"{len(calls) - len(sizes)} calls failed"
    return seconds, sum(sizes) // len(sizes)


def content_of(connection: http.client.HTTPConnection, headers: Headers, call: Call) -> bytes:
    """Return the answer to one call; it must be a success."""
    method, path, body = call
    connection.request(method, path, body or None, dict(headers))
    answer = connection.getresponse()
    content = answer.read()
    assert answer.status in {200, 201}, f"{method} {path}: {answer.status} {content[:500]!r}"
    return content
