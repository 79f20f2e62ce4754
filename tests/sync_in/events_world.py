"""A listener on the local org's change events, and eyes on what it has stored."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from connector.adapters.salesforce.pubsub import FetchAnswer, Preset, PubSubClient
from connector.sync.capture.event_topics import (
    Place,
    TopicStanding,
    place_of,
    topic_standings,
)
from connector.sync.capture.events import Listening
from connector.sync.capture.listener import EventListener, EventWork, Pauses

ACCOUNTS = "/data/AccountChangeEvent"
PATIENCE_S = 60  # a machine may be busy; only a failure waits so long


def wait_until(condition: Callable[[], object], *, what: str) -> None:
    """Wait for something another thread or process is doing."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


@dataclass
class Events:
    """The way in by change events, wired to a real store and a real org."""

    way_in: object
    org: object
    topics: tuple[str, ...] = (ACCOUNTS,)
    listener: EventListener | None = None
    nudges: list[str] = field(default_factory=list)

    def client(self, address: str | None = None) -> PubSubClient:
        return PubSubClient(address or self.org.pubsub_address, tokens=self.way_in.org.tokens)

    def start(self, *, address: str | None = None) -> None:
        """Start to listen."""
        self.listener = EventListener(
            EventWork(
                store=self.way_in.store,
                mappings=self.way_in.mappings,
                topics=self.topics,
                open_client=lambda: self.client(address),
                on_hints=lambda: self.nudges.append("apply"),
                on_sweeps=lambda: self.nudges.append("sweep"),
                overlap=timedelta(seconds=120),
                pauses=Pauses(first_s=0.05, longest_s=0.2),
            )
        )
        self.listener.start()

    def listen(self, *, address: str | None = None) -> None:
        """Listen, and return once every topic has told its place."""
        self.start(address=address)
        self.wait_for(
            lambda: (
                len([one for one in self.standings() if one.is_connected and one.replay_id])
                == len(self.topics)
            ),
            "the topics have a place",
        )

    def stop(self) -> None:
        if self.listener is not None:
            self.listener.stop()
            self.listener = None

    def listening(self, topic: str = ACCOUNTS) -> Listening:
        """Return what keeps the answers of a topic, without a thread around it."""
        return Listening(
            self.way_in.store,
            self.way_in.mappings,
            topic,
            self.org.organization_id,
            timedelta(seconds=120),
        )

    def oldest(self, topic: str = ACCOUNTS) -> FetchAnswer:
        """Return the first answer with events that a stream from the beginning gets."""
        with self.client() as client:
            stream = client.subscribe(topic, Preset.EARLIEST)
            try:
                return next(answer for answer in stream.answers() if answer.events)
            finally:
                stream.cancel()

    def kept_place(self, topic: str = ACCOUNTS) -> Place:
        with self.way_in.store.transaction() as tx:
            return place_of(tx, topic)

    def standings(self) -> tuple[TopicStanding, ...]:
        with self.way_in.store.read() as tx:
            return topic_standings(tx)

    def pages(self) -> list[list[dict[str, str]]]:
        """Return the hints stored, by inbox row."""
        rows = self.way_in.rows("SELECT content FROM inbox WHERE source = 'cdc' ORDER BY id")
        return [json.loads(bytes(row["content"])) for row in rows]

    def hints(self) -> list[tuple[str, str]]:
        """Return kind and record of every hint stored, oldest first."""
        return [(hint["change_type"], hint["sfid"]) for page in self.pages() for hint in page]

    def owed(self) -> dict[str, str]:
        rows = self.way_in.rows("SELECT object, reason FROM owed_sweep")
        return {row["object"]: row["reason"] for row in rows}

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        wait_until(condition, what=what)

    def wait_for_hints(self, count: int) -> list[tuple[str, str]]:
        self.wait_for(lambda: len(self.hints()) >= count, f"{count} hints are stored")
        return self.hints()

    def wait_past(self, replay_id: str | None, topic: str = ACCOUNTS) -> None:
        """Wait until the place of a topic has moved."""
        self.wait_for(
            lambda: any(
                one.topic == topic and one.replay_id != replay_id for one in self.standings()
            ),
            "the place has moved",
        )

    def place(self, topic: str = ACCOUNTS) -> str | None:
        return next(one.replay_id for one in self.standings() if one.topic == topic)


class Wire:
    """What lies between the listener and the org, and can be cut."""

    def __init__(self, far_end: str) -> None:
        host, _, port = far_end.rpartition(":")
        self._far_end = (host, int(port))
        self._is_cut = False
        self._ends: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._let_in, daemon=True).start()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def cut(self) -> None:
        self._is_cut = True
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._is_cut = False

    def _let_in(self) -> None:
        while True:
            try:
                near, _ = self._door.accept()
            except OSError:
                return
            if self._is_cut:
                near.close()
                continue
            far = socket.create_connection(self._far_end)
            self._ends += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65_536):
                sink.sendall(content)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
