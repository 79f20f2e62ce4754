"""The gRPC server of the Pub/Sub API, in the process of the local org."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from ..errors import SetupError
from ..ports import check_free
from .calls import SERVICE, Caller, Refusal, guarded, topic_of
from .generated import pubsub_pb2 as pb
from .managed_subscribe import managed_subscribe
from .publish import publish, publish_stream
from .subscribe import streaming, subscribe

if TYPE_CHECKING:
    from ..org import Org
    from ..tls import Certificate

MOST_STREAMS = 200
STOP_S = 0.5


class PubSubServer:
    """Listens for Pub/Sub calls of one org."""

    def __init__(
        self, org: "Org", *, host: str, port: int, certificate: "Certificate | None" = None
    ) -> None:
        self._org = org
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=MOST_STREAMS, thread_name_prefix="pubsub"),
            maximum_concurrent_rpcs=MOST_STREAMS,
            options=(("grpc.so_reuseport", 0),),
        )
        self._server.add_generic_rpc_handlers((_handlers(org),))
        name = f"[{host}]" if ":" in host else host
        # gRPC tells of a refused port in lines of its own, so it must not meet one.
        check_free("--grpc-port", host=host, port=port)
        try:
            if certificate is None:
                bound = self._server.add_insecure_port(f"{name}:{port}")
            else:
                bound = self._server.add_secure_port(f"{name}:{port}", _credentials(certificate))
        except RuntimeError as error:
            raise SetupError(f"--grpc-port {port} cannot be listened on: {error}") from error
        self.address = f"{name}:{bound}"

    def start(self) -> None:
        """Serve in threads."""
        self._server.start()

    def close(self) -> None:
        """End all streams and free the port."""
        self._org.events.bus.close()
        self._server.stop(STOP_S).wait(timeout=5)


def _credentials(certificate: "Certificate") -> Any:
    key = Path(certificate.key_file).read_bytes()
    chain = Path(certificate.certificate_file).read_bytes()
    return grpc.ssl_server_credentials([(key, chain)])


def _get_topic(org: "Org", request: Any, caller: Caller) -> Any:
    topic = topic_of(org, request.topic_name)
    org.events.bus.keep_schema(topic.schema)
    return pb.TopicInfo(
        topic_name=topic.name,
        tenant_guid=org.organization_id,
        can_publish=topic.event is not None,
        can_subscribe=True,
        schema_id=topic.schema.id,
        rpc_id=caller.rpc_id,
    )


def _get_schema(org: "Org", request: Any, caller: Caller) -> Any:
    schema = org.events.bus.schema(request.schema_id)
    if schema is None:
        message = f"The schema with ID {request.schema_id} does not exist."
        raise Refusal(grpc.StatusCode.NOT_FOUND, "schema.not.found", message)
    return pb.SchemaInfo(schema_json=schema.text, schema_id=schema.id, rpc_id=caller.rpc_id)


def _handlers(org: "Org") -> Any:
    unary = grpc.unary_unary_rpc_method_handler
    stream = grpc.stream_stream_rpc_method_handler

    def of(make: Any, behaviour: Any, request: Any, response: Any) -> Any:
        return make(
            behaviour,
            request_deserializer=request.FromString,
            response_serializer=response.SerializeToString,
        )

    topic = guarded(org, "GetTopic", _get_topic)
    schema = guarded(org, "GetSchema", _get_schema)
    publishing = guarded(org, "Publish", publish)
    subscription = streaming(org, "Subscribe", subscribe)
    managed = streaming(org, "ManagedSubscribe", managed_subscribe)
    publications = streaming(org, "PublishStream", publish_stream)
    methods = {
        "GetTopic": of(unary, topic, pb.TopicRequest, pb.TopicInfo),
        "GetSchema": of(unary, schema, pb.SchemaRequest, pb.SchemaInfo),
        "Publish": of(unary, publishing, pb.PublishRequest, pb.PublishResponse),
        "Subscribe": of(stream, subscription, pb.FetchRequest, pb.FetchResponse),
        "ManagedSubscribe": of(stream, managed, pb.ManagedFetchRequest, pb.ManagedFetchResponse),
        "PublishStream": of(stream, publications, pb.PublishRequest, pb.PublishResponse),
    }
    return grpc.method_handlers_generic_handler(SERVICE, methods)
