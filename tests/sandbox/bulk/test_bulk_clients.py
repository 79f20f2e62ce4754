"""Unmodified clients, and jobs that outlive the process they were given to."""

import csv
import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from bulk_client import BulkClient
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer
from org_client import Client
from simple_salesforce import Salesforce

SCHEMA = Path(__file__).parents[1] / "schema"
QUICK = 0.01  # seconds between looks at a job


@pytest.fixture(scope="module")
def secure() -> Iterator[SandboxServer]:
    started = SandboxServer(Org(OrgSettings(schema=SCHEMA)), host="127.0.0.1", port=0, tls=True)
    started.start()
    yield started
    started.close()


@pytest.fixture
def salesforce(secure: SandboxServer) -> Iterator[Salesforce]:
    """simple-salesforce as its users have it: over HTTPS, with the org's certificate."""
    requests.post(f"{secure.base_url}/__sandbox__/reset", timeout=10)
    assert secure.https_url is not None
    with requests.Session() as session:
        session.trust_env = False  # an environment's own CA bundle would come first
        session.verify = secure.ca_file or False
        token = Client(secure.base_url).token
        yield Salesforce(instance_url=secure.https_url, session_id=token, session=session)


def test_simple_salesforce_writes_and_reads_in_bulk(salesforce: Salesforce) -> None:
    accounts: Any = salesforce.bulk2.Account
    records = [{"Name": f'N{i:03d} "x", y', "Billing_Key__c": f"k{i}"} for i in range(250)]

    (inserted,) = accounts.insert(records=records, wait=QUICK)
    changed = [{"Billing_Key__c": f"k{i}", "Phone": str(i)} for i in range(248, 252)]
    (upserted,) = accounts.upsert(records=changed, external_id_field="Billing_Key__c", wait=QUICK)

    assert (inserted["numberRecordsProcessed"], inserted["numberRecordsFailed"]) == (250, 0)
    assert (upserted["numberRecordsProcessed"], upserted["numberRecordsFailed"]) == (4, 2)
    results = accounts.get_all_ingest_records(upserted["job_id"])
    assert [r["sf__Created"] for r in results["successfulRecords"]] == ["false", "false"]
    errors = [r["sf__Error"].split(":")[0] for r in results["failedRecords"]]
    assert errors == ["REQUIRED_FIELD_MISSING"] * 2
    assert results["unprocessedRecords"] == []

    soql = "SELECT Id, Name, Phone FROM Account ORDER BY Name"
    pages = list(accounts.query(soql, max_records=100, wait=QUICK))
    found = [row for page in pages for row in csv.DictReader(io.StringIO(page, newline=""))]
    assert (len(pages), len(found)) == (3, 250)
    assert [row["Phone"] for row in found[247:]] == ["", "248", "249"]
    assert found[0]["Name"] == 'N000 "x", y'


def test_simple_salesforce_updates_deletes_and_aborts_in_bulk(
    salesforce: Salesforce, tmp_path: Path
) -> None:
    accounts: Any = salesforce.bulk2.Account
    accounts.insert(records=[{"Name": f"N{i}"} for i in range(6)], batch_size=2, wait=QUICK)
    ids = [r["Id"] for r in salesforce.query("SELECT Id FROM Account ORDER BY Name")["records"]]
    file = tmp_path / "ids.csv"
    file.write_text("Id\n" + "\n".join(ids[:2]) + "\n")

    accounts.update(records=[{"Id": ids[5], "Name": "Changed"}], wait=QUICK, line_ending="CRLF")
    accounts.delete(csv_file=str(file), wait=QUICK)
    accounts.hard_delete(records=[{"Id": ids[2]}], wait=QUICK)
    left = salesforce.query_all("SELECT Name FROM Account ORDER BY Name", include_deleted=True)

    assert [r["Name"] for r in left["records"]] == ["Changed", "N0", "N1", "N3", "N4"]
    downloaded = accounts.download("SELECT Id FROM Account", path=str(tmp_path), wait=QUICK)
    assert [page["number_of_records"] for page in downloaded] == [3]
    client = accounts._client
    job = client.create_job("insert")
    assert client.abort_job(job["id"], False)["state"] == "Aborted"


@contextmanager
def org_process(data: Path) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    command = [sys.executable, "-m", "l2c_sandbox", "--json", "--schema", str(SCHEMA)]
    process = subprocess.Popen([*command, "--data", str(data)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, Client(json.loads(process.stdout.readline())["base_url"])
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_a_killed_org_goes_on_with_the_job_where_it_was(tmp_path: Path) -> None:
    data = tmp_path / "org.db"
    rows = "".join(f"N{i},k{i}\n" for i in range(6_000))
    with org_process(data) as (process, org):
        bulk = BulkClient(org)
        job_id = bulk.load("insert", "Account", "Name,Billing_Key__c\n" + rows)
        for _ in range(1_000):
            seen = org.get(f"/jobs/ingest/{job_id}").json()["numberRecordsProcessed"]
            if seen:
                break
            time.sleep(0.002)
        process.kill()
    assert 0 < seen < 6_000

    with org_process(data) as (_, org):
        info = BulkClient(org).wait(job_id)
        saved = org.get(f"/jobs/ingest/{job_id}/successfulResults").text.splitlines()[1:]
        query = {"q": "SELECT COUNT() FROM Account"}
        count = org.get("/query", params=query).json()["totalSize"]

    assert (info["state"], info["numberRecordsProcessed"]) == ("JobComplete", 6_000)
    assert (info["numberRecordsFailed"], count) == (0, 6_000)
    assert len({line.split(",")[0] for line in saved}) == 6_000
