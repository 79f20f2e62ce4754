"""States, refusals, limits and lists of bulk jobs (fact sheet E.1, E.5, E.6)."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from bulk_client import BulkClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from l2c_sandbox import clock
from l2c_sandbox.bulk import ingest
from l2c_sandbox.errors import ApiError
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.records.service import create
from l2c_sandbox.server import SandboxServer
from org_client import Client

DAY_MS = 24 * 3_600 * 1_000


def refusal(answer: Any, status: int = 400) -> tuple[str, str]:
    assert answer.status_code == status, answer.text
    (error,) = answer.json()
    return error["errorCode"], error["message"]


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ({"operation": "insert", "object": "Nope"}, "INVALIDENTITY", "Unable to find object: Nope"),
        ({"operation": "insert"}, "INVALIDENTITY", "Unable to find object"),
        ({"operation": "merge", "object": "Account"}, "INVALIDOPERATION", "merge"),
        ({"object": "Account"}, "INVALIDOPERATION", "None"),
        ({"operation": "upsert", "object": "Account"}, "INVALIDJOB", "External ID was blank"),
        (
            {"operation": "upsert", "object": "Account", "externalIdFieldName": "Phone"},
            "INVALIDJOB",
            "Field name provided, Phone does not match an External ID",
        ),
        (
            {"operation": "insert", "object": "Account", "contentType": "XML"},
            "INVALIDJOB",
            "only content type",
        ),
        (
            {"operation": "insert", "object": "Account", "columnDelimiter": "SPACE"},
            "INVALIDJOB",
            "columnDelimiter must be one of",
        ),
        (
            {"operation": "insert", "object": "Account", "lineEnding": 1},
            "JSON_PARSER_ERROR",
            "lineEnding must be a string",
        ),
        ([], "JSON_PARSER_ERROR", "must be a JSON object"),
    ],
)
def test_a_job_that_makes_no_sense_is_not_created(
    org: Client, body: Any, code: str, text: str
) -> None:
    found, message = refusal(org.post("/jobs/ingest", body))

    assert found == code
    assert text in message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("Name,Nope__c\nA,B\n", "InvalidBatch : Field name not found : Nope__c"),
        ("Name,BillingAddress\nA,B\n", "InvalidBatch : Field name not found : BillingAddress"),
        ("Name,name\nA,B\n", "InvalidBatch : Duplicate field name found : name"),
        ("Name\nA,B\n", "InvalidBatch : Too many columns in row 1: 2 instead of 1"),
        ("Name,Phone\nA,1\nB\n", "InvalidBatch : Not enough columns in row 2: 1 instead of 2"),
        ('Name,Phone\n"John", "Smith"\n', "a quote in an unquoted value at line 2"),
        ('Name\n"John\n', "InvalidBatch : Failed to parse CSV at row 1"),
        ('Name\n"John"x\n', "InvalidBatch : Failed to parse CSV at row 1"),
        ("Name\r\nA\r\n", "ClientInputError : LineEnding is invalid on user data."),
        ("", "InvalidBatch : Failed to parse CSV header"),
        (b"Name\n\xff\n", "InvalidBatch : Failed to parse CSV: no UTF-8 at byte 5"),
        ("Name\n" + "x" * 131_073 + "\n", "field larger than field limit (131072)"),
    ],
)
def test_an_upload_that_cannot_be_read_fails_the_whole_job(
    bulk: BulkClient, org: Client, data: str | bytes, message: str
) -> None:
    ended = bulk.run("insert", "Account", data)

    assert ended.info["state"] == "Failed"
    assert message in ended.info["errorMessage"]
    assert (ended.info["numberRecordsProcessed"], ended.info["numberRecordsFailed"]) == (0, 0)
    assert org.query("SELECT Id FROM Account") == []
    raw = data if isinstance(data, bytes) else data.encode()
    assert bulk.result(ended.id, "unprocessedrecords").content == raw
    assert ended.raw("successfulResults").startswith('"sf__Id","sf__Created"')


@pytest.mark.parametrize(
    ("operation", "header", "message"),
    [
        ("update", "Name\nA\n", "InvalidBatch : Field name not found : Id"),
        ("delete", "Name\nA\n", "InvalidBatch : Field name not found : Id"),
        ("delete", "Id,Name\n1,A\n", "InvalidBatch : delete batch must contain only ids"),
        ("hardDelete", "Id,Name\n1,A\n", "InvalidBatch : hardDelete batch must contain only ids"),
    ],
)
def test_an_operation_needs_its_columns(
    bulk: BulkClient, operation: str, header: str, message: str
) -> None:
    assert bulk.run(operation, "Account", header).info["errorMessage"] == message


def test_windows_bytes_at_the_start_and_empty_lines_are_no_rows(
    bulk: BulkClient, org: Client
) -> None:
    ended = bulk.run("insert", "Account", b"\xef\xbb\xbfName\n\nA\n\nB")

    assert ended.info["numberRecordsProcessed"] == 2
    assert {r["Name"] for r in org.query("SELECT Name FROM Account")} == {"A", "B"}


def test_data_is_taken_once_and_in_state_open_only(bulk: BulkClient) -> None:
    job_id = bulk.create("insert", "Account")["id"]
    assert bulk.put(job_id, "Name\nA\n").status_code == 201

    assert refusal(bulk.put(job_id, "Name\nB\n"))[0] == "CLIENTINPUTERROR"
    bulk.state(job_id, "UploadComplete")
    bulk.wait(job_id)
    assert refusal(bulk.put(job_id, "Name\nC\n"))[0] == "INVALIDJOBSTATE"
    assert refusal(bulk.state(job_id, "UploadComplete")) == (
        "INVALIDJOBSTATE",
        "Closing already JobComplete Job not allowed",
    )
    assert refusal(bulk.state(job_id, "Aborted"))[0] == "INVALIDJOBSTATE"
    assert refusal(bulk.state(job_id, "InProgress"))[0] == "INVALIDJOB"


def test_data_of_another_type_is_refused(bulk: BulkClient, org: Client) -> None:
    job_id = bulk.create("insert", "Account")["id"]

    answer = org.call("PUT", f"/jobs/ingest/{job_id}/batches", json={"Name": "A"})

    assert refusal(answer, 415)[0] == "UNSUPPORTED_MEDIA_TYPE"


def test_an_unknown_job_is_not_found(bulk: BulkClient, org: Client) -> None:
    for job_id in ("750Sb0000000000000", "nonsense", "001Sb0000000001IAA"):
        for kind in ("ingest", "query"):
            assert refusal(org.get(f"/jobs/{kind}/{job_id}"), 404)[0] == "NOT_FOUND"
    query_id = bulk.extract("SELECT Id FROM Account")
    assert org.get(f"/jobs/ingest/{query_id}").status_code == 404
    assert org.get(f"/jobs/query/{query_id[:15]}/").json()["id"] == query_id


def test_open_jobs_are_aborted_before_they_are_deleted(bulk: BulkClient, org: Client) -> None:
    job_id = bulk.create("insert", "Account")["id"]
    assert refusal(org.delete(f"/jobs/ingest/{job_id}"))[0] == "INVALIDJOBSTATE"
    assert refusal(org.get(f"/jobs/ingest/{job_id}/failedResults"))[0] == "INVALIDJOBSTATE"

    bulk.put(job_id, "Name\nA\n")
    aborted = bulk.state(job_id, "Aborted")

    assert aborted.json()["state"] == "Aborted"
    assert bulk.result(job_id, "unprocessedrecords").text == "Name\nA\n"
    assert org.delete(f"/jobs/ingest/{job_id}").status_code == 204
    assert org.get(f"/jobs/ingest/{job_id}").status_code == 404
    assert org.query("SELECT Id FROM Account") == []


def test_an_aborted_job_keeps_what_is_done_and_tells_the_rest(
    bulk: BulkClient, org: Client, server: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.org.locks, "wait_s", 0.3)
    held, free = org.create("Account", Name="Held"), org.create("Account", Name="Free")
    server.org.locks.take("somebody", [held])

    job_id = bulk.load("update", "Account", f'Id,Name\n{held},"New ""A"""\n{free},New B\n')
    while org.get(f"/jobs/ingest/{job_id}").json()["numberRecordsProcessed"] == 0:
        time.sleep(0.005)
    bulk.state(job_id, "Aborted")
    server.org.locks.release_all()

    info = bulk.wait(job_id)
    assert (info["state"], info["numberRecordsProcessed"]) == ("Aborted", 1)
    assert f'"{free}","false"' in bulk.result(job_id, "successfulResults").text
    rest = bulk.result(job_id, "unprocessedrecords").text
    assert rest == f'Id,Name\n{held},"New ""A"""\n'
    names = {r["Name"] for r in org.query("SELECT Name FROM Account")}
    assert names == {"Held", "New B"}


def test_rows_that_a_standard_object_refuses_as_a_whole_are_saved_one_by_one(
    bulk: BulkClient, org: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choosy(writer: Any, item: Any, rows: Any) -> Any:
        outcomes = create(writer, item, rows)
        if any(row["Name"] == "Bad" for row in rows):
            raise ApiError(400, "FIELD_INTEGRITY_EXCEPTION", "no", fields=("Name",))
        return outcomes

    monkeypatch.setattr(ingest, "create", choosy)

    ended = bulk.run("insert", "Account", "Name\nA\nBad\nB\n")

    assert [row["Name"] for row in ended.saved] == ["A", "B"]
    assert ended.failed[0]["sf__Error"] == "FIELD_INTEGRITY_EXCEPTION:no:Name --"
    assert [r["Name"] for r in org.query("SELECT Name FROM Account ORDER BY Name")] == ["A", "B"]


def test_a_bug_of_the_org_fails_the_job_and_the_worker_goes_on(
    bulk: BulkClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(ingest, "create", None)
        failed = bulk.run("insert", "Account", "Name\nA\n")

    assert failed.info["errorMessage"] == "Unknown : An unexpected error occurred."
    assert bulk.run("insert", "Account", "Name\nA\n").info["state"] == "JobComplete"


def test_a_job_may_do_what_its_user_may(bulk: BulkClient, org: Client) -> None:
    account = org.create("Account", Name="Ada")
    bill = org.create("Bill__c", Key__c="B1", Account__c=account, Total__c=5, Notes__c="n")
    user = {"username": "reader@sandbox.example", "permission_sets": ["Bill_Reader"]}
    assert org.call("PUT", "/__sandbox__/users", json=user).status_code == 200
    credentials = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
    form = {"grant_type": "password", "username": user["username"], "password": "sandbox"}
    url = f"{org.base_url}/services/oauth2/token"
    token = requests.post(url, data=form | credentials, timeout=10).json()["access_token"]
    reader = Client(org.base_url)
    reader.http.headers["Authorization"] = f"Bearer {token}"
    theirs = BulkClient(reader)

    noted = theirs.run("update", "Bill__c", f"Id,Notes__c\n{bill},new\n")
    readonly = theirs.run("update", "Bill__c", f"Id,Status__c\n{bill},Paid\n")
    hidden = theirs.run("update", "Bill__c", f"Id,Total__c\n{bill},9\n")
    deleted = theirs.run("delete", "Bill__c", f"Id\n{bill}\n")
    query = {"operation": "query", "query": "SELECT Total__c FROM Bill__c"}

    assert noted.info["numberRecordsFailed"] == 0
    assert readonly.failed[0]["sf__Error"].startswith("INVALID_FIELD_FOR_INSERT_UPDATE:")
    assert hidden.info["errorMessage"] == "InvalidBatch : Field name not found : Total__c"
    assert deleted.failed[0]["sf__Error"].startswith("INSUFFICIENT_ACCESS_OR_READONLY:")
    assert refusal(reader.post("/jobs/query", query))[0] == "INVALID_FIELD"
    hidden_object = {"operation": "insert", "object": "Wide__c"}
    assert refusal(reader.post("/jobs/ingest", hidden_object))[0] == "INVALIDENTITY"
    job_id = theirs.extract("SELECT Notes__c FROM Bill__c")
    assert reader.get(f"/jobs/query/{job_id}/results").text == '"Notes__c"\n"new"\n'


def test_jobs_are_listed_by_kind(bulk: BulkClient, org: Client) -> None:
    ids = [bulk.create("insert", "Account")["id"] for _ in range(2)]
    query_id = bulk.extract("SELECT Id FROM Account")

    listed = org.get("/jobs/ingest").json()

    assert [job["id"] for job in listed["records"]] == ids
    assert {job["jobType"] for job in listed["records"]} == {"V2Ingest"}
    assert (listed["done"], listed["nextRecordsUrl"]) == (True, None)
    after = org.get("/jobs/ingest", params={"queryLocator": ids[0]}).json()
    assert [job["id"] for job in after["records"]] == ids[1:]
    assert org.get("/jobs/ingest?jobType=Classic").json()["records"] == []
    assert [j["id"] for j in org.get("/jobs/query").json()["records"]] == [query_id]


def test_the_version_lists_the_jobs(org: Client) -> None:
    assert org.get("/").json()["jobs"] == "/services/data/v59.0/jobs"


def test_allowances_are_counted_and_end(
    bulk: BulkClient, org: Client, server: SandboxServer
) -> None:
    bulk.run("insert", "Account", "Name\nA\n")
    bulk.extract("SELECT Id FROM Account")
    limits = org.get("/limits").json()
    assert limits["DailyBulkApiBatches"] == {"Max": 15_000, "Remaining": 14_999}
    assert limits["DailyBulkV2QueryJobs"] == {"Max": 10_000, "Remaining": 9_999}

    waiting = bulk.create("insert", "Account")["id"]
    server.org.bulk.batches.set(most=1, used=1)
    server.org.bulk.query_jobs.set(most=1, used=1)

    refused = org.post("/jobs/ingest", {"operation": "insert", "object": "Account"})
    assert refusal(refused) == ("EXCEEDEDQUOTA", "ApiBatchItems Limit exceeded.")
    query = {"operation": "query", "query": "SELECT Id FROM Account"}
    assert refusal(org.post("/jobs/query", query))[0] == "EXCEEDEDQUOTA"
    bulk.put(waiting, "Name\nB\n")
    bulk.state(waiting, "UploadComplete")
    info = bulk.wait(waiting)
    assert info["errorMessage"] == "ExceededQuota : ApiBatchItems Limit exceeded."


def test_bulk_one_is_refused_as_where_the_async_api_is_off(org: Client) -> None:
    path = "/services/async/59.0/job"
    headers = {"X-SFDC-Session": org.token, "Content-Type": "application/xml"}

    answer = org.call("POST", path, data=b"<jobInfo/>", headers=headers)
    stranger = org.call("POST", path, data=b"<jobInfo/>")

    assert (answer.status_code, stranger.status_code) == (400, 400)
    assert answer.headers["Content-Type"] == "application/xml"
    assert b'<error xmlns="http://www.force.com/2009/06/asyncapi/dataload">' in answer.content
    assert b"<exceptionCode>FeatureNotEnabled</exceptionCode>" in answer.content
    assert b"<exceptionCode>InvalidSessionId</exceptionCode>" in stranger.content


@pytest.fixture
def still(tmp_path: Path) -> Iterator[Client]:
    """An org whose time moves by command."""
    settings_ = OrgSettings(schema=Path(__file__).parents[1] / "schema", manual_clock=True)
    server = SandboxServer(Org(settings_), host="127.0.0.1", port=0)
    server.start()
    yield Client(server.base_url)
    server.close()


def test_jobs_do_not_stay_open_for_ever_nor_are_they_kept_for_ever(still: Client) -> None:
    bulk = BulkClient(still)
    done = bulk.run("insert", "Account", "Name\nA\n").id
    left_open = bulk.create("insert", "Account")["id"]

    clock.move_to(clock.epoch_ms() + DAY_MS + 1_000)
    again = BulkClient(Client(still.base_url))
    info = again.org.get(f"/jobs/ingest/{left_open}").json()
    assert (info["state"], info["errorMessage"]) == (
        "Failed",
        "ExceededQuota : The job was open for more than 24 hours.",
    )

    clock.move_to(clock.epoch_ms() + 6 * DAY_MS + 1_000)
    last = Client(still.base_url)
    assert last.get(f"/jobs/ingest/{done}").status_code == 404
    assert [j["id"] for j in last.get("/jobs/ingest").json()["records"]] == [left_open]
    assert last.get(f"/jobs/ingest/{done}").status_code == 404


CELLS = st.text(alphabet='a1,"\n\r\t #N/A;é-', max_size=8)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lines=st.lists(st.lists(CELLS, min_size=1, max_size=4).map(",".join), max_size=6).map(
        "\n".join
    ),
    operation=st.sampled_from(["insert", "update", "upsert", "delete", "hardDelete"]),
    header=st.sampled_from(["Name", "Id", "Id,Name", "Name,Account__r.x", "Owner.Id,Name", "A,B"]),
    ending=st.sampled_from(["LF", "CRLF"]),
)
def test_whatever_is_uploaded_comes_to_an_end(
    server: SandboxServer, lines: str, operation: str, header: str, ending: str
) -> None:
    bulk = BulkClient(_administrator(server))
    end = "\n" if ending == "LF" else "\r\n"
    info = bulk.run(
        operation,
        "Account",
        f"{header}{end}{lines}",
        externalIdFieldName="Id",
        lineEnding=ending,
    ).info

    assert info["state"] in {"JobComplete", "Failed"}
    assert not info.get("errorMessage", "").startswith("Unknown")


def _administrator(server: SandboxServer) -> Client:
    return _CLIENTS.setdefault(server.base_url, Client(server.base_url))


_CLIENTS: dict[str, Client] = {}
