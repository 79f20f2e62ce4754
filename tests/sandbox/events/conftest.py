"""An org with a Pub/Sub port of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from events_client import PubSub
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer
from org_client import Client

SCHEMA = Path(__file__).parent / "schema"


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    org = Org(OrgSettings(schema=SCHEMA))
    started = SandboxServer(org, host="127.0.0.1", port=0, grpc_port=0)
    started.start()
    yield started
    started.close()


@pytest.fixture
def connect(server: SandboxServer, org: Client) -> Iterator[Callable[[], PubSub]]:
    """Opens Pub/Sub channels as the administrator."""
    opened: list[PubSub] = []

    def open_channel() -> PubSub:
        facts = server.facts()
        client = PubSub(
            facts["pubsub_address"],
            token=org.token,
            organization_id=facts["organization_id"],
            instance_url=org.base_url,
        )
        opened.append(client)
        return client

    yield open_channel
    for client in opened:
        client.channel.close()


@pytest.fixture
def pubsub(connect: Callable[[], PubSub]) -> PubSub:
    return connect()
