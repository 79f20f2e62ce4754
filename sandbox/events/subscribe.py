"""Subscribe: events in the order of their commits, as many as the client asked for (H.4)."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import grpc

from .. import clock
from .bus import ReplayRefused, StoredEvent, replay_bytes
from .calls import (
    UNAVAILABLE,
    Caller,
    Refusal,
    authenticate,
    begin,
    check_session,
    end,
    fault_of,
    invalid,
    meet_faults,
    topic_of,
)
from .channels import Topic
from .generated import pubsub_pb2 as pb
from .inbox import Inbox

if TYPE_CHECKING:
    from ..org import Org

MOST_AT_ONCE = 100
LOOK_EVERY_S = 1.0


class Subscription:
    """One Subscribe stream: its place in the topic and what the client still wants."""

    def __init__(self, org: "Org", caller: Caller, inbox: Inbox) -> None:
        self._org = org
        self._bus = org.events.bus
        self._caller = caller
        self._inbox = inbox
        self._topic: Topic | None = None
        self._position = 0
        self._pending = 0
        self._spoke_at_s = clock.monotonic_s()

    @property
    def _topic_name(self) -> str:
        return self._topic.name if self._topic is not None else ""

    def answers(self) -> Iterator[Any]:
        """Yield responses until the client or the org ends the stream.

        Raises:
            Refusal: The stream ends with an error.
        """
        while self._caller.is_active and not self._bus.closing:
            seen = self._bus.version
            self._take_requests()
            if self._topic is not None and self._pending > 0:
                begin(self._org, self._caller, topic=self._topic_name)
            answer = self._next(self._topic) if self._topic is not None else None
            if answer is not None:
                self._spoke_at_s = clock.monotonic_s()
                yield from self._parts(answer, topic=self._topic_name)
                meet_faults(self._org, self._caller, kinds=("drop_after",), topic=self._topic_name)
                continue
            with self._bus.changed:
                if self._inbox.closed and self._inbox.empty and self._pending <= 0:
                    return
                if self._inbox.empty and self._bus.version == seen:
                    self._bus.changed.wait(min(LOOK_EVERY_S, self._org.events.keep_alive_s))
            check_session(self._org, self._caller)

    def _take_requests(self) -> None:
        while True:
            with self._bus.changed:
                request = self._inbox.take()
            if request is None:
                return
            self._accept(request)

    def _accept(self, request: Any) -> None:
        if request.auth_refresh:
            self._refresh(request.auth_refresh)
        if self._topic is None:
            self._topic, self._position = self._open(request)
        else:
            self._check_same(request)
        if request.num_requested <= 0:
            message = f"The requested number of events must be positive: {request.num_requested}"
            raise invalid("subscription.fetch.requested.events.invalid", message)
        self._pending += min(request.num_requested, MOST_AT_ONCE)

    def _refresh(self, token: str) -> None:
        if self._org.sessions.find(token) is None:
            message = "The refreshed session is invalid."
            status = grpc.StatusCode.UNAUTHENTICATED
            raise Refusal(status, "service.auth.refresh.invalid", message)

    def _open(self, request: Any) -> tuple[Topic, int]:
        """Return the topic that the first request names, and where to begin."""
        return topic_of(self._org, request.topic_name), self._start(request)

    def _check_same(self, request: Any) -> None:
        """Refuse a later request that names something else."""
        if self._topic is not None and request.topic_name not in {"", self._topic.name}:
            message = f"The topic of a stream cannot change: {request.topic_name}"
            raise invalid("subscription.fetch.topic.name.invalid", message)

    def _start(self, request: Any) -> int:
        if request.replay_preset == pb.EARLIEST:
            return self._bus.floor()
        if request.replay_preset == pb.LATEST:
            return self._bus.last()
        return position_of(self._org, request.replay_id)

    def _next(self, topic: Topic) -> Any | None:
        """Return events, or after long silence the place reached."""
        most = min(self._pending, MOST_AT_ONCE)
        before = self._position
        if most > 0:
            # A selection may have changed since: the standard channel follows it.
            topic = self._org.events.channels.find(topic.name) or topic
            events, self._position = self._bus.read(topic.members, after=before, most=most)
            if events:
                return self._batch(topic, events, before=before)
        silent_s = clock.monotonic_s() - self._spoke_at_s
        if silent_s >= self._org.events.keep_alive_s:
            return self._response([])
        return None

    def _batch(self, topic: Topic, events: list[StoredEvent], *, before: int) -> Any:
        if not self._org.events.delivered.take(len(events)):
            message = "You have exceeded the event delivery limit for your org."
            status = grpc.StatusCode.RESOURCE_EXHAUSTED
            raise Refusal(status, "subscription.limit.exceeded", message)
        self._pending -= len(events)
        if self._is_hit("event_duplicate", topic):
            self._position = before  # the same events come once more
        if len(events) > 1 and self._is_hit("event_reorder", topic):
            events = events[::-1]
        return self._response(events)

    def _is_hit(self, kind: str, topic: Topic) -> bool:
        """Return whether a fault of events hits; its path is the topic's name."""
        fault = self._org.faults.for_request(
            topic.name,
            (kind,),
            user=self._caller.session.actor.username,
            objects=lambda: self._org.events.channels.objects(topic.name),
        )
        return fault is not None

    def _parts(self, answer: Any, *, topic: str) -> Iterator[Any]:
        """Yield an answer as scheduled faults let it through."""
        events = list(answer.events)
        if events and fault_of(self._org, self._caller, kinds=("truncate",), topic=topic):
            if len(events) > 1:
                yield _some(answer, events[: len(events) // 2])
            raise Refusal(*UNAVAILABLE, "The connection was cut.")
        slow = (
            fault_of(self._org, self._caller, kinds=("trickle",), topic=topic) if events else None
        )
        if slow is None:
            yield answer
            return
        for event in events:
            clock.pause(slow.seconds / len(events))
            yield _some(answer, [event])

    def _response(self, events: list[StoredEvent]) -> Any:
        reached = max((event.replay for event in events), default=self._position)
        return self._new_response(
            events=[
                pb.ConsumerEvent(
                    event=pb.ProducerEvent(
                        id=event.event_id, schema_id=event.schema_id, payload=event.payload
                    ),
                    replay_id=replay_bytes(event.replay),
                )
                for event in events
            ],
            latest_replay_id=replay_bytes(reached),
            rpc_id=self._caller.rpc_id,
            pending_num_requested=self._pending,
        )

    def _new_response(self, **fields: Any) -> Any:
        return pb.FetchResponse(**fields)


def _some(answer: Any, events: list[Any]) -> Any:
    return pb.FetchResponse(
        events=events,
        latest_replay_id=events[-1].replay_id,
        rpc_id=answer.rpc_id,
        pending_num_requested=answer.pending_num_requested,
    )


def position_of(org: "Org", replay_id: bytes) -> int:
    """Return the place of a client's replay id.

    Raises:
        Refusal: INVALID_ARGUMENT; the client starts again at EARLIEST or LATEST.
    """
    try:
        return org.events.bus.position(replay_id)
    except ReplayRefused as error:
        raise invalid(f"subscription.fetch.replayid.{error.reason}", str(error)) from error


def streaming(
    org: "Org",
    method: str,
    answers: Callable[["Org", Caller, Inbox], Iterator[Any]],
) -> Callable[[Iterator[Any], Any], Iterator[Any]]:
    """Return a streaming gRPC behaviour: known caller, requests beside answers, refusals."""

    def behave(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        inbox = None
        try:
            caller = authenticate(org, context, method)
            inbox = Inbox(requests, org.events.bus.changed)
            context.add_callback(org.events.bus.wake)
            yield from answers(org, caller, inbox)
        except Exception as error:
            end(context, error)
        finally:
            if inbox is not None:
                inbox.close()

    return behave


def subscribe(org: "Org", caller: Caller, inbox: Inbox) -> Iterator[Any]:
    """Answer a Subscribe stream."""
    yield from Subscription(org, caller, inbox).answers()
