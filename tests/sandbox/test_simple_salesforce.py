"""simple-salesforce, unmodified, through its https addresses with the org's certificate (L)."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer
from org_client import Client
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceGeneralError,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceResourceNotFound,
)

SCHEMA = Path(__file__).parent / "schema"
DOMAIN = "acme.my"  # of the address https://acme.my.salesforce.com
USER, PASSWORD = "admin@sandbox.example", "sandbox"
APP = {"consumer_key": "sandbox-client", "consumer_secret": "sandbox-secret"}
QUICK = 0.01  # seconds between looks at a job
PAGE = 2_000


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    org = Org(OrgSettings(schema=SCHEMA, soap_login=True))
    started = SandboxServer(org, host="127.0.0.1", port=0, tls=True)
    started.start()
    yield started
    started.close()


class NameOfOrg(HTTPAdapter):
    """Leads the name of a My Domain to the local org, as an entry in a hosts file would."""

    def __init__(self, https_url: str) -> None:
        super().__init__()
        self._https_url = https_url

    def send(self, request: Any, *arguments: Any, **options: Any) -> Any:
        name = f"{DOMAIN}.salesforce.com"
        request.headers["Host"] = name
        request.url = request.url.replace(f"https://{name}", self._https_url, 1)
        return super().send(request, *arguments, **options)


@pytest.fixture
def http(server: SandboxServer, org: Client) -> Iterator[requests.Session]:
    """A session that trusts the certificate of the org, freshly reset."""
    assert server.https_url is not None
    with requests.Session() as session:
        session.trust_env = False  # an environment's own CA bundle would come first
        session.verify = server.ca_file or False
        session.mount(f"https://{DOMAIN}.salesforce.com", NameOfOrg(server.https_url))
        yield session


@pytest.fixture
def salesforce(server: SandboxServer, org: Client, http: requests.Session) -> Salesforce:
    return Salesforce(instance_url=server.https_url, session_id=org.token, session=http)


def username_of(salesforce: Salesforce) -> str:
    return str(salesforce.oauth2("userinfo")["preferred_username"])


class TestLogin:
    @pytest.mark.parametrize(
        "more",
        [
            {"security_token": ""},
            {"organizationId": "00DSb0000000001"},
            {**APP},
        ],
        ids=["SOAP", "SOAP of an organization", "password flow"],
    )
    def test_works_with_a_user_name_and_a_password(
        self, http: requests.Session, more: dict[str, str]
    ) -> None:
        salesforce = Salesforce(
            username=USER, password=PASSWORD, domain=DOMAIN, session=http, **more
        )

        assert salesforce.sf_instance == f"{DOMAIN}.salesforce.com"
        assert username_of(salesforce) == USER

    def test_works_with_client_credentials(self, http: requests.Session) -> None:
        salesforce = Salesforce(domain=DOMAIN, session=http, **APP)

        assert username_of(salesforce) == "integration@sandbox.example"

    def test_works_with_a_signed_assertion(self, http: requests.Session, org: Client) -> None:
        key, certificate = signing_pair()
        org.post("/__sandbox__/certificates", {"certificate": certificate}).raise_for_status()

        salesforce = Salesforce(
            username=USER,
            consumer_key=APP["consumer_key"],
            privatekey=key,
            domain=DOMAIN,
            session=http,
        )

        assert username_of(salesforce) == USER

    @pytest.mark.parametrize(
        ("more", "code"), [({"security_token": ""}, "INVALID_LOGIN"), (APP, "invalid_grant")]
    )
    def test_says_why_a_wrong_password_is_refused(
        self, http: requests.Session, more: dict[str, str], code: str
    ) -> None:
        with pytest.raises(SalesforceAuthenticationFailed) as refused:
            Salesforce(username=USER, password="wrong", domain=DOMAIN, session=http, **more)

        assert refused.value.code == code

    def test_is_done_again_after_the_session_ended(
        self, http: requests.Session, org: Client
    ) -> None:
        salesforce = Salesforce(
            username=USER, password=PASSWORD, security_token="", domain=DOMAIN, session=http
        )
        before = salesforce.session_id

        org.call("POST", "/__sandbox__/sessions/expire")
        created: Any = salesforce.Account.create({"Name": "Acme"})  # type: ignore[operator]

        assert created["success"]
        assert salesforce.session_id != before
        assert salesforce.query("SELECT Id FROM Account")["totalSize"] == 1

    def test_is_not_done_again_for_a_session_from_elsewhere(
        self, salesforce: Salesforce, org: Client
    ) -> None:
        org.call("POST", "/__sandbox__/sessions/expire")

        with pytest.raises(SalesforceExpiredSession):
            salesforce.query("SELECT Id FROM Account")


def signing_pair() -> tuple[str, str]:
    """Return a private key and its certificate, both as PEM."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "simple-salesforce")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


def plant(salesforce: Salesforce, count: int) -> None:
    """Make accounts by one bulk job."""
    rows = [{"Name": f"N{n:04d}", "Billing_Key__c": f"K-{n}"} for n in range(count)]
    (result,) = salesforce.bulk2.Account.insert(records=rows, wait=QUICK)  # type: ignore[operator]
    assert result["numberRecordsFailed"] == 0


def test_reads_over_several_pages(salesforce: Salesforce) -> None:
    plant(salesforce, PAGE + 345)
    soql = "SELECT Name FROM Account ORDER BY Name"

    first = salesforce.query(soql)
    second = salesforce.query_more(first["nextRecordsUrl"], identifier_is_url=True)
    everything = salesforce.query_all(soql)
    one_by_one = [row["Name"] for row in salesforce.query_all_iter(soql)]

    assert (len(first["records"]), len(second["records"])) == (PAGE, 345)
    assert (everything["totalSize"], everything["done"]) == (PAGE + 345, True)
    assert [row["Name"] for row in everything["records"]] == one_by_one
    assert one_by_one == [f"N{n:04d}" for n in range(PAGE + 345)]


def test_loads_and_reads_in_bulk(salesforce: Salesforce) -> None:
    accounts: Any = salesforce.bulk2.Account
    plant(salesforce, 30)

    (upserted,) = accounts.upsert(
        records=[{"Billing_Key__c": f"K-{n}", "Name": f"U{n}"} for n in range(28, 32)],
        external_id_field="Billing_Key__c",
        wait=QUICK,
    )
    pages = list(accounts.query("SELECT Id, Name FROM Account", max_records=20, wait=QUICK))
    rows = [row for page in pages for row in csv.DictReader(io.StringIO(page, newline=""))]
    (deleted,) = accounts.delete(records=[{"Id": row["Id"]} for row in rows], wait=QUICK)

    results = accounts.get_successful_records(upserted["job_id"])
    created = [row["sf__Created"] for row in csv.DictReader(io.StringIO(results))]
    assert created == ["false", "false", "true", "true"]
    assert (len(pages), len(rows)) == (2, 32)
    assert (deleted["numberRecordsProcessed"], deleted["numberRecordsFailed"]) == (32, 0)
    assert salesforce.query("SELECT COUNT() FROM Account")["totalSize"] == 0


class TestRecord:
    def test_is_created_read_changed_and_deleted(self, salesforce: Salesforce) -> None:
        accounts: Any = salesforce.Account

        created = accounts.create({"Name": "Acme"})
        changed = accounts.update(created["id"], {"Phone": "1"})
        read = accounts.get(created["id"])
        deleted = accounts.delete(created["id"])

        assert (created["success"], created["errors"]) == (True, [])
        assert (changed, deleted) == (204, 204)
        assert (read["Name"], read["Phone"]) == ("Acme", "1")
        with pytest.raises(SalesforceResourceNotFound):
            accounts.get(created["id"])

    def test_is_created_or_changed_by_an_external_id(self, salesforce: Salesforce) -> None:
        accounts: Any = salesforce.Account

        statuses = [
            accounts.upsert("Billing_Key__c/C-1", {"Name": name}) for name in ("First", "Second")
        ]
        whole = accounts.upsert("Billing_Key__c/C-1", {"Phone": "1"}, raw_response=True).json()

        assert statuses == [201, 200]
        assert (whole["success"], whole["created"]) == (True, False)
        read = accounts.get_by_custom_id("Billing_Key__c", "C-1")
        assert (read["Id"], read["Name"], read["Phone"]) == (whole["id"], "Second", "1")

    def test_is_told_as_changed_or_deleted(self, salesforce: Salesforce) -> None:
        accounts: Any = salesforce.Account
        kept, gone = (accounts.create({"Name": name})["id"] for name in ("Kept", "Gone"))
        accounts.delete(gone)
        start, end = (datetime.now(UTC) + timedelta(minutes=m) for m in (-60, 2))

        assert accounts.updated(start, end)["ids"] == [kept]
        assert [row["id"] for row in accounts.deleted(start, end)["deletedRecords"]] == [gone]


class TestErrors:
    def test_become_the_exceptions_of_the_client(self, salesforce: Salesforce) -> None:
        accounts: Any = salesforce.Account

        with pytest.raises(SalesforceMalformedRequest) as refused:
            accounts.create({"Phone": "1"})
        assert refused.value.content[0]["errorCode"] == "REQUIRED_FIELD_MISSING"
        with pytest.raises(SalesforceMalformedRequest, match="No such column 'Nope'"):
            salesforce.query("SELECT Nope FROM Account")
        with pytest.raises(SalesforceResourceNotFound):
            salesforce.Nope.describe()  # type: ignore[operator]
        with pytest.raises(SalesforceResourceNotFound):
            accounts.update("001000000000000AAA", {"Name": "A"})

    def test_of_an_ambiguous_external_id_name_the_records(self, salesforce: Salesforce) -> None:
        lines: Any = salesforce.Bill_Line__c
        bills: Any = salesforce.Bill__c
        bill = bills.create({"Key__c": "B-1"})["id"]
        for _ in range(2):
            lines.create({"Bill__c": bill, "Amount__c": 1, "Code__c": "same"})

        with pytest.raises(SalesforceMoreThanOneRecord) as refused:
            lines.get_by_custom_id("Code__c", "same")

        assert len(refused.value.content) == 2

    def test_of_a_closed_door_are_general(self, salesforce: Salesforce, org: Client) -> None:
        fault = {"kind": "http", "status": 503, "path": "/query", "count": 1}
        org.post("/__sandbox__/faults", {"faults": [fault]}).raise_for_status()

        with pytest.raises(SalesforceGeneralError) as refused:
            salesforce.query("SELECT Id FROM Account")

        assert refused.value.status == 503


def test_writes_collections(salesforce: Salesforce) -> None:
    rows = [{"attributes": {"type": "Contact"}, "LastName": f"L{n}"} for n in range(3)]
    rows.append({"attributes": {"type": "Contact"}, "FirstName": "bad"})
    path = "composite/sobjects"

    created: Any = salesforce.restful(path, method="POST", json={"records": rows})
    ids = [result["id"] for result in created[:3]]
    changes = [{"attributes": {"type": "Contact"}, "Id": i, "Phone": "1"} for i in ids]
    changed: Any = salesforce.restful(path, method="PATCH", json={"records": changes})
    deleted: Any = salesforce.restful(path, method="DELETE", params={"ids": ",".join(ids[:2])})

    assert [result["success"] for result in created] == [True, True, True, False]
    assert created[3]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
    assert [result["id"] for result in changed] == ids
    assert [result["success"] for result in deleted] == [True, True]
    left = salesforce.query_all("SELECT LastName, Phone FROM Contact")["records"]
    assert [(row["LastName"], row["Phone"]) for row in left] == [("L2", "1")]


def test_makes_composite_calls(salesforce: Salesforce) -> None:
    base = f"/services/data/v{salesforce.sf_version}"
    steps = [
        {
            "method": "POST",
            "url": f"{base}/sobjects/Account",
            "referenceId": "account",
            "body": {"Name": "Acme"},
        },
        {
            "method": "POST",
            "url": f"{base}/sobjects/Contact",
            "referenceId": "contact",
            "body": {"LastName": "Ada", "AccountId": "@{account.id}"},
        },
    ]

    answer: Any = salesforce.restful(
        "composite", method="POST", json={"allOrNone": True, "compositeRequest": steps}
    )

    assert [part["httpStatusCode"] for part in answer["compositeResponse"]] == [201, 201]
    found = salesforce.query("SELECT Account.Name FROM Contact")["records"]
    assert found[0]["Account"]["Name"] == "Acme"


def test_reads_descriptions_and_limits(salesforce: Salesforce) -> None:
    everything: Any = salesforce.describe()
    account: Any = salesforce.Account.describe()  # type: ignore[operator]
    metadata: Any = salesforce.Account.metadata()  # type: ignore[operator]
    limits: Any = salesforce.limits()

    assert {"Account", "Bill__c"} <= {entry["name"] for entry in everything["sobjects"]}
    keys = [field["name"] for field in account["fields"] if field["externalId"]]
    assert keys == ["Billing_Key__c"]
    assert metadata["objectDescribe"]["keyPrefix"] == "001"
    assert salesforce.api_usage["api-usage"].total == limits["DailyApiRequests"]["Max"]
    assert salesforce.is_sandbox() is True
