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
import requests
from contract.receiver import Receiver
from contract.signing import Signer
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
    known |= {"username": ADMIN, "password": PASSWORD} | prepared(server.base_url)
    yield open_org(server.base_url, known)
    server.close()
    receiver.close()


@pytest.fixture(scope="session")
def with_currencies() -> Iterator[TriedOrg]:
    """A local org whose records have currencies, which the other one does without."""
    server = SandboxServer(Org(OrgSettings(multi_currency=True)), host="127.0.0.1", port=0)
    server.start()
    yield open_org(server.base_url, {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET})
    server.close()


def prepared(base_url: str) -> dict[str, str]:
    """Let the local org know a certificate, a refresh token and a managed subscription."""
    signer = Signer(client_id=CLIENT_ID, username=ADMIN)
    managed = {"developer_name": "Contract_Accounts", "topic": "/data/AccountChangeEvent"}
    for method, path, body in (
        ("POST", "certificates", {"certificate": signer.certificate()}),
        ("PUT", "events/managed", managed | {"default_replay": "EARLIEST", "state": "RUN"}),
        ("POST", "refresh-tokens", {"username": ADMIN}),
    ):
        answer = requests.request(method, f"{base_url}/__sandbox__/{path}", json=body, timeout=10)
        assert answer.status_code == 200, answer.text
    return signer.assertions() | {
        "refresh_token": answer.json()["refresh_token"],
        "managed": managed["developer_name"],
    }


def open_org(url: str, known: dict[str, str]) -> TriedOrg:
    grant = ClientCredentials(known["client_id"], known["client_secret"])
    token = Login(login_url=url, grant=grant).open()
    found = requests.get(
        f"{token.instance_url}/services/data/v59.0/query",
        params={"q": "SELECT Id FROM Pricebook2 WHERE IsStandard = true"},
        headers={"Authorization": f"Bearer {token.access_token}"},
        timeout=30,
    )
    standard = found.json()["records"][0]["Id"]
    return TriedOrg(
        base_url=token.instance_url,
        token=token.access_token,
        now=datetime.now(UTC),
        known=known | {"organization_id": token.organization_id, "standard": standard},
    )
