"""Nothing a caller sends makes the org stumble: an error of Salesforce's, never a 500."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from l2c_sandbox.errors import ApiError
from l2c_sandbox.schema.metadata import build_schema
from l2c_sandbox.server import SandboxServer
from l2c_sandbox.soql.planner import plan_query
from org_client import Client

WORDS = [
    "SELECT",
    "FROM",
    "WHERE",
    "AND",
    "OR",
    "NOT",
    "IN",
    "LIKE",
    "ORDER",
    "BY",
    "GROUP",
    "HAVING",
    "LIMIT",
    "OFFSET",
    "NULLS",
    "FIRST",
    "LAST",
    "ASC",
    "DESC",
    "COUNT",
    "SUM",
    "AVG",
    "MIN",
    "MAX",
    "COUNT_DISTINCT",
    "CALENDAR_YEAR",
    "DAY_ONLY",
    "INCLUDES",
    "EXCLUDES",
    "null",
    "true",
    "FIELDS",
    "ALL",
    "TODAY",
    "LAST_N_DAYS:5",
    "N_MONTHS_AGO:999999",
    "NEXT_FISCAL_YEAR",
    "Account",
    "Contact",
    "Bill__c",
    "Id",
    "Name",
    "Owner.Name",
    "Account.Name",
    "Parent.Parent.Name",
    "Contacts",
    "Bills__r",
    "Total__c",
    "Due__c",
    "CreatedDate",
    "Status__c",
    "Channels__c",
    "IsDeleted",
    "BillingAddress",
    "(",
    ")",
    ",",
    "=",
    "!=",
    "<",
    ">",
    "<=",
    ">=",
    "'x'",
    "''",
    "'\\u00e4'",
    "'%'",
    "0",
    "-1",
    "1.5",
    "1e400",
    "99999999999999999999",
    "2026-01-31",
    "2026-01-31T00:00:00Z",
    "2026-13-45",
    "EUR5",
    ".",
    ":",
]
tokens = st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join)
well_begun = st.tuples(
    st.lists(
        st.sampled_from(
            ["Id", "Name", "COUNT(Id)", "Owner.Name", "Total__c", "(SELECT Id FROM Bills__r)"]
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["Account", "Bill__c", "Contact", "ContentDocumentLink"]),
    st.lists(st.sampled_from(WORDS), max_size=12),
).map(lambda parts: f"SELECT {', '.join(parts[0])} FROM {parts[1]} {' '.join(parts[2])}")
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = [
    "Key__c",
    "Account__c",
    "Account__r",
    "Total__c",
    "Rate__c",
    "Due__c",
    "Sent_At__c",
    "Disputed__c",
    "Status__c",
    "Channels__c",
    "Notes__c",
    "Contact_Email__c",
    "Link__c",
    "Name",
    "Id",
    "attributes",
]
SCHEMA = build_schema(None, prefixes={})


@settings(max_examples=500)
@given(text=st.text(max_size=60) | tokens)
def test_the_planner_refuses_or_plans(text: str) -> None:
    refused = None
    try:
        plan_query(text, SCHEMA, include_deleted=False)
    except ApiError as error:
        refused = error.status

    assert refused in {None, 400}


@settings(max_examples=200)
@given(soql=tokens | well_begun | st.text(max_size=40))
def test_garbage_soql_is_answered_with_an_error(server: SandboxServer, soql: str) -> None:
    org = client_of(server)

    answer = org.get("/query", params={"q": soql})

    assert answer.status_code in {200, 400}, (soql, answer.text)
    if answer.status_code == 400:
        assert set(answer.json()[0]) == {"message", "errorCode"}


@settings(max_examples=100)
@given(fields=st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4))
def test_wild_values_are_stored_or_refused(server: SandboxServer, fields: dict[str, Any]) -> None:
    org = client_of(server)

    answer = org.post("/sobjects/Bill__c", fields)

    assert answer.status_code in {201, 400}, (fields, answer.text)
    if answer.status_code == 201:
        shown = org.get(f"/sobjects/Bill__c/{answer.json()['id']}")
        assert shown.status_code == 200


@settings(max_examples=100)
@given(
    body=json_values,
    path=st.sampled_from(
        [
            "",
            "/batch",
            "/sobjects",
            "/tree/Account",
            "/sobjects/Bill__c/Key__c",
            "/sobjects/Account",
        ]
    ),
    method=st.sampled_from(["POST", "PATCH"]),
)
def test_wild_composite_bodies_are_refused(
    server: SandboxServer, body: Any, path: str, method: str
) -> None:
    keys = ("compositeRequest", "batchRequests", "records")
    wrapped = dict.fromkeys(keys, body) if not isinstance(body, dict) else body

    answer = client_of(server).call(method, f"/composite{path}", json=wrapped)

    assert answer.status_code in {200, 400, 405}, (body, answer.text)


@settings(max_examples=200)
@given(parts=st.lists(st.text(max_size=12), max_size=4), query=st.text(max_size=30))
def test_wild_addresses_are_refused(server: SandboxServer, parts: list[str], query: str) -> None:
    path = "/" + "/".join(json.dumps(part)[1:-1] for part in parts)

    answer = client_of(server).get(f"/sobjects{path}?{query}")

    assert answer.status_code < 500, (path, answer.text)


_clients: dict[str, Client] = {}


def client_of(server: SandboxServer) -> Client:
    """Return one client per server: signing in for every example would take the time of it."""
    if server.base_url not in _clients:
        _clients[server.base_url] = Client(server.base_url)
    return _clients[server.base_url]
