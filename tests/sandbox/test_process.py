"""The org as a process of its own: start, end, files, TLS, unmodified clients."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from org_client import Client
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceMalformedRequest, SalesforceResourceNotFound

SCHEMA = Path(__file__).parent / "schema"
Start = Callable[..., tuple[subprocess.Popen[str], dict[str, Any]]]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        command = [sys.executable, "-m", "l2c_sandbox", "--json", "--exit-with-stdin"]
        process = subprocess.Popen(
            [*command, "--schema", str(SCHEMA), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        return process, json.loads(process.stdout.readline())

    yield begin
    for process in running:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def test_tells_where_it_is_and_ends_with_its_starter(start: Start) -> None:
    process, facts = start()

    assert set(facts) == {
        "base_url",
        "https_url",
        "ca_file",
        "pubsub_address",
        "organization_id",
        "client_id",
        "client_secret",
        "username",
        "password",
        "api_versions",
    }
    assert requests.get(facts["base_url"] + "/services/data", timeout=5).status_code == 200
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=10) == 0


def test_ends_when_its_starter_died_before_listening_to_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "l2c_sandbox", "--json", "--exit-with-stdin"]
    process = subprocess.Popen(
        [*command, "--schema", str(SCHEMA), "--data", str(tmp_path / "org.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    process.stdin.close()

    try:
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_ends_cleanly_when_told(start: Start) -> None:
    process, facts = start("--tls")
    ca_file = Path(facts["ca_file"])
    assert ca_file.exists()

    process.send_signal(signal.SIGTERM)

    assert process.wait(timeout=10) == 0
    assert not ca_file.exists()


def test_a_killed_org_keeps_every_answered_write(start: Start, tmp_path: Path) -> None:
    data = str(tmp_path / "org.db")
    process, facts = start("--data", data)
    org = Client(facts["base_url"])
    org.call("PUT", "/__sandbox__/outbound", json={})
    ids = [org.create("Bill__c", Key__c=f"B-{n}") for n in range(20)]
    line = org.create("Bill_Line__c", Bill__c=ids[0], Amount__c=1)
    org.create("Opportunity", Name="D", StageName="Closed Won", CloseDate="2026-01-31")
    process.kill()
    process.wait()

    _, facts = start("--data", data)
    org = Client(facts["base_url"])

    assert [r["Id"] for r in org.query("SELECT Id FROM Bill__c ORDER BY Id")] == ids
    assert len(org.query("SELECT Id FROM User")) == 2
    assert org.get("/__sandbox__/outbound").json()["pending"] == 1
    later = org.create("Bill_Line__c", Bill__c=ids[0], Amount__c=2)
    assert later > line
    names = [r["Name"] for r in org.query("SELECT Name FROM Bill_Line__c ORDER BY Name")]
    assert names == ["BL-000001", "BL-000002"]


def test_a_data_file_and_a_port_are_waited_for_while_their_holder_ends(
    start: Start, tmp_path: Path
) -> None:
    port = free_port()
    arguments = ("--data", str(tmp_path / "org.db"), "--port", str(port))
    first, facts = start(*arguments)
    Client(facts["base_url"]).create("Account", Name="A")
    first.send_signal(signal.SIGTERM)

    _, facts = start(*arguments)

    assert facts["base_url"] == f"http://127.0.0.1:{port}"
    assert len(Client(facts["base_url"]).query("SELECT Id FROM Account")) == 1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_plants_a_seed_file(start: Start, tmp_path: Path) -> None:
    seed = tmp_path / "seed.yaml"
    seed.write_text(
        "Account:\n- {Name: Seeded, Billing_Key__c: C-1}\n"
        "Bill__c:\n- {Key__c: B-1, Total__c: 10.10, Due__c: 2026-01-31, "
        "Account__r: {Billing_Key__c: C-1}}\n"
    )

    _, facts = start("--seed", str(seed))

    row = Client(facts["base_url"]).query("SELECT Total__c, Due__c, Account__r.Name FROM Bill__c")
    assert (row[0]["Total__c"], row[0]["Due__c"]) == (10.1, "2026-01-31")
    assert row[0]["Account__r"]["Name"] == "Seeded"


@pytest.mark.parametrize(
    ("seed", "complaint"),
    [
        ("Nothing: []", "there is no object Nothing"),
        ("Account: [{Name: ''}]", "Account number 1: REQUIRED_FIELD_MISSING"),
        ("- 1", "a seed maps object names"),
        ("{", "not readable as a seed"),
    ],
)
def test_names_what_is_wrong_with_a_seed(tmp_path: Path, seed: str, complaint: str) -> None:
    path = tmp_path / "seed.yaml"
    path.write_text(seed)
    command = [sys.executable, "-m", "l2c_sandbox", "--seed", str(path), "--schema", str(SCHEMA)]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=20)

    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert "Traceback" not in ended.stderr


def test_names_what_is_wrong_with_a_schema(tmp_path: Path) -> None:
    fields = tmp_path / "objects" / "Account" / "fields"
    fields.mkdir(parents=True)
    (fields / "X__c.field-meta.xml").write_text("<CustomField>")
    command = [sys.executable, "-m", "l2c_sandbox", "--schema", str(tmp_path)]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=20)

    assert ended.returncode == 2
    assert "X__c.field-meta.xml" in ended.stderr


def exercise(salesforce: Salesforce) -> None:
    """Use the client as its documentation shows."""
    created = salesforce.Account.create({"Name": "Acme", "Billing_Key__c": "C-1"})
    assert salesforce.Account.update(created["id"], {"Phone": "1"}) == 204
    assert salesforce.Account.upsert("Billing_Key__c/C-1", {"Phone": "2"}) == 200
    assert salesforce.Account.get_by_custom_id("Billing_Key__c", "C-1")["Phone"] == "2"
    assert salesforce.query("SELECT Name FROM Account")["totalSize"] == 1
    rows = [{"attributes": {"type": "Contact"}, "LastName": f"{n}"} for n in range(150)]
    salesforce.restful("composite/sobjects", method="POST", json={"records": rows})
    names = [r["LastName"] for r in salesforce.query_all_iter("SELECT LastName FROM Contact")]
    assert len(names) == 150
    assert salesforce.limits()["DailyApiRequests"]["Max"] == 110_000
    assert salesforce.api_usage["api-usage"].total == 110_000
    assert salesforce.Account.describe()["name"] == "Account"
    with pytest.raises(SalesforceMalformedRequest):
        salesforce.query("SELECT Nope FROM Account")
    assert salesforce.Account.delete(created["id"]) == 204
    with pytest.raises(SalesforceResourceNotFound):
        salesforce.Account.get(created["id"])


def test_simple_salesforce_works_over_https(start: Start) -> None:
    _, facts = start("--tls")
    token = Client(facts["base_url"]).token
    with requests.Session() as session:
        session.trust_env = False  # an environment's own CA bundle would come first
        session.verify = facts["ca_file"]
        salesforce = Salesforce(instance_url=facts["https_url"], session_id=token, session=session)
        exercise(salesforce)


class PlainHttp(HTTPAdapter):
    """Speaks HTTP where the client insists on https addresses."""

    def send(self, request: Any, *arguments: Any, **options: Any) -> Any:
        request.url = request.url.replace("https://", "http://", 1)
        return super().send(request, *arguments, **options)


def test_simple_salesforce_works_over_http_with_an_adapter(start: Start) -> None:
    _, facts = start()
    with requests.Session() as session:
        session.mount("https://", PlainHttp())
        salesforce = Salesforce(
            instance_url=facts["base_url"],
            session_id=Client(facts["base_url"]).token,
            session=session,
        )
        exercise(salesforce)


@pytest.mark.parametrize("option", ["--port", "--tls-port", "--grpc-port"])
def test_a_taken_port_is_named_with_the_remedy(option: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        command = [sys.executable, "-m", "l2c_sandbox", "--schema", str(SCHEMA), "--tls"]

        ended = subprocess.run(
            [*command, option, port], capture_output=True, text=True, timeout=30, check=False
        )

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"the local org cannot start: {option} {port} is taken by another program; "
        "stop that program or choose another port (0 picks a free one)\n"
    )


@pytest.mark.parametrize("port", ["65536", "-1", "http"])
def test_what_is_no_port_is_refused(port: str) -> None:
    command = [sys.executable, "-m", "l2c_sandbox", f"--port={port}"]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    assert ended.returncode == 2
    assert "is no port number from 0 to 65535" in ended.stderr
    assert "Traceback" not in ended.stderr
