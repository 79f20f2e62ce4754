"""An org of its own for every test file, and a client that speaks plain HTTP to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer
from org_client import Client

SCHEMA = Path(__file__).parent / "schema"


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    started = SandboxServer(Org(OrgSettings(schema=SCHEMA)), host="127.0.0.1", port=0)
    started.start()
    yield started
    started.close()


@pytest.fixture
def org(server: SandboxServer) -> Client:
    """The org as seen by its administrator, freshly reset."""
    requests.post(f"{server.base_url}/__sandbox__/reset", timeout=10)
    return Client(server.base_url)


@pytest.fixture
def integration(org: Client) -> Client:
    """The same org as seen by the integration user."""
    return Client(org.base_url, admin=False)
