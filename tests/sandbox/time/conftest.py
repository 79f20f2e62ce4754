"""An org whose time stands still until a test moves it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer
from org_client import Client

SCHEMA = Path(__file__).parent.parent / "schema"


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    settings = OrgSettings(schema=SCHEMA, manual_clock=True)
    started = SandboxServer(Org(settings), host="127.0.0.1", port=0)
    started.start()
    yield started
    started.close()


@pytest.fixture
def org(server: SandboxServer) -> Client:
    requests.post(f"{server.base_url}/__sandbox__/reset", timeout=10)
    return Client(server.base_url)
