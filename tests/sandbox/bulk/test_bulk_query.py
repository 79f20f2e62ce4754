"""Query jobs of Bulk API 2.0 (fact sheet E.4)."""

import csv
import io
from typing import Any

import pytest
from bulk_client import BulkClient
from l2c_sandbox.server import SandboxServer
from org_client import Client


def rows_of(text: str, **options: Any) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), **options))


def test_a_query_job_answers_as_recorded(bulk: BulkClient, org: Client) -> None:
    body = {"operation": "query", "query": "select Id from account"}
    job = org.post("/jobs/query", body).json()

    assert list(job) == [
        "id",
        "operation",
        "object",
        "createdById",
        "createdDate",
        "systemModstamp",
        "state",
        "concurrencyMode",
        "contentType",
        "apiVersion",
        "lineEnding",
        "columnDelimiter",
    ]
    assert (job["state"], job["object"]) == ("UploadComplete", "Account")
    info = bulk.wait(job["id"], kind="query")
    assert (info["state"], info["jobType"]) == ("JobComplete", "V2Query")
    assert info["numberRecordsProcessed"] == 0
    assert {"retries", "totalProcessingTime", "isPkChunkingSupported"} <= set(info)
    assert "numberRecordsFailed" not in info


def test_values_look_as_in_every_csv(bulk: BulkClient, org: Client) -> None:
    account = org.create("Account", Name='A "B", C', Billing_Key__c="k", Description="two\nlines")
    org.create(
        "Bill__c",
        Key__c="b1",
        Account__c=account,
        Due__c="2026-05-01",
        Sent_At__c="2026-05-01T10:00:00Z",
        Disputed__c=True,
    )
    fields = "Key__c, Due__c, Sent_At__c, Disputed__c, Notes__c, Rate__c, "
    parents = "Account__r.Name, account__r.description, Account__r.Owner.Id"

    job_id = bulk.extract(f"SELECT {fields}{parents} FROM Bill__c")
    answer = org.get(f"/jobs/query/{job_id}/results")

    header, row = rows_of(answer.text)
    assert answer.headers["Content-Type"] == "text/csv;charset=UTF-8"
    assert answer.text.startswith('"Key__c","Due__c",')
    assert header[6:] == ["Account__r.Name", "Account__r.Description", "Account__r.Owner.Id"]
    assert row[:6] == ["b1", "2026-05-01", "2026-05-01T10:00:00.000Z", "true", "", ""]
    assert row[6:8] == ['A "B", C', "two\nlines"]
    assert row[8][:3] == "005"


@pytest.mark.parametrize("amount", ["0.01", "1234567890123.45", "9999999999999999.99", "-7.5"])
def test_numbers_keep_their_digits(bulk: BulkClient, org: Client, amount: str) -> None:
    org.create("Wide__c", Key__c="k", Money_01__c=amount)

    job_id = bulk.extract("SELECT Money_01__c, Money_02__c FROM Wide__c")

    assert rows_of(org.get(f"/jobs/query/{job_id}/results").text)[1] == [amount, ""]


def test_results_come_in_pages_that_can_be_read_again(bulk: BulkClient, org: Client) -> None:
    names = [f"N{i:04d}" for i in range(2_350)]
    bulk.run("insert", "Account", "Name\n" + "\n".join(names))
    job_id = bulk.extract("SELECT Name FROM Account ORDER BY Name")
    assert org.get(f"/jobs/query/{job_id}").json()["numberRecordsProcessed"] == 2_350
    org.delete(f"/sobjects/Account/{org.query('SELECT Id FROM Account LIMIT 1')[0]['Id']}")

    seen, locators, locator = [], [], ""
    for _ in range(10):
        params = {"maxRecords": "500", "locator": locator}
        page = org.get(f"/jobs/query/{job_id}/results", params=params)
        header, *rows = rows_of(page.text)
        assert header == ["Name"]
        assert page.headers["Sforce-NumberOfRecords"] == str(len(rows))
        seen += [row[0] for row in rows]
        locator = page.headers["Sforce-Locator"]
        locators.append(locator)
        if locator == "null":
            break

    assert seen == names
    params = {"maxRecords": "500", "locator": locators[0]}
    again = rows_of(org.get(f"/jobs/query/{job_id}/results", params=params).text)
    assert [row[0] for row in again[1:]] == names[500:1_000]
    whole = org.get(f"/jobs/query/{job_id}/results", headers={"Accept-Encoding": "gzip"})
    assert (whole.headers["Sforce-Locator"], whole.headers["Content-Encoding"]) == ("null", "gzip")
    assert len(rows_of(whole.text)) == 2_351


def test_pages_can_be_fetched_side_by_side(bulk: BulkClient, org: Client) -> None:
    bulk.run("insert", "Account", "Name\n" + "".join(f"N{i}\n" for i in range(70)))
    job_id = bulk.extract("SELECT Name FROM Account")
    url: str | None = f"/jobs/query/{job_id}/resultPages?maxRecords=10"
    links: list[str] = []
    while url:
        body = org.get(url).json()
        links += [page["resultLink"] for page in body["resultPages"]]
        url = body.get("nextRecordsUrl")
        assert body["done"] is (url is None)

    assert len(links) == 7
    names = {row[0] for link in links for row in rows_of(org.get(link).text)[1:]}
    assert names == {f"N{i}" for i in range(70)}


def test_an_empty_result_is_a_header(bulk: BulkClient, org: Client) -> None:
    job_id = bulk.extract("SELECT Id, Name FROM Account", lineEnding="CRLF", columnDelimiter="TAB")

    answer = org.get(f"/jobs/query/{job_id}/results")

    assert answer.content == b'"Id"\t"Name"\r\n'
    assert answer.headers["Sforce-NumberOfRecords"] == "0"
    assert answer.headers["Sforce-Locator"] == "null"


def test_query_all_sees_the_recycle_bin(bulk: BulkClient, org: Client) -> None:
    gone = org.create("Account", Name="Gone")
    org.delete(f"/sobjects/Account/{gone}")

    job_id = bulk.extract("SELECT Id, IsDeleted FROM Account", operation="queryAll")

    assert rows_of(org.get(f"/jobs/query/{job_id}/results").text)[1:] == [[gone, "true"]]


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT COUNT() FROM Account", "FEATURENOTENABLED"),
        ("SELECT COUNT(Id) FROM Account", "FEATURENOTENABLED"),
        ("SELECT Name FROM Account GROUP BY Name", "FEATURENOTENABLED"),
        ("SELECT Name FROM Account LIMIT 1 OFFSET 1", "FEATURENOTENABLED"),
        ("SELECT Name, (SELECT Id FROM Contacts) FROM Account", "FEATURENOTENABLED"),
        ("SELECT BillingAddress FROM Account", "FEATURENOTENABLED"),
        ("SELECT Account.BillingAddress FROM Contact", "FEATURENOTENABLED"),
        ("SELECT VersionData FROM ContentVersion", "FEATURENOTENABLED"),
        ("SELECT FIELDS(STANDARD) FROM Account", "FEATURENOTENABLED"),
        ("SELECT TYPEOF Who WHEN Lead THEN Name END FROM Task", "FEATURENOTENABLED"),
        ("SELECT Nope FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Nope", "INVALID_TYPE"),
        ("SELECT FROM", "MALFORMED_QUERY"),
        ("", "INVALIDJOB"),
        (None, "INVALIDJOB"),
        (7, "JSON_PARSER_ERROR"),
    ],
)
def test_what_cannot_be_read_in_bulk_is_refused_at_once(org: Client, soql: Any, code: str) -> None:
    answer = org.post("/jobs/query", {"operation": "query", "query": soql})

    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)


def test_results_are_read_as_the_job_was_created(bulk: BulkClient, org: Client) -> None:
    job_id = bulk.extract("SELECT Id FROM Account")

    other = org.get(f"/services/data/v60.0/jobs/query/{job_id}/results")
    bad_locator = org.get(f"/jobs/query/{job_id}/results", params={"locator": "%%"})
    beyond = org.get(f"/jobs/query/{job_id}/results", params={"locator": "OTk5"})
    bad_count = org.get(f"/jobs/query/{job_id}/results", params={"maxRecords": "-1"})

    assert other.status_code == 409
    for answer in (bad_locator, beyond, bad_count):
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "CLIENTINPUTERROR")


def test_query_jobs_are_aborted_and_deleted(
    bulk: BulkClient, org: Client, server: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = bulk.extract("SELECT Id FROM Account")
    assert org.delete(f"/jobs/query/{finished}").status_code == 204
    assert org.get(f"/jobs/query/{finished}/results").status_code == 404

    monkeypatch.setattr(server.org.bulk, "wake", lambda: None)
    body = {"operation": "query", "query": "SELECT Id FROM Account"}
    job_id = org.post("/jobs/query", body).json()["id"]
    too_early = org.get(f"/jobs/query/{job_id}/results")
    undeletable = org.delete(f"/jobs/query/{job_id}")
    aborted = bulk.state(job_id, "Aborted", kind="query")

    assert too_early.json()[0]["errorCode"] == "INVALIDJOBSTATE"
    assert undeletable.json()[0]["errorCode"] == "INVALIDJOBSTATE"
    assert aborted.json()["state"] == "Aborted"
    assert org.get(f"/jobs/query/{job_id}/results").status_code == 400
    assert org.delete(f"/jobs/query/{job_id}").status_code == 204
