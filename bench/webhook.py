"""Receiving outbound messages, against the least a durable receiver can do.

Reference: one INSERT and COMMIT per message over one connection of the same PostgreSQL, fsync on.
`ratio` is messages per second through HTTP, checks, commit and acknowledgement, divided by the
reference's: 1.5 is half as many again. Targets (design 10): eight senders at least 1.5, one sender
at least 0.55, four senders of 100 notifications a message with p99 below 50 ms.
"""

import multiprocessing
import os
import resource
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import psycopg

from connector.config import Settings
from connector.store.embedded import EmbeddedPostgres
from connector.store.engine import Store
from connector.store.migrate import upgrade
from connector.web.app import create_app
from connector.web.granian_server import serve_until_stopped

ORGANIZATION = "00D000000000062EAA"
PATH = "/webhooks/salesforce/outbound"
ROUNDS = 5
LARGE_MESSAGES = 400
_START_TIMEOUT_S = 60


def run(*, senders: int = 8, messages: int = 2_000) -> dict[str, Any]:
    """Measure and return the figures."""
    with tempfile.TemporaryDirectory(prefix="l2c-bench-") as folder:
        Path(folder).chmod(0o711)
        with EmbeddedPostgres.start(Path(folder) / "postgres") as server:
            url = server.url_of("postgres")
            store = Store(url, pool_size=2)
            upgrade(store)
            conninfo = store.conninfo
            store.close()
            return _measured(url, conninfo, senders=senders, messages=messages)


def _measured(url: str, conninfo: str, *, senders: int, messages: int) -> dict[str, Any]:
    small, large = envelope(1), envelope(100)
    share = max(messages // ROUNDS, senders)
    reference, one, many, bulk = Sent(), Sent(), Sent(), Sent()
    with _receiver(url) as address:
        _send(address, small, senders=senders, messages=100)  # warm: connections, statements
        # In turns, so that a disk or a neighbour that slows down slows all of them down.
        for _ in range(ROUNDS):
            reference.add(_reference(conninfo, small, share))
            one.add(_send(address, small, senders=1, messages=share))
            many.add(_send(address, small, senders=senders, messages=share))
        bulk.add(_send(address, large, senders=4, messages=LARGE_MESSAGES))
    return {
        "bench": "webhook",
        "seconds": round(many.seconds, 4),
        "reference": "INSERT and COMMIT per message over one connection",
        "reference_seconds": round(reference.seconds, 4),
        "ratio": round(many.rate / reference.rate, 3),
        "rows": len(many.each_s),
        "rows_per_second": round(many.rate),
        "senders": senders,
        "p99_ms": many.p99_ms,
        "one_sender_ratio": round(one.rate / reference.rate, 3),
        "one_sender_per_second": round(one.rate),
        "hundred_notifications_p99_ms": bulk.p99_ms,
        "hundred_notifications_per_second": round(bulk.rate),
        "peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        "cpu_count": os.cpu_count() or 1,
    }


def envelope(notifications: int) -> bytes:
    """Return an outbound message of a size as the org sends it."""
    fields = "".join(
        f"<sf:{name}>{value}</sf:{name}>"
        for name, value in (
            ("AccountId", "001000000000001AAA"),
            ("Amount", "12500.50"),
            ("CloseDate", "2026-06-15"),
            ("IsClosed", "true"),
            ("IsWon", "true"),
            ("Name", "Three sites, calling and SD-WAN"),
            ("StageName", "Closed Won"),
            ("SystemModstamp", "2026-06-15T08:00:00.000Z"),
        )
    )
    parts = "".join(
        f"<Notification><Id>04l{number:015d}</Id>"
        '<sObject xsi:type="sf:Opportunity" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">'
        f"<sf:Id>006{number:015d}</sf:Id>{fields}</sObject></Notification>"
        for number in range(notifications)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
        '<notifications xmlns="http://soap.sforce.com/2005/09/outbound">'
        f"<OrganizationId>{ORGANIZATION}</OrganizationId><ActionId>04k000000000001AAA</ActionId>"
        f'<SessionId xsi:nil="true"/>{parts}</notifications></soapenv:Body></soapenv:Envelope>'
    ).encode()


@dataclass(slots=True)
class Sent:
    """How long some messages took, all and each."""

    seconds: float = 0
    each_s: list[float] = field(default_factory=list)

    def add(self, other: "Sent") -> None:
        """Count another round."""
        self.seconds += other.seconds
        self.each_s += other.each_s

    @property
    def rate(self) -> float:
        """Return messages per second."""
        return len(self.each_s) / self.seconds

    @property
    def p99_ms(self) -> float:
        """Return the time 99 of 100 messages stayed below."""
        ordered = sorted(self.each_s)
        return round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1000, 1)


def _reference(conninfo: str, body: bytes, messages: int) -> Sent:
    statement = (
        "INSERT INTO inbox (source, received_at, organization_id, topic, content)"
        " VALUES ('outbound_message', now(), %s, %s, %s)"
    )
    sent = Sent()
    with psycopg.connect(conninfo, autocommit=True, prepare_threshold=1) as connection:
        started = time.perf_counter()
        for _ in range(messages):
            before = time.perf_counter()
            connection.execute(statement, (ORGANIZATION, "04k000000000001AAA", body))
            sent.each_s.append(time.perf_counter() - before)
        sent.seconds = time.perf_counter() - started
    return sent


def _send(address: tuple[str, int], body: bytes, *, senders: int, messages: int) -> Sent:
    """Send over kept connections; plain sockets, so that the sender costs little of the machine."""
    request = (
        f"POST {PATH} HTTP/1.1\r\nHost: {address[0]}\r\nContent-Type: text/xml; charset=utf-8\r\n"
        f'SOAPAction: ""\r\nContent-Length: {len(body)}\r\n\r\n'
    ).encode() + body
    sent = Sent()
    ready = threading.Barrier(senders + 1)
    shares = [messages // senders + (number < messages % senders) for number in range(senders)]
    failures: list[bytes] = []

    def work(count: int) -> None:
        with socket.create_connection(address) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ready.wait()
            for _ in range(count):
                started = time.perf_counter()
                connection.sendall(request)
                answer = _answer(connection)
                sent.each_s.append(time.perf_counter() - started)
                if b" 200 " not in answer[:16]:
                    failures.append(answer)

    threads = [threading.Thread(target=work, args=(count,)) for count in shares]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    sent.seconds = time.perf_counter() - started
    if failures:
        raise RuntimeError(f"{len(failures)} of {messages} messages were not acknowledged")
    return sent


def _answer(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head + body


class _Queue:
    def nudge(self, name: str) -> None:
        """Take the hint; nobody applies during the measurement."""


class _Org:
    def identity(self) -> str:
        """Return the organization of the messages."""
        return ORGANIZATION


@dataclass(frozen=True)
class _App:
    store: Store
    settings: Settings
    queue: _Queue = field(default_factory=_Queue)
    org: _Org = field(default_factory=_Org)


@contextmanager
def _receiver(url: str) -> Iterator[tuple[str, int]]:
    """Run the real web server in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(url, theirs))
    process.start()
    try:
        if not ours.poll(_START_TIMEOUT_S):
            raise RuntimeError("the receiver did not start")
        host, _, port = ours.recv().removeprefix("http://").partition(":")
        address = (host, int(port))
        _wait_for(address)
        yield address
    finally:
        process.terminate()
        process.join(_START_TIMEOUT_S)


def _wait_for(address: tuple[str, int]) -> None:
    for _ in range(_START_TIMEOUT_S * 20):
        try:
            socket.create_connection(address, timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the receiver does not listen")


def _serve(url: str, pipe: Pipe) -> None:
    serve_until_stopped(
        partial(_application, url), host="127.0.0.1", port=0, started=partial(_tell, pipe)
    )


def _tell(pipe: Pipe, address: str) -> None:
    pipe.send(address)


def _application(url: str) -> Any:
    return create_app(_App(Store(url, pool_size=2), Settings()))
