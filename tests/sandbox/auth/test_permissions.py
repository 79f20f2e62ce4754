"""What a user without right to all data may see and do (issue: field-level security)."""

import pytest
import requests
from org_client import Client

READER = "reader@sandbox.example"


def as_user(org: Client, username: str, *permission_sets: str) -> Client:
    body = {"username": username, "permission_sets": list(permission_sets)}
    answer = org.call("PUT", "/__sandbox__/users", json=body)
    assert answer.status_code == 200, answer.text
    form = {
        "grant_type": "password",
        "client_id": "sandbox-client",
        "client_secret": "sandbox-secret",
        "username": username,
        "password": "sandbox",
    }
    url = f"{org.base_url}/services/oauth2/token"
    token = requests.post(url, data=form, timeout=10).json()["access_token"]
    other = Client(org.base_url)
    other.http.headers["Authorization"] = f"Bearer {token}"
    return other


@pytest.fixture
def bill(org: Client) -> str:
    account = org.create("Account", Name="Ada")
    return org.create("Bill__c", Key__c="B1", Account__c=account, Total__c=5, Notes__c="n")


@pytest.fixture
def reader(org: Client) -> Client:
    return as_user(org, READER, "Bill_Reader")


def test_a_hidden_field_is_unknown_to_queries_records_and_describe(
    reader: Client, bill: str
) -> None:
    refused = reader.refused("SELECT Total__c FROM Bill__c")
    record = reader.get(f"/sobjects/Bill__c/{bill}").json()
    described = reader.get("/sobjects/Bill__c/describe").json()

    assert refused["errorCode"] == "INVALID_FIELD"
    assert "No such column 'Total__c' on entity 'Bill__c'" in refused["message"]
    assert "Total__c" not in record
    assert (record["Status__c"], record["Notes__c"]) == ("Draft", "n")
    assert {"Status__c", "Notes__c"} == {f["name"] for f in described["fields"] if f["custom"]}


def test_a_hidden_field_does_not_help_in_a_condition(reader: Client, bill: str) -> None:
    assert reader.refused("SELECT Id FROM Bill__c WHERE Total__c > 1")["errorCode"] == (
        "INVALID_FIELD"
    )
    assert reader.refused("SELECT Account__r.Name FROM Bill__c")["errorCode"] == "INVALID_FIELD"


def test_a_readable_field_is_not_writable_and_a_hidden_one_is_unknown(
    reader: Client, bill: str
) -> None:
    path = f"/sobjects/Bill__c/{bill}"

    readonly = reader.patch(path, {"Status__c": "Paid"}).json()[0]
    hidden = reader.patch(path, {"Total__c": 9}).json()[0]

    assert reader.patch(path, {"Notes__c": "new"}).status_code == 204
    assert readonly["errorCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"
    assert readonly["fields"] == ["Status__c"]
    assert hidden["message"] == "No such column 'Total__c' on sobject of type Bill__c"


def test_records_cannot_be_created_or_deleted_without_the_right(reader: Client, bill: str) -> None:
    created = reader.post("/sobjects/Bill__c", {"Notes__c": "x"})
    deleted = reader.delete(f"/sobjects/Bill__c/{bill}")

    assert created.json()[0]["errorCode"] == "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"
    assert deleted.json()[0]["errorCode"] == "INSUFFICIENT_ACCESS_OR_READONLY"


def test_an_object_nobody_granted_is_not_there(reader: Client) -> None:
    names = [o["name"] for o in reader.get("/sobjects").json()["sobjects"]]

    assert "Bill__c" in names
    assert "Bill_Line__c" not in names
    assert reader.get("/sobjects/Bill_Line__c/describe").status_code == 404
    assert reader.refused("SELECT Id FROM Bill_Line__c")["errorCode"] == "INVALID_TYPE"
    many = {"records": [{"attributes": {"type": "Bill_Line__c"}, "Code__c": "x"}]}
    assert reader.post("/composite/sobjects", many).json()[0]["errorCode"] == "INVALID_TYPE"


def test_a_standard_user_has_the_standard_objects(reader: Client) -> None:
    account = reader.create("Account", Name="Mine")

    assert reader.query("SELECT Name FROM Account WHERE Name = 'Mine'")[0]["Name"] == "Mine"
    assert reader.get(f"/sobjects/Account/{account}").json().get("Balance__c", "none") == "none"


def test_open_sessions_see_what_is_granted_later(org: Client) -> None:
    user = as_user(org, "later@sandbox.example")
    assert user.get("/sobjects/Bill__c/describe").status_code == 404

    body = {"username": "later@sandbox.example", "permission_sets": ["Bill_Reader"]}
    org.call("PUT", "/__sandbox__/users", json=body)

    assert user.get("/sobjects/Bill__c/describe").status_code == 200
    soql = (
        "SELECT PermissionSet.Name FROM PermissionSetAssignment WHERE Assignee.Username LIKE 'l%'"
    )
    assert org.query(soql)[0]["PermissionSet"]["Name"] == "Bill_Reader"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": "x"},
        {"username": "a@b.example", "permission_sets": ["Nothing"]},
        {"username": "a@b.example", "permission_sets": [1]},
        {"username": "a@b.example", "profile": "King"},
        {"username": "a@b.example", "Nonsense": 1},
    ],
)
def test_a_user_that_makes_no_sense_is_refused(org: Client, body: dict[str, object]) -> None:
    assert org.call("PUT", "/__sandbox__/users", json=body).status_code == 400
