"""Listens to change events as long as the process runs: a thread per topic, one that watches them.

However many processes run, one of them listens; the others wait for its lock. Streams die, as
Salesforce says: each is opened again from the stored replay id, after pauses that grow.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import psycopg
import structlog

from connector.adapters.salesforce.pubsub import Preset, PubSubClient, Start, Subscription
from connector.adapters.salesforce.pubsub_errors import ReplayIdRefused
from connector.errors import ConnectorError
from connector.kernel.clock import monotonic_s
from connector.store.engine import Store
from connector.sync.capture.event_topics import FOLLOWER_LOCK, Place, place_of, tell
from connector.sync.capture.events import Heard, Listening
from connector.sync.mapping.definition import Mappings

log = structlog.get_logger(__name__)

# An org says at least every 270 s that it is there (fact sheet H.4).
SILENCE_MAX_S = 330
_KNOWN_MAX = 1_000  # replay ids remembered to recognise events that come twice
_WATCH_EVERY_S = 5
_STOP_WAIT_S = 30
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long to wait before a stream is opened again: doubling from the first to the longest."""

    first_s: float = 1
    longest_s: float = 300

    def after(self, failures: int) -> float:
        """Return the pause after so many failures without an answer in between."""
        return min(self.first_s * (1 << min(failures - 1, 16)), self.longest_s)


@dataclass(frozen=True, slots=True)
class EventWork:
    """What listening needs and whom it tells.

    Attributes:
        open_client: Opens the channel, in the process and at the time that it is needed.
        on_hints: Called after hints were stored.
        on_sweeps: Called after a sweep has become necessary.
        overlap: How far a bounded sweep looks back at least.
    """

    store: Store
    mappings: Mappings
    topics: Sequence[str]
    open_client: Callable[[], PubSubClient]
    on_hints: Callable[[], None]
    on_sweeps: Callable[[], None]
    overlap: timedelta
    pauses: Pauses = Pauses()


class EventListener:
    """Listens in threads of its own until it is stopped."""

    def __init__(self, work: EventWork) -> None:
        self._work = work
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start listening; returns at once, whether the org answers or not."""
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the streams and let what was heard be stored."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_STOP_WAIT_S)
            if self._thread.is_alive():
                log.warning("events.listener_left_running")
            self._thread = None

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                with psycopg.connect(
                    self._work.store.conninfo, autocommit=True, application_name="l2c events"
                ) as connection:
                    if self._is_ours(connection):
                        failures = 0
                        self._listen(connection)
            except Exception as error:  # the database went away, or the login is refused
                failures += 1
                log.warning("events.listener_restarts", error=type(error).__name__)
                self._stopping.wait(self._work.pauses.after(failures))
            else:
                self._stopping.wait(min(self._work.pauses.longest_s, _WATCH_EVERY_S))

    def _is_ours(self, connection: psycopg.Connection[tuple[object, ...]]) -> bool:
        found = connection.execute(_LOCK, [FOLLOWER_LOCK]).fetchone()
        return found is not None and bool(found[0])

    def _listen(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        """Follow all topics while the lock of this connection is ours."""
        with self._work.open_client() as client:
            followers = [_Follower(self._work, client, topic) for topic in self._work.topics]
            try:
                for follower in followers:
                    follower.start()
                while not self._stopping.wait(_WATCH_EVERY_S):
                    connection.execute("SELECT 1")  # raises when the lock is lost with it
                    for follower in followers:
                        follower.end_silence()
            finally:
                for follower in followers:
                    follower.ask_to_stop()
                client.close()  # ends calls that wait for an answer
                for follower in followers:
                    follower.wait()


class _Follower:
    """Follows one topic."""

    def __init__(self, work: EventWork, client: PubSubClient, topic: str) -> None:
        self._work = work
        self._client = client
        self._topic = topic
        self._stopping = threading.Event()
        self._stream: Subscription | None = None
        self._heard_s = monotonic_s()
        self._failures = 0
        self._known: deque[bytes] = deque(maxlen=_KNOWN_MAX)
        self._thread = threading.Thread(target=self._run, name=f"events {topic}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        self._stopping.set()
        stream = self._stream
        if stream is not None:
            stream.cancel()

    def wait(self) -> None:
        self._thread.join(_STOP_WAIT_S)

    def end_silence(self) -> None:
        """End a stream that has given no sign of life: it will be opened anew."""
        stream = self._stream
        if stream is not None and monotonic_s() - self._heard_s > SILENCE_MAX_S:
            log.warning("events.silence", topic=self._topic)
            stream.cancel()

    def _run(self) -> None:
        while not self._stopping.is_set():
            problem: str | None = None
            try:
                self._follow()
            except ConnectorError as error:
                problem = f"{error.code}: {error.message}"
                log.warning("events.stream_ended", topic=self._topic, code=error.code)
            except Exception as error:  # the database is away, or a fault of ours
                problem = type(error).__name__
                log.warning("events.stream_failed", topic=self._topic, error=problem)
            if self._stopping.is_set():
                problem = None  # ending a call is no trouble when it is we who end it
            self._say(is_connected=False, problem=problem)
            if problem is not None:
                self._failures += 1
                self._stopping.wait(self._work.pauses.after(self._failures))

    def _say(self, *, is_connected: bool, problem: str | None = None) -> None:
        try:
            with self._work.store.transaction() as tx:
                tell(tx, self._topic, is_connected=is_connected, problem=problem)
        except Exception as error:  # only people miss it
            log.warning("events.untold", topic=self._topic, error=type(error).__name__)

    def _follow(self) -> None:
        """Open a stream where the topic stands and store its answers until it ends."""
        work = self._work
        with work.store.transaction() as tx:
            place = place_of(tx, self._topic)
        self._client.check_topic(self._topic)
        listening = Listening(
            work.store,
            work.mappings,
            self._topic,
            self._client.tokens.current().organization_id,
            work.overlap,
        )
        stream = self._client.subscribe(self._topic, _start(place))
        self._heard_s = monotonic_s()
        self._stream = stream
        if self._stopping.is_set():
            return
        self._say(is_connected=True)
        log.info("events.connected", topic=self._topic)
        try:
            for answer in stream.answers():
                heard = listening.keep(answer, place, known=self._known)
                place = heard.place
                self._known.extend(event.replay_id for event in answer.events)
                self._heard_s = monotonic_s()
                self._failures = 0
                self._tell_of(heard)
        except ReplayIdRefused:
            if listening.start_over(place):
                work.on_sweeps()
            raise
        finally:
            self._stream = None
            stream.cancel()

    def _tell_of(self, heard: Heard) -> None:
        if heard.hints:
            self._work.on_hints()
        if heard.sweeps:
            self._work.on_sweeps()
        log.debug(
            "events.heard",
            topic=self._topic,
            hints=len(heard.hints),
            echoes=heard.echoes,
            unmapped=heard.unmapped,
            repeated=heard.repeated,
        )


def _start(place: Place) -> Start:
    if place.replay_id is not None:
        return place.replay_id
    return Preset.EARLIEST if place.from_earliest else Preset.LATEST
