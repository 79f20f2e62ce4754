"""An org without person accounts (fact sheet I.5)."""

from collections.abc import Iterator

import pytest
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer
from org_client import Client


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    settings = OrgSettings(person_accounts=False)
    started = SandboxServer(Org(settings), host="127.0.0.1", port=0)
    started.start()
    yield started
    started.close()


def test_has_no_fields_of_persons(org: Client) -> None:
    account = org.get("/sobjects/Account/describe").json()["fields"]
    contact = org.get("/sobjects/Contact/describe").json()["fields"]

    names = {field["name"]: field["nillable"] for field in account}
    assert [n for n in names if "Person" in n or n == "LastName"] == []
    assert names["Name"] is False
    assert "IsPersonAccount" not in {field["name"] for field in contact}
    assert org.query("SELECT Id FROM RecordType") == []


@pytest.mark.parametrize(
    ("name", "fields", "missing"),
    [("Account", {"Phone": "1"}, "Name"), ("Lead", {"LastName": "Kern"}, "Company")],
)
def test_requires_the_names_of_businesses(
    org: Client, name: str, fields: dict[str, str], missing: str
) -> None:
    answer = org.post(f"/sobjects/{name}", fields).json()[0]

    assert (answer["errorCode"], answer["fields"]) == ("REQUIRED_FIELD_MISSING", [missing])


def test_accounts_and_contacts_come_and_go(org: Client) -> None:
    account = org.create("Account", Name="Kern AG")
    contact = org.create("Contact", LastName="Kern", AccountId=account)

    renamed = org.patch(f"/sobjects/Account/{account}", {"Name": "Kern SE"})
    gone = org.delete(f"/sobjects/Account/{account}")

    assert (renamed.status_code, gone.status_code) == (204, 204)
    assert org.get(f"/sobjects/Contact/{contact}").status_code == 404
