"""A Pub/Sub client as people write it from Salesforce's sample: generated stubs, three headers."""

import io
import itertools
import json
import queue
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import fastavro
import grpc
import l2c_sandbox.events
from grpc_tools import protoc

PROTO = Path(l2c_sandbox.events.__file__).parent / "pubsub.proto"


def generated() -> tuple[Any, Any]:
    """Generate messages and stubs as a client does, in the default pool of this process."""
    if "pubsub_pb2_grpc" not in sys.modules:
        folder = tempfile.mkdtemp(prefix="pubsub-stubs-")
        code = protoc.main(
            ["protoc", f"-I{PROTO.parent}", f"--python_out={folder}",
             f"--grpc_python_out={folder}", str(PROTO)]
        )  # fmt: skip
        assert code == 0
        sys.path.insert(0, folder)
    return import_module("pubsub_pb2"), import_module("pubsub_pb2_grpc")


pb, pb_grpc = generated()


class PubSub:
    """One channel to the org, and the schemas it has seen."""

    def __init__(
        self,
        address: str,
        *,
        token: str,
        organization_id: str,
        instance_url: str = "https://org.example",
        root_certificate: bytes | None = None,
    ) -> None:
        if root_certificate is None:
            self.channel = grpc.insecure_channel(address)
        else:
            credentials = grpc.ssl_channel_credentials(root_certificate)
            self.channel = grpc.secure_channel(address, credentials)
        self.address = address
        self.stub = pb_grpc.PubSubStub(self.channel)
        self.headers = (
            ("accesstoken", token),
            ("instanceurl", instance_url),
            ("tenantid", organization_id),
        )
        self._schemas: dict[str, Any] = {}
        self.schema_texts: dict[str, str] = {}

    def topic(self, name: str) -> Any:
        request = pb.TopicRequest(topic_name=name)
        return self.stub.GetTopic(request, metadata=self.headers, timeout=10)

    def schema(self, schema_id: str) -> Any:
        if schema_id not in self._schemas:
            request = pb.SchemaRequest(schema_id=schema_id)
            answer = self.stub.GetSchema(request, metadata=self.headers, timeout=10)
            self.schema_texts[schema_id] = answer.schema_json
            self._schemas[schema_id] = fastavro.parse_schema(json.loads(answer.schema_json))
        return self._schemas[schema_id]

    def decode(self, event: Any) -> dict[str, Any]:
        reader = io.BytesIO(event.event.payload)
        return dict(fastavro.schemaless_reader(reader, self.schema(event.event.schema_id), None))

    def encode(self, schema_id: str, datum: dict[str, Any]) -> bytes:
        writer = io.BytesIO()
        fastavro.schemaless_writer(writer, self.schema(schema_id), datum)
        return writer.getvalue()

    def subscribe(self, topic: str, **options: Any) -> "Stream":
        return Stream(self, topic, **options)

    def managed(self, **first: Any) -> "ManagedStream":
        return ManagedStream(self, **first)

    def publish(self, topic: str, events: list[Any]) -> Any:
        request = pb.PublishRequest(topic_name=topic, events=events)
        return self.stub.Publish(request, metadata=self.headers, timeout=10)

    def names(self, event: dict[str, Any], schema_id: str, entry: str) -> set[str]:
        """Read a bitmap as clients do: hexadecimal, lowest bit first, compounds after a dash."""
        fields = self.schema(schema_id)["fields"]
        names: set[str] = set()
        for text in event["ChangeEventHeader"][entry]:
            parent, dash, bits = text.rpartition("-")
            inside, prefix = fields, ""
            if dash:
                outer = fields[int(parent)]
                record = next(kind for kind in outer["type"] if isinstance(kind, dict))
                inside, prefix = record["fields"], f"{outer['name']}."
            number = int(bits, 16)
            names |= {prefix + f["name"] for i, f in enumerate(inside) if number >> i & 1}
        return names


class Stream:
    """An open Subscribe stream."""

    def __init__(
        self, client: PubSub, topic: str, *, preset: str = "LATEST", replay_id: bytes = b"",
        want: int = 100,
    ) -> None:  # fmt: skip
        self._client = client
        self._requests: queue.Queue[Any] = queue.Queue()
        self._requests.put(
            pb.FetchRequest(
                topic_name=topic,
                replay_preset=pb.ReplayPreset.Value(preset),
                replay_id=replay_id,
                num_requested=want,
            )
        )
        self.call = client.stub.Subscribe(
            iter(self._requests.get, None), metadata=client.headers, timeout=20
        )
        self.responses: Iterator[Any] = iter(self.call)

    def more(self, count: int, **options: Any) -> None:
        self._requests.put(pb.FetchRequest(num_requested=count, **options))

    def finish(self) -> None:
        self._requests.put(None)

    def take(self, count: int) -> list[Any]:
        """Return the next events."""
        found: list[Any] = []
        while len(found) < count:
            found += next(self.responses).events
        return found

    def read(self, count: int) -> list[dict[str, Any]]:
        """Return the next events, decoded."""
        return [self._client.decode(event) for event in self.take(count)]

    def fails(self) -> grpc.RpcError:
        """Read until the stream ends with an error, and return that."""
        try:
            for _ in itertools.islice(self.responses, 1_000):
                continue
        except grpc.RpcError as error:
            return error
        raise AssertionError("the stream ended without an error")

    def close(self) -> None:
        self.call.cancel()
        self._requests.put(None)


class ManagedStream(Stream):
    """An open ManagedSubscribe stream, named by `developer_name` or `subscription_id`."""

    def __init__(self, client: PubSub, *, want: int = 100, **first: Any) -> None:
        self._client = client
        self._requests = queue.Queue()
        self._requests.put(pb.ManagedFetchRequest(num_requested=want, **first))
        self.call = client.stub.ManagedSubscribe(
            iter(self._requests.get, None), metadata=client.headers, timeout=20
        )
        self.responses = iter(self.call)

    def more(self, count: int, **options: Any) -> None:
        self._requests.put(pb.ManagedFetchRequest(num_requested=count, **options))

    def commit(self, replay_id: bytes, *, request_id: str = "c") -> None:
        commit = pb.CommitReplayRequest(commit_request_id=request_id, replay_id=replay_id)
        self._requests.put(pb.ManagedFetchRequest(commit_replay_id_request=commit))

    def committed(self) -> Any:
        """Return the next answer to a commit."""
        for answer in itertools.islice(self.responses, 1_000):
            if answer.HasField("commit_response"):
                return answer.commit_response
        raise AssertionError("the stream ended without an answer to the commit")


def error_code(error: grpc.RpcError) -> str:
    return str(dict(error.trailing_metadata())["error-code"])
