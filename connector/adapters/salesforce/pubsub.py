"""Salesforce's Pub/Sub API: topics, schemas, and streams of change events (fact sheet H.4).

A channel belongs to the process that opened it: open it after any fork.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Self

import grpc

from connector.adapters.salesforce.change_events import ChangeEvent, EventSchema, UnreadableEvent
from connector.adapters.salesforce.errors import OrgUnavailable
from connector.adapters.salesforce.generated import pubsub_pb2 as pb
from connector.adapters.salesforce.login import Token
from connector.adapters.salesforce.pubsub_errors import EventsRefused, error_of_call
from connector.adapters.salesforce.session import TokenHolder
from connector.adapters.salesforce.transport import is_loopback
from connector.errors import Misconfigured

DEFAULT_ENDPOINT = "api.pubsub.salesforce.com:7443"
EVENTS_ASKED = 100  # the most one request may ask for
_ASK_AGAIN_AT = EVENTS_ASKED // 2
_ANSWER_BYTES_MAX = 128 * 1024 * 1024  # a hundred events of 1 MB, the most one may have
_SCHEMAS_MAX = 1_000
_RECONNECT_MS_MAX = 1_000
_SERVICE = "/eventbus.v1.PubSub/"


class Preset(Enum):
    """Where a stream begins that has no place to go on from."""

    LATEST = pb.LATEST
    EARLIEST = pb.EARLIEST


Start = Preset | bytes  # bytes: behind the event with this replay id


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event and its place; `change` is None when nobody can say what it tells."""

    replay_id: bytes
    change: ChangeEvent | None


@dataclass(frozen=True, slots=True)
class FetchAnswer:
    """Up to 100 events in the order of their commits, or none: a sign of life.

    Attributes:
        latest_replay_id: The place reached when there are no events.
    """

    events: tuple[ReceivedEvent, ...]
    latest_replay_id: bytes

    @property
    def place(self) -> bytes:
        """Return from where to go on once this answer is stored: never beyond its last event."""
        return self.events[-1].replay_id if self.events else self.latest_replay_id


class PubSubClient:
    """The Pub/Sub API of one org. Threads may share one client and its one channel.

    Args:
        endpoint: Host and port.
        tokens: The session that REST uses, too.
        ca_file: Certificates to trust instead of the usual ones. A loopback endpoint without them
            is spoken to in the clear, every other one over TLS only.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        tokens: TokenHolder,
        ca_file: Path | None = None,
        timeout_s: int = 30,
    ) -> None:
        self.tokens = tokens
        self._timeout_s = timeout_s
        self._channel = _channel(endpoint, ca_file)
        self._get_topic = self._unary("GetTopic", pb.TopicRequest, pb.TopicInfo)
        self._get_schema = self._unary("GetSchema", pb.SchemaRequest, pb.SchemaInfo)
        self._fetch = self._channel.stream_stream(
            _SERVICE + "Subscribe",
            request_serializer=pb.FetchRequest.SerializeToString,
            response_deserializer=pb.FetchResponse.FromString,
        )
        self._schemas: dict[str, EventSchema | None] = {}
        self._schemas_lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel; streams that are open end."""
        self._channel.close()

    def check_topic(self, topic: str) -> None:
        """Make sure that the topic is there for us, with a session that is accepted.

        Raises:
            EventsRefused: There is no such topic, or we may not hear it.
            OrgUnavailable: No answer, or a new session that is refused, too.
        """
        info = self._call(self._get_topic, pb.TopicRequest(topic_name=topic))
        if not info.can_subscribe:
            raise EventsRefused(
                f"{topic} cannot be subscribed to.", error_code="PERMISSION_DENIED", status=0
            )

    def subscribe(self, topic: str, start: Start) -> "Subscription":
        """Return a stream of the topic's events; it begins when its answers are read."""
        return Subscription(self, topic, start)

    def read(self, event: Any) -> ReceivedEvent:
        """Return what an event on the wire says; the schema it names is read once."""
        schema = self._schema(event.event.schema_id)
        try:
            change = schema.read(event.event.payload) if schema is not None else None
        except UnreadableEvent:
            change = None
        return ReceivedEvent(event.replay_id, change)

    def stream(self, requests: Iterator[Any]) -> Any:
        """Open the call under a subscription."""
        return self._fetch(requests, metadata=_metadata(self.tokens.current()))

    def _schema(self, schema_id: str) -> EventSchema | None:
        with self._schemas_lock:
            if schema_id in self._schemas:
                return self._schemas[schema_id]
        schema: EventSchema | None = None
        try:
            found = self._call(self._get_schema, pb.SchemaRequest(schema_id=schema_id))
            schema = EventSchema(found.schema_json)
        except (EventsRefused, UnreadableEvent):
            schema = None  # the org does not know its own schema: asking again would not help
        with self._schemas_lock:
            if len(self._schemas) >= _SCHEMAS_MAX:
                self._schemas.clear()
            self._schemas[schema_id] = schema
        return schema

    def _unary(self, name: str, request: Any, answer: Any) -> Callable[..., Any]:
        call: Callable[..., Any] = self._channel.unary_unary(
            _SERVICE + name,
            request_serializer=request.SerializeToString,
            response_deserializer=answer.FromString,
        )
        return call

    def _call(self, call: Callable[..., Any], request: Any) -> Any:
        """Call, with a new session once if the one we have has ended."""
        token = self.tokens.current()
        try:
            return call(request, metadata=_metadata(token), timeout=self._timeout_s)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                raise error_of_call(error) from None
        token = self.tokens.renewed(instead_of=token)
        try:
            return call(request, metadata=_metadata(token), timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise error_of_call(error) from None


class Subscription:
    """One stream. Events are asked for as answers are read, never more than 100 ahead."""

    def __init__(self, client: PubSubClient, topic: str, start: Start) -> None:
        self._client = client
        self._topic = topic
        self._start = start
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._call: Any = None
        self._lock = threading.Lock()
        self._cancelled = False

    def answers(self) -> Iterator[FetchAnswer]:
        """Yield answers until the stream is cancelled; asking for the next says "this is stored".

        Raises:
            ReplayIdRefused: The start is no place of this topic (any more).
            EventLimit: The org delivers no more for now.
            EventsRefused: Something else is wrong with what was asked.
            OrgUnavailable: The stream ended, as streams do.
        """
        self._requests.put(self._first_request())
        with self._lock:
            if self._cancelled:
                return
            self._call = self._client.stream(iter(self._requests.get, None))
        try:
            for answer in self._call:
                yield FetchAnswer(
                    tuple(self._client.read(event) for event in answer.events),
                    answer.latest_replay_id,
                )
                if answer.pending_num_requested <= _ASK_AGAIN_AT:
                    more = EVENTS_ASKED - answer.pending_num_requested
                    self._requests.put(pb.FetchRequest(topic_name=self._topic, num_requested=more))
            if not self._cancelled:
                raise OrgUnavailable("The org ended the stream of events.")
        except grpc.RpcError as error:
            if not self._cancelled:
                raise error_of_call(error) from None
        finally:
            self.cancel()

    def cancel(self) -> None:
        """End the stream; any thread may."""
        with self._lock:
            self._cancelled = True
            call = self._call
        self._requests.put(None)
        if call is not None:
            call.cancel()

    def _first_request(self) -> Any:
        if isinstance(self._start, bytes):
            return pb.FetchRequest(
                topic_name=self._topic,
                replay_preset=pb.CUSTOM,
                replay_id=self._start,
                num_requested=EVENTS_ASKED,
            )
        return pb.FetchRequest(
            topic_name=self._topic, replay_preset=self._start.value, num_requested=EVENTS_ASKED
        )


def _metadata(token: Token) -> tuple[tuple[str, str], ...]:
    return (
        ("accesstoken", token.access_token),
        ("instanceurl", token.instance_url),
        ("tenantid", token.organization_id),
    )


def _channel(endpoint: str, ca_file: Path | None) -> grpc.Channel:
    host, separator, port = endpoint.rpartition(":")
    if not separator or not host or not port.isdigit():
        raise Misconfigured(
            f"{endpoint!r} is no address of a Pub/Sub API.",
            remedy=f"Write pubsub.endpoint as host:port, such as {DEFAULT_ENDPOINT}.",
        )
    is_local = is_loopback(f"https://{endpoint}")
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", _ANSWER_BYTES_MAX),
        # The pauses are ours to make; gRPC's own would grow to two minutes on top of them.
        ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS_MAX),
        ("grpc.enable_http_proxy", 0 if is_local else 1),
    ]
    if is_local and ca_file is None:
        return grpc.insecure_channel(endpoint, options=options)
    trusted = ca_file.read_bytes() if ca_file is not None else None
    return grpc.secure_channel(
        endpoint, grpc.ssl_channel_credentials(root_certificates=trusted), options=options
    )
