"""The org the contract is tried on: the local one, or any other by `--org URL`.

Another org's login comes from L2C_ORG_CLIENT_ID and L2C_ORG_CLIENT_SECRET; the run-as user writes.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from contract.receiver import Receiver
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer
from l2c_sandbox.sessions import ADMIN, CLIENT_ID, CLIENT_SECRET, PASSWORD

from connector.adapters.salesforce.login import ClientCredentials, Login
from connector.cli.probe.trying import TriedOrg

SHIPPED = Path(__file__).parents[2] / "salesforce"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--org", default=None, help="My Domain address of the org to try")


@pytest.fixture(scope="session")
def tried(request: pytest.FixtureRequest) -> Iterator[TriedOrg]:
    url = request.config.getoption("--org", default=None)
    if url is not None:
        known = {
            name: os.environ[f"L2C_ORG_{name.upper()}"] for name in ("client_id", "client_secret")
        }
        yield open_org(url, known)
        return
    org = Org(OrgSettings(schema=SHIPPED, soap_login=True))
    server = SandboxServer(org, host="127.0.0.1", port=0)
    server.start()
    receiver = Receiver()
    known = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "receiver": receiver.url}
    yield open_org(server.base_url, known | {"username": ADMIN, "password": PASSWORD})
    server.close()
    receiver.close()


def open_org(url: str, known: dict[str, str]) -> TriedOrg:
    grant = ClientCredentials(known["client_id"], known["client_secret"])
    token = Login(login_url=url, grant=grant).open()
    return TriedOrg(
        base_url=token.instance_url,
        token=token.access_token,
        now=datetime.now(UTC),
        known=known,
    )
