"""Calls to the Pub/Sub API of a tried org, with requests and answers as plain values."""

import io
import itertools
import json
import queue
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import fastavro
import grpc

from connector.adapters.salesforce.generated import pubsub_pb2 as pb
from connector.adapters.salesforce.transport import is_loopback

SERVICE = "/eventbus.v1.PubSub/"
TIMEOUT_S = 20
ANSWERS_MAX = 1_000  # of one stream
UNARY: Mapping[str, tuple[Any, Any]] = {
    "GetTopic": (pb.TopicRequest, pb.TopicInfo),
    "GetSchema": (pb.SchemaRequest, pb.SchemaInfo),
}
STREAMS: Mapping[str, tuple[Any, Any]] = {
    "Subscribe": (pb.FetchRequest, pb.FetchResponse),
    "ManagedSubscribe": (pb.ManagedFetchRequest, pb.ManagedFetchResponse),
}


@dataclass(frozen=True, slots=True)
class Reply:
    """How a call ended: the name of its status, the trailer that explains it, and its answer."""

    status: str
    error_code: str
    body: Any


class EventCalls:
    """One channel to the Pub/Sub API, as one user; it lives as long as the process.

    Requests have the names of the proto (fact sheet H.4); bytes are hexadecimal. A stream also
    takes `about`: only events that hold this text are returned, and it is read until there is one.
    """

    def __init__(self, address: str, *, instance_url: str, organization_id: str) -> None:
        if is_loopback(f"https://{address}"):
            self._channel = grpc.insecure_channel(address)
        else:
            self._channel = grpc.secure_channel(address, grpc.ssl_channel_credentials())
        self._headers = (("instanceurl", instance_url), ("tenantid", organization_id))
        self._schemas: dict[str, Any] = {}

    def call(self, name: str, ask: Mapping[str, Any], *, token: str) -> Reply:
        """Make one call; a refusal is a reply, too."""
        metadata = (("accesstoken", token), *self._headers)
        try:
            body = CALLS[name](self, name, ask, metadata)
        except grpc.RpcError as error:
            trailers = dict(error.trailing_metadata() or ())
            return Reply(error.code().name, str(trailers.get("error-code", "")), error.details())
        return Reply("OK", "", body)

    def _unary(self, name: str, ask: Mapping[str, Any], metadata: Any) -> dict[str, Any]:
        request, answer = UNARY[name]
        call = self._channel.unary_unary(
            SERVICE + name,
            request_serializer=request.SerializeToString,
            response_deserializer=answer.FromString,
        )
        found = _plain(call(request(**ask), metadata=metadata, timeout=TIMEOUT_S))
        if "schema_json" in found:
            found["schema"] = json.loads(found["schema_json"])
        return found

    def _publish(self, name: str, ask: Mapping[str, Any], metadata: Any) -> dict[str, Any]:
        """Publish events given as `values`, or as a hexadecimal `payload`, by either call."""
        topic = self._unary("GetTopic", {"topic_name": ask["topic_name"]}, metadata)
        schema = self._schema(topic["schema_id"], metadata)
        events = [
            pb.ProducerEvent(
                id=event.get("id", ""),
                schema_id=event.get("schema_id", topic["schema_id"]),
                payload=_payload(event, schema),
            )
            for event in ask["events"]
        ]
        request = pb.PublishRequest(topic_name=ask["topic_name"], events=events)
        kinds = {
            "request_serializer": pb.PublishRequest.SerializeToString,
            "response_deserializer": pb.PublishResponse.FromString,
        }
        if name == "Publish":
            call = self._channel.unary_unary(SERVICE + name, **kinds)
            answer = call(request, metadata=metadata, timeout=TIMEOUT_S)
        else:
            stream = self._channel.stream_stream(SERVICE + name, **kinds)
            answer = next(stream(iter([request]), metadata=metadata, timeout=TIMEOUT_S))
        results = [
            {
                "replay_id": result.replay_id.hex(),
                "correlation_key": result.correlation_key,
                "error": pb.ErrorCode.Name(result.error.code) if result.HasField("error") else None,
            }
            for result in answer.results
        ]
        return {"results": results, "schema_id": answer.schema_id, "rpc_id": answer.rpc_id}

    def _stream(self, name: str, ask: Mapping[str, Any], metadata: Any) -> dict[str, Any]:
        """Return the events about something, and how they came."""
        about = ask.get("about", "")
        asked, answered = STREAMS[name]
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        requests.put(_first(name, ask))
        call = self._channel.stream_stream(
            SERVICE + name,
            request_serializer=asked.SerializeToString,
            response_deserializer=answered.FromString,
        )(iter(requests.get, None), metadata=metadata, timeout=TIMEOUT_S)
        events: list[dict[str, Any]] = []
        answers: list[dict[str, Any]] = []
        try:
            for answer in itertools.islice(call, ANSWERS_MAX):
                read = [self._read(event, metadata) for event in answer.events]
                events += [event for event in read if about in json.dumps(event, default=str)]
                answers.append(
                    {
                        "count": len(answer.events),
                        "pending_num_requested": answer.pending_num_requested,
                        "latest_replay_id": answer.latest_replay_id.hex(),
                    }
                )
                if events:
                    break
                if not answer.pending_num_requested:
                    requests.put(asked(num_requested=ask["num_requested"]))
        finally:
            call.cancel()
            requests.put(None)
        return {"events": events, "answers": answers}

    def _read(self, event: Any, metadata: Any) -> dict[str, Any]:
        schema = self._schema(event.event.schema_id, metadata)
        datum = fastavro.schemaless_reader(io.BytesIO(event.event.payload), schema, None)
        assert isinstance(datum, dict)
        header = datum.pop("ChangeEventHeader", {})
        named = {
            f"{kind}_names": sorted(_names(schema["fields"], header.get(f"{kind}Fields", [])))
            for kind in ("changed", "nulled")
        }
        return {
            "id": event.event.id,
            "replay_id": event.replay_id.hex(),
            "header": header,
            "values": datum,
            **named,
        }

    def _schema(self, schema_id: str, metadata: Any) -> Any:
        if schema_id not in self._schemas:
            found = self._unary("GetSchema", {"schema_id": schema_id}, metadata)
            self._schemas[schema_id] = fastavro.parse_schema(found["schema"])
        return self._schemas[schema_id]


def _payload(event: Mapping[str, Any], schema: Any) -> bytes:
    if "payload" in event:
        return bytes.fromhex(event["payload"])
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, dict(event["values"]))
    return out.getvalue()


def _first(name: str, ask: Mapping[str, Any]) -> Any:
    if name == "ManagedSubscribe":
        return pb.ManagedFetchRequest(
            developer_name=ask["developer_name"], num_requested=ask["num_requested"]
        )
    return pb.FetchRequest(
        topic_name=ask["topic_name"],
        replay_preset=pb.ReplayPreset.Value(ask.get("replay_preset", "LATEST")),
        replay_id=bytes.fromhex(ask.get("replay_id", "")),
        num_requested=ask["num_requested"],
    )


def _plain(message: Any) -> dict[str, Any]:
    """Return a message of texts and flags; what it does not say has its empty value."""
    return {item.name: getattr(message, item.name) for item in message.DESCRIPTOR.fields}


def _names(fields: list[dict[str, Any]], entries: list[str]) -> Iterator[str]:
    """Yield the fields that bitmaps name; those of compounds with a dot."""
    for entry in entries:
        parent, dash, bits = entry.rpartition("-")
        inside, prefix = fields, ""
        if dash:
            outer = fields[int(parent)]
            kind = next(kind for kind in outer["type"] if kind != "null")
            inside = kind["fields"] if isinstance(kind, dict) else []
            prefix = f"{outer['name']}."
        number = int(bits, 16)
        yield from (prefix + f["name"] for i, f in enumerate(inside) if number >> i & 1)


CALLS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "GetTopic": EventCalls._unary,
    "GetSchema": EventCalls._unary,
    "Publish": EventCalls._publish,
    "PublishStream": EventCalls._publish,
    "Subscribe": EventCalls._stream,
    "ManagedSubscribe": EventCalls._stream,
}
