"""Every route, with every method and all kinds of nonsense: an error of Salesforce's, never a 500.

The requests are made from the org's own routing table, so that a new route is tried by itself.
"""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from l2c_sandbox.rest.app import ROUTER
from l2c_sandbox.server import SandboxServer
from org_client import Client

BOUNDED = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LONG = settings(BOUNDED, max_examples=5_000)
METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE", "HEAD")
VERSIONS = ("50.0", "55.0", "59.0", "67.0")
SOQL = (
    "SELECT Id FROM Account",
    "SELECT Name, (SELECT LastName FROM Contacts) FROM Account",
    "SELECT COUNT() FROM Bill__c",
    "SELECT FIELDS(ALL) FROM Account LIMIT 1",
    "SELECT",
)
PARAMETERS = (
    "_HttpMethod",
    "allOrNone",
    "columns",
    "end",
    "explain",
    "fields",
    "ids",
    "isPkChunkingEnabled",
    "jobType",
    "limit",
    "locator",
    "maxRecords",
    "payloadFormat",
    "q",
    "queryLocator",
    "sObjects",
    "start",
    "updateOnly",
)
KEYS = (
    "Account__r",
    "Id",
    "Key__c",
    "Name",
    "attributes",
    "allOrNone",
    "batchRequests",
    "body",
    "collateSubrequests",
    "columnDelimiter",
    "compositeRequest",
    "contentType",
    "externalIdFieldName",
    "fields",
    "graphId",
    "graphs",
    "haltOnError",
    "httpHeaders",
    "id",
    "ids",
    "lineEnding",
    "method",
    "object",
    "operation",
    "query",
    "records",
    "referenceId",
    "richInput",
    "state",
    "type",
    "url",
)
WORDS = (
    "Account",
    "Bill__c",
    "Contact",
    "User",
    "Id",
    "Key__c",
    "Name",
    "POST",
    "GET",
    "PATCH",
    "DELETE",
    "insert",
    "update",
    "upsert",
    "query",
    "queryAll",
    "delete",
    "hardDelete",
    "CSV",
    "LF",
    "CRLF",
    "TAB",
    "COMMA",
    "UploadComplete",
    "Aborted",
    "true",
    "false",
    "a",
    "b",
    "001000000000000AAA",
    "2026-01-31",
    "2026-01-31T00:00:00Z",
    "v59.0/limits",
    "/services/data/v59.0/sobjects/Account",
    "/services/data/v59.0/query?q=SELECT+Id+FROM+Account",
)
HEADERS = (
    ("Accept", "application/xml"),
    ("Content-Type", "text/csv"),
    ("Content-Type", "multipart/form-data; boundary=b"),
    ("Content-Encoding", "gzip"),
    ("If-Match", '"x"'),
    ("If-Modified-Since", "Sat, 31 Jan 2026 00:00:00 GMT"),
    ("Sforce-Call-Options", "client=,,;="),
    ("Sforce-Query-Options", "batchSize=0"),
    ("X-PrettyPrint", "1"),
)


@dataclass(frozen=True, slots=True)
class World:
    """A client, and segments of addresses that mean something to its org."""

    org: Client
    segments: tuple[str, ...]


@pytest.fixture(scope="module")
def world(server: SandboxServer) -> World:
    org = Client(server.base_url)
    account = org.create("Account", Name="A", Billing_Key__c="K")
    contact = org.create("Contact", LastName="C", AccountId=account)
    ingest = org.post("/jobs/ingest", {"object": "Account", "operation": "insert"}).json()["id"]
    body = {"query": SOQL[0], "operation": "query"}
    query = org.post("/jobs/query", body).json()["id"]
    known = (
        "account",
        "Contact",
        "Bill__c",
        "FieldDefinition",
        "User",
        "Id",
        "Billing_Key__c",
        "K",
    )
    parts = ("Contacts", "Owner", "VersionData", "standard", "01gSb0000000001IAA-200", "", ".", "%")
    return World(org, (account, contact[:15], ingest, query, *known, *parts))


text = st.text(max_size=12) | st.sampled_from(WORDS)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=15,
)
bodies = (
    values.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=60)
    | st.just(b"")
    | st.sampled_from([b"Name\nA\n", b"Id,Name\nx\n", b'"', b"--b\r\n\r\n--b--"])
)
queries = st.dictionaries(
    st.sampled_from(PARAMETERS), text | st.sampled_from([*SOQL, "0", "-1", "PATCH"]), max_size=3
)


@st.composite
def requests_to(draw: st.DrawFn, segments: tuple[str, ...]) -> dict[str, Any]:
    """Return a request to some route."""
    route = draw(st.sampled_from(ROUTER.routes))
    wild = st.sampled_from(segments) | st.text(max_size=10)
    parts = [draw(wild) if part == "*" else part for part in route.path]
    path = "/".join(quote(part, safe="") for part in parts)
    return {
        # Mostly a method the route knows: what it refuses at once teaches nothing.
        "method": draw(st.sampled_from([*route.handlers, *route.handlers, *METHODS])),
        "path": f"/services/data/v{draw(st.sampled_from(VERSIONS))}/{path}",
        "params": draw(queries),
        "data": draw(bodies),
        "headers": {"Content-Type": "application/json"}
        | dict(draw(st.lists(st.sampled_from(HEADERS), max_size=2))),
    }


def check(world: World, data: st.DataObject) -> None:
    request = data.draw(requests_to(world.segments))

    answer = world.org.call(request.pop("method"), request.pop("path"), **request)

    assert answer.status_code < 500, (answer.request.method, answer.url, answer.request.body)
    assert is_told(answer), (answer.status_code, answer.text)


def is_told(answer: requests.Response) -> bool:
    """Return whether a refusal says what is wrong, in the form of its resource."""
    if answer.status_code < 400 or answer.request.method == "HEAD":
        return True
    body = answer.json()
    told = body["results"][0]["errors"] if isinstance(body, dict) else body
    return bool(told) and all(error["message"] for error in told)


@BOUNDED
@given(data=st.data())
def test_no_request_to_any_route_makes_the_org_stumble(world: World, data: st.DataObject) -> None:
    check(world, data)


@pytest.mark.slow
@LONG
@given(data=st.data())
def test_no_request_of_five_thousand_makes_the_org_stumble(
    world: World, data: st.DataObject
) -> None:
    check(world, data)
