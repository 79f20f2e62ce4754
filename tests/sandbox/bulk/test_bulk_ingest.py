"""Ingest jobs of Bulk API 2.0 (fact sheet E.1 to E.3)."""

import gzip

import pytest
from bulk_client import BulkClient
from l2c_sandbox.server import SandboxServer
from org_client import Client


def test_a_new_job_answers_as_recorded(bulk: BulkClient) -> None:
    job = bulk.create("upsert", "account", externalIdFieldName="billing_key__c")

    assert list(job) == [
        "id",
        "operation",
        "object",
        "createdById",
        "createdDate",
        "systemModstamp",
        "state",
        "externalIdFieldName",
        "concurrencyMode",
        "contentType",
        "apiVersion",
        "contentUrl",
        "lineEnding",
        "columnDelimiter",
    ]
    assert (len(job["id"]), job["id"][:3]) == (18, "750")
    assert job["state"] == "Open"
    assert (job["object"], job["externalIdFieldName"]) == ("Account", "Billing_Key__c")
    assert job["apiVersion"] == 59.0
    assert job["contentUrl"] == f"services/data/v59.0/jobs/ingest/{job['id']}/batches"
    assert job["createdDate"].endswith(".000+0000")


def test_a_closed_job_answers_shorter_and_goes_on_by_itself(bulk: BulkClient) -> None:
    job_id = bulk.create("insert", "Account")["id"]
    answer = bulk.put(job_id, "Name\nAcme\n")
    assert (answer.status_code, answer.content) == (201, b"")

    closed = bulk.state(job_id, "UploadComplete").json()
    info = bulk.wait(job_id)

    assert closed["state"] == "UploadComplete"
    assert not {"contentUrl", "lineEnding", "columnDelimiter"} & set(closed)
    assert info["state"] == "JobComplete"
    assert info["jobType"] == "V2Ingest"
    assert (info["numberRecordsProcessed"], info["numberRecordsFailed"]) == (1, 0)
    assert {"retries", "totalProcessingTime", "apiActiveProcessingTime"} <= set(info)
    assert info["apexProcessingTime"] == 0


def test_inserted_rows_are_told_with_their_ids(bulk: BulkClient, org: Client) -> None:
    ended = bulk.run("insert", "Account", 'Name,BillingCity\nAcme,"Paris, ""VIII"""\nBolt,\n')

    first, second = ended.saved
    assert ended.raw("successfulResults").startswith('"sf__Id","sf__Created",Name,BillingCity\n')
    assert (
        ended.raw("successfulResults").splitlines()[2] == f'"{second["sf__Id"]}","true","Bolt",""'
    )
    assert (first["sf__Created"], first["BillingCity"]) == ("true", 'Paris, "VIII"')
    found = org.query("SELECT Id, Name, BillingCity FROM Account ORDER BY Name")
    assert [(r["Id"], r["BillingCity"]) for r in found] == [
        (first["sf__Id"], 'Paris, "VIII"'),
        (second["sf__Id"], None),
    ]
    assert ended.raw("failedResults") == '"sf__Id","sf__Error",Name,BillingCity\n'
    assert ended.raw("unprocessedrecords") == "Name,BillingCity\n"


def test_bad_rows_fail_alone_and_say_why(bulk: BulkClient) -> None:
    data = (
        "Name,StageName,CloseDate\nGood,Prospecting,2026-05-01\nLate,Prospecting,2026-05-41\n,,\n"
    )
    ended = bulk.run("insert", "Opportunity", data)

    assert ended.info["state"] == "JobComplete"
    assert (ended.info["numberRecordsProcessed"], ended.info["numberRecordsFailed"]) == (3, 2)
    assert [row["Name"] for row in ended.saved] == ["Good"]
    late, empty = ended.failed
    assert late["sf__Id"] == ""
    assert late["sf__Error"] == (
        "INVALID_FIELD:Failed to deserialize field at col 2. Due to, '2026-05-41' is not a valid "
        "value for the type xsd:date:CloseDate --"
    )
    assert empty["sf__Error"] == (
        "REQUIRED_FIELD_MISSING:Required fields are missing: [Name, StageName, CloseDate]:"
        "Name,StageName,CloseDate --"
    )


def test_update_ignores_empty_cells_and_empties_with_a_mark(bulk: BulkClient, org: Client) -> None:
    first = org.create("Account", Name="Acme", BillingCity="Paris", Phone="1")
    ended = bulk.run("update", "Account", f"Id,BillingCity,Phone\n{first[:15]},,#N/A\n")

    assert ended.saved[0]["sf__Created"] == "false"
    assert ended.saved[0]["sf__Id"] == first
    (row,) = org.query("SELECT BillingCity, Phone FROM Account")
    assert (row["BillingCity"], row["Phone"]) == ("Paris", None)


def test_failed_updates_name_the_record_from_version_53(bulk: BulkClient, org: Client) -> None:
    gone = org.create("Account", Name="Gone")
    org.delete(f"/sobjects/Account/{gone}")

    ended = bulk.run("update", "Account", f"Id,Name\n{gone},Back\nnonsense,Back\n")

    deleted, malformed = ended.failed
    assert deleted["sf__Id"] == gone
    assert deleted["sf__Error"] == "ENTITY_IS_DELETED:entity is deleted:--"
    assert malformed["sf__Error"].startswith("MALFORMED_ID:")
    old = org.call(
        "POST",
        "/services/data/v52.0/jobs/ingest",
        json={"operation": "update", "object": "Account"},
    ).json()
    assert bulk.put(old["id"], f"Id,Name\n{gone},Back\n").status_code == 201
    bulk.state(old["id"], "UploadComplete")
    bulk.wait(old["id"])
    assert '"","ENTITY_IS_DELETED' in bulk.result(old["id"], "failedResults").text


def test_upsert_creates_and_updates_by_external_id(bulk: BulkClient, org: Client) -> None:
    org.create("Account", Name="Old", Billing_Key__c="k1")
    data = "Billing_Key__c,Name\nK1,New\nk2,Fresh\n,Nobody\nk2,Again\n"

    ended = bulk.run("upsert", "Account", data, externalIdFieldName="Billing_Key__c")

    assert [(r["Billing_Key__c"], r["sf__Created"]) for r in ended.saved] == [
        ("K1", "false"),
        ("k2", "true"),
    ]
    assert [r["sf__Error"].split(":")[0] for r in ended.failed] == [
        "MISSING_ARGUMENT",
        "DUPLICATE_VALUE",
    ]
    assert [r["Name"] for r in org.query("SELECT Name FROM Account ORDER BY Name")] == [
        "Fresh",
        "New",
    ]


def test_upsert_by_id_creates_rows_without_one(bulk: BulkClient, org: Client) -> None:
    known = org.create("Account", Name="Old")

    ended = bulk.run(
        "upsert", "Account", f"Id,Name\n{known},New\n,Fresh\n", externalIdFieldName="Id"
    )

    assert [r["sf__Created"] for r in ended.saved] == ["false", "true"]


def test_delete_fills_the_recycle_bin_and_hard_delete_does_not(
    bulk: BulkClient, org: Client
) -> None:
    soft, hard = org.create("Account", Name="Soft"), org.create("Account", Name="Hard")
    org.create("Contact", LastName="Child", AccountId=hard)

    assert bulk.run("delete", "Account", f"Id\n{soft}\n").saved[0]["sf__Id"] == soft
    assert bulk.run("hardDelete", "Account", f"Id\n{hard}\n").saved[0]["sf__Created"] == "false"

    answer = org.get("/queryAll", params={"q": "SELECT Id, IsDeleted FROM Account"})
    assert [(r["Id"], r["IsDeleted"]) for r in answer.json()["records"]] == [(soft, True)]
    again = bulk.run("delete", "Account", f"Id\n{soft}\n{hard}\n")
    assert [r["sf__Error"] for r in again.failed] == [
        "ENTITY_IS_DELETED:entity is deleted:--",
        "INVALID_CROSS_REFERENCE_KEY:invalid cross reference id:--",
    ]


@pytest.mark.parametrize(
    ("name", "mark"),
    [
        ("COMMA", ","),
        ("TAB", "\t"),
        ("PIPE", "|"),
        ("SEMICOLON", ";"),
        ("CARET", "^"),
        ("BACKQUOTE", "`"),
    ],
)
def test_every_delimiter_and_line_ending_is_kept_in_the_results(
    bulk: BulkClient, org: Client, name: str, mark: str
) -> None:
    data = f'Name{mark}Description\r\n"A{mark}B"{mark}"two\r\nlines"\r\n'

    ended = bulk.run("insert", "Account", data, columnDelimiter=name, lineEnding="CRLF")

    (record,) = org.query("SELECT Id, Name, Description FROM Account")
    assert (record["Name"], record["Description"]) == (f"A{mark}B", "two\r\nlines")
    raw = bulk.result(ended.id, "successfulResults").content.decode()
    assert raw == (
        f'"sf__Id"{mark}"sf__Created"{mark}Name{mark}Description\r\n'
        f'"{record["Id"]}"{mark}"true"{mark}"A{mark}B"{mark}"two\r\nlines"\r\n'
    )


def test_parents_are_found_by_their_external_ids(bulk: BulkClient, org: Client) -> None:
    acme = org.create("Account", Name="Acme", Billing_Key__c="acme")
    person = org.create("Contact", LastName="One", Email="one@acme.example")
    data = "LastName,Account.Billing_Key__c\nTwo,ACME\nThree,nobody\nFour,\nFive,#N/A\n"

    ended = bulk.run("insert", "Contact", data)

    assert [r["LastName"] for r in ended.saved] == ["Two", "Four", "Five"]
    assert ended.failed[0]["sf__Error"] == (
        "INVALID_FIELD:Foreign key external ID: nobody not found for field Billing_Key__c in "
        "entity Account:AccountId --"
    )
    (two,) = org.query("SELECT AccountId FROM Contact WHERE LastName = 'Two'")
    assert two["AccountId"] == acme
    moved = bulk.run("update", "Contact", f"Id,Account.Billing_Key__c\n{person},acme\n")
    assert moved.info["numberRecordsFailed"] == 0


def test_a_polymorphic_parent_needs_its_type_and_others_must_not_have_one(
    bulk: BulkClient, org: Client
) -> None:
    lead = org.create("Lead", LastName="One", Company="Acme", Email="one@acme.example")

    ended = bulk.run("insert", "Task", "Subject,Lead:Who.Email\nCall,one@acme.example\n")

    assert ended.info["numberRecordsFailed"] == 0, ended.failed
    assert org.query("SELECT WhoId FROM Task")[0]["WhoId"] == lead
    for header in ("Who.Email", "Account:Who.Email", "Lead:Who.Company"):
        refused = bulk.run("insert", "Task", f"Subject,{header}\nCall,one@acme.example\n")
        assert refused.info["errorMessage"] == f"InvalidBatch : Field name not found : {header}"
    typed = bulk.run("insert", "Contact", "LastName,Account:Account.Billing_Key__c\nx,y\n")
    assert typed.info["state"] == "Failed"


def test_checkboxes_take_digits_and_datetimes_take_offsets(bulk: BulkClient, org: Client) -> None:
    header = "Key__c,Disputed__c,Sent_At__c,Account__r.Billing_Key__c"
    cells = ("a,1,2026-05-01T10:00:00+02:00", "b,0,", "c,TRUE,#N/A", "d,maybe,")
    org.create("Account", Name="Acme", Billing_Key__c="acme")

    ended = bulk.run("insert", "Bill__c", "\n".join([header, *(f"{c},acme" for c in cells)]))

    found = org.query("SELECT Key__c, Disputed__c, Sent_At__c FROM Bill__c ORDER BY Key__c")
    assert [(r["Key__c"], r["Disputed__c"], r["Sent_At__c"]) for r in found] == [
        ("a", True, "2026-05-01T08:00:00.000+0000"),
        ("b", False, None),
        ("c", True, None),
    ]
    assert "'maybe' is not a valid value for the type xsd:boolean" in ended.failed[0]["sf__Error"]


def test_roll_ups_and_standard_objects_follow_as_in_every_other_call(
    bulk: BulkClient, org: Client
) -> None:
    account = org.create("Account", Name="Acme")
    bill = org.create("Bill__c", Key__c="b", Account__c=account)
    lines = "".join(f"l{i},{i}.50,{bill}\n" for i in range(450))

    ended = bulk.run("insert", "Bill_Line__c", "Key__c,Amount__c,Bill__c\n" + lines)

    assert ended.info["numberRecordsProcessed"] == 450
    (found,) = org.query("SELECT Line_Count__c, Line_Total__c FROM Bill__c")
    assert found["Line_Count__c"] == 450
    assert found["Line_Total__c"] == sum(range(450)) + 225


def test_the_job_brings_its_data_along_in_one_multipart_call(bulk: BulkClient, org: Client) -> None:
    body = (
        '--BOUNDARY\r\nContent-Type: application/json\r\nContent-Disposition: form-data; name="job"'
        '\r\n\r\n{"object":"Account","contentType":"CSV","operation":"insert"}\r\n--BOUNDARY\r\n'
        'Content-Type: text/csv\r\nContent-Disposition: form-data; name="content"; '
        'filename="content"\r\n\r\nName\nAcme\nBölt\n\r\n--BOUNDARY--\r\n'
    )
    headers = {"Content-Type": "multipart/form-data; boundary=BOUNDARY"}

    answer = org.call("POST", "/jobs/ingest", data=body.encode(), headers=headers)

    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "UploadComplete"
    assert "contentUrl" not in answer.json()
    assert bulk.wait(answer.json()["id"])["numberRecordsProcessed"] == 2
    assert {r["Name"] for r in org.query("SELECT Name FROM Account")} == {"Acme", "Bölt"}
    long = body.replace("Acme", "x" * 100_001).encode()
    refused = org.call("POST", "/jobs/ingest", data=long, headers=headers)
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (400, "CLIENTINPUTERROR")


def test_data_may_be_packed_both_ways(bulk: BulkClient, org: Client) -> None:
    job_id = bulk.create("insert", "Account")["id"]
    data = gzip.compress(("Name\n" + "".join(f"N{i}\n" for i in range(500))).encode())
    headers = {"Content-Type": "text/csv", "Content-Encoding": "gzip"}

    answer = org.call("PUT", f"/jobs/ingest/{job_id}/batches", data=data, headers=headers)

    assert answer.status_code == 201
    bulk.state(job_id, "UploadComplete")
    assert bulk.wait(job_id)["numberRecordsProcessed"] == 500
    result = bulk.result(job_id, "successfulResults", headers={"Accept-Encoding": "gzip"})
    assert result.headers["Content-Encoding"] == "gzip"
    assert len(result.text.splitlines()) == 501


def test_long_results_come_in_pages(bulk: BulkClient) -> None:
    ended = bulk.run("insert", "Account", "Name\n" + "".join(f"N{i}\n" for i in range(450)))
    seen, locator = [], ""
    for _ in range(5):
        params = {"maxRecords": "180", "locator": locator}
        page = bulk.result(ended.id, "successfulResults", params=params)
        seen += page.text.splitlines()[1:]
        assert page.headers["Sforce-NumberOfRecords"] == str(len(page.text.splitlines()) - 1)
        locator = page.headers["Sforce-Locator"]
        if locator == "null":
            break

    assert seen == ended.raw("successfulResults").splitlines()[1:]


def test_rows_that_meet_a_lock_are_tried_again(
    bulk: BulkClient, org: Client, server: SandboxServer
) -> None:
    fault = {"kind": "lock", "object": "Account", "count": 2}
    org.post("/__sandbox__/faults", {"faults": [fault]})

    ended = bulk.run("insert", "Account", "Name\nA\nB\nC\n")

    assert (ended.info["numberRecordsProcessed"], ended.info["numberRecordsFailed"]) == (3, 0)
    assert ended.info["retries"] == 1
    org.post("/__sandbox__/faults", {"faults": [fault | {"count": 1_000}]})
    stuck = bulk.run("insert", "Account", "Name\nD\n")
    assert stuck.info["retries"] == 20
    assert stuck.failed[0]["sf__Error"].startswith("UNABLE_TO_LOCK_ROW:")
