"""Publish and PublishStream: platform events from clients, each with its own result (H.4, H.5)."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import grpc

from .. import clock
from .avro import platform_schema
from .bus import replay_bytes
from .calls import AFTER, Caller, Refusal, begin, check_session, invalid, meet_faults, topic_of
from .capture import MAX_EVENT_BYTES
from .channels import Topic
from .generated import pubsub_pb2 as pb
from .inbox import Inbox

if TYPE_CHECKING:
    from ..org import Org

MOST_PER_REQUEST = 200


def publish(org: "Org", request: Any, caller: Caller) -> Any:
    """Answer a Publish call."""
    return publish_to(org, _publishable(org, request.topic_name), request, caller)


def publish_stream(org: "Org", caller: Caller, inbox: Inbox) -> Iterator[Any]:
    """Answer a PublishStream: each request by a response, until 70 seconds pass without one."""
    bus, topic = org.events.bus, None
    heard_at_s = clock.monotonic_s()
    while caller.is_active and not bus.closing:
        with bus.changed:
            request = inbox.take()
            if request is None and inbox.closed:
                return
            if request is None:
                bus.changed.wait(min(1.0, org.events.publish_idle_s))
        if request is None:
            check_session(org, caller)
            if clock.monotonic_s() - heard_at_s >= org.events.publish_idle_s:
                message = "No publish request was received in time; the stream is closed."
                status = grpc.StatusCode.DEADLINE_EXCEEDED
                raise Refusal(status, "publish.stream.idle", message)
            continue
        heard_at_s = clock.monotonic_s()
        begin(org, caller, topic=request.topic_name or (topic.name if topic is not None else ""))
        if topic is None:
            topic = _publishable(org, request.topic_name)
        elif request.topic_name not in {"", topic.name}:
            message = f"The topic of a stream cannot change: {request.topic_name}"
            raise invalid("publish.topic.name.invalid", message)
        answer = publish_to(org, topic, request, caller)
        meet_faults(org, caller, kinds=AFTER, topic=topic.name)
        yield answer


def _publishable(org: "Org", name: str) -> Topic:
    topic = topic_of(org, name)
    if topic.event is None:
        message = f"Events cannot be published to the topic {name}."
        raise Refusal(grpc.StatusCode.PERMISSION_DENIED, "publish.topic.access.denied", message)
    return topic


def publish_to(org: "Org", topic: Topic, request: Any, caller: Caller) -> Any:
    """Put the good events of a request on the bus, in one transaction.

    Raises:
        Refusal: INVALID_ARGUMENT for no events at all or more than 200.
    """
    if not 0 < len(request.events) <= MOST_PER_REQUEST:
        message = f"A publish request must have 1 to {MOST_PER_REQUEST} events."
        raise invalid("publish.events.count.invalid", message)
    with org.database.write() as connection:
        results = []
        for event in request.events:
            refused = _check(org, topic, event) or _fault_of_row(org, topic, caller)
            if refused is None and not org.events.may_publish(connection):
                refused = "You have exceeded the event publishing limit for your org."
            if refused is not None:
                error = pb.Error(code=pb.PUBLISH, msg=refused)
                results.append(pb.PublishResult(error=error, correlation_key=event.id))
                continue
            schema = org.events.bus.schema(event.schema_id) or topic.schema
            number = org.events.bus.append(
                connection, topic.name, schema, event.payload, event_id=event.id or None
            )
            replay_id = replay_bytes(number)
            results.append(pb.PublishResult(replay_id=replay_id, correlation_key=event.id))
        org.events.count_published(connection)
    org.events.bus.wake()
    return pb.PublishResponse(results=results, schema_id=topic.schema.id, rpc_id=caller.rpc_id)


def _fault_of_row(org: "Org", topic: Topic, caller: Caller) -> str | None:
    assert topic.event is not None
    error = org.faults.for_row(topic.event.name, user=caller.session.actor.username)
    return error.message if error is not None else None


def _check(org: "Org", topic: Topic, event: Any) -> str | None:
    """Return why an event cannot be published, or None."""
    assert topic.event is not None
    if len(event.payload) > MAX_EVENT_BYTES:
        return "The event message is larger than 1 MB."
    current = platform_schema(topic.event)
    schema = current if event.schema_id == current.id else org.events.bus.schema(event.schema_id)
    if schema is None or schema.parsed["name"] != current.parsed["name"]:
        return f"The schema ID {event.schema_id} is not valid for the topic {topic.name}."
    try:
        datum = schema.decode(event.payload)
    except ValueError as error:
        return str(error)
    missing = [
        f.name for f in topic.event.fields if f.custom and f.required and datum.get(f.name) is None
    ]
    if missing:
        return f"Required fields are missing: [{', '.join(missing)}]"
    for f in topic.event.fields:
        value = datum.get(f.name)
        if isinstance(value, str) and f.length and len(value) > f.length:
            return f"{f.label}: data value too large (max length={f.length})"
    return None
