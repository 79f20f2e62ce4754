"""The org the contract is tried on: the local one, or any other by `--org URL`.

Another org's login comes from L2C_ORG_CLIENT_ID and L2C_ORG_CLIENT_SECRET; the run-as user writes.
With L2C_ORG_PUBSUB (api.pubsub.salesforce.com:7443) its events are tried, too; those of accounts
must be selected for Change Data Capture.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from shutil import copytree

import pytest
from contract.receiver import Receiver
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer
from l2c_sandbox.sessions import ADMIN, CLIENT_ID, CLIENT_SECRET, PASSWORD

from connector.adapters.salesforce.login import ClientCredentials, Login
from connector.cli.probe.trying import TriedOrg

SHIPPED = Path(__file__).parents[2] / "salesforce"
EXTRA = Path(__file__).parent / "schema"  # what the shipped metadata has no example of


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--org", default=None, help="My Domain address of the org to try")


@pytest.fixture(scope="session")
def tried(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TriedOrg]:
    url = request.config.getoption("--org", default=None)
    if url is not None:
        known = {
            name: os.environ[f"L2C_ORG_{name.upper()}"] for name in ("client_id", "client_secret")
        }
        if "L2C_ORG_PUBSUB" in os.environ:
            known["pubsub"] = os.environ["L2C_ORG_PUBSUB"]
        yield open_org(url, known)
        return
    schema = tmp_path_factory.mktemp("contract") / "schema"
    copytree(SHIPPED, schema)
    copytree(EXTRA, schema / "contract")
    org = Org(OrgSettings(schema=schema, soap_login=True))
    server = SandboxServer(org, host="127.0.0.1", port=0, grpc_port=0)
    server.start()
    receiver = Receiver()
    known = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "receiver": receiver.url}
    known["pubsub"] = server.facts()["pubsub_address"]
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
        known=known | {"organization_id": token.organization_id},
    )
