"""A local org for clients of other languages: HTTPS, SOAP login, one for all of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer

SCHEMA = Path(__file__).parents[1] / "sandbox" / "schema"


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    org = Org(OrgSettings(schema=SCHEMA, soap_login=True))
    started = SandboxServer(org, host="127.0.0.1", port=0, tls=True)
    started.start()
    yield started
    started.close()
