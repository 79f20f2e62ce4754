"""An org that accepts SOAP login, and zeep clients made from the WSDL it serves."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer
from org_client import Client
from partner_client import Partner

SCHEMA = Path(__file__).parent.parent / "schema"


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    settings = OrgSettings(schema=SCHEMA, soap_login=True)
    started = SandboxServer(Org(settings), host="127.0.0.1", port=0)
    started.start()
    yield started
    started.close()


@pytest.fixture
def partner(org: Client) -> Partner:
    """The freshly reset org as an unmodified SOAP client sees it."""
    return Partner(org.base_url, org.token)
