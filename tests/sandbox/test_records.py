"""Single records (fact sheet B.4, B.5, B.8, B.9)."""

import gzip
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from l2c_sandbox.ids import checksum, make_id, normalize, number_of
from org_client import Client


def error_of(answer: Any) -> tuple[int, str, str]:
    first = answer.json()[0]
    return answer.status_code, first["errorCode"], first["message"]


@pytest.mark.parametrize(
    ("id15", "suffix"), [("0015500001QdQWa", "AAN"), ("000000000000000", "AAA")]
)
def test_ids_carry_the_checksum_of_real_ones(id15: str, suffix: str) -> None:
    assert checksum(id15) == suffix
    assert normalize(id15) == id15 + suffix
    assert normalize(id15 + "ZZZ") is None


@given(st.integers(1, 62**8))
def test_ids_grow_with_their_number_and_give_it_back(number: int) -> None:
    first, second = (make_id(prefix="a00", number=n) for n in (number, number + 1))

    assert first < second
    assert number_of(first) == number


def test_creates_reads_updates_and_deletes(org: Client) -> None:
    created = org.post("/sobjects/Account", {"Name": "  Müller & Co ", "Website": ""})

    record_id = created.json()["id"]
    assert created.status_code == 201
    assert created.json() == {"id": record_id, "success": True, "errors": []}
    assert created.headers["Location"] == f"/services/data/v59.0/sobjects/Account/{record_id}"
    row = org.get(f"/sobjects/Account/{record_id}").json()
    assert row["attributes"]["url"] == created.headers["Location"]
    assert (row["Name"], row["Website"], row["IsDeleted"]) == ("Müller & Co", None, False)
    assert row["SystemModstamp"].endswith(".000+0000")
    assert len(row["SystemModstamp"]) == 28

    assert org.patch(f"/sobjects/Account/{record_id[:15]}", {"name": "New"}).status_code == 204
    short = org.get(f"/sobjects/ACCOUNT/{record_id}/", params={"fields": "name,Phone"}).json()
    assert {k: v for k, v in short.items() if k != "attributes"} == {"Name": "New", "Phone": None}

    assert org.delete(f"/sobjects/Account/{record_id}").status_code == 204
    assert error_of(org.get(f"/sobjects/Account/{record_id}"))[:2] == (404, "ENTITY_IS_DELETED")
    assert org.delete(f"/sobjects/Account/{record_id}").status_code == 404


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]"),
        (
            {"LastName": "A", "Foo": 1},
            "INVALID_FIELD",
            "No such column 'Foo' on sobject of type Contact",
        ),
        (
            {"LastName": "A", "Email": "123"},
            "INVALID_EMAIL_ADDRESS",
            "Email: invalid email address: 123",
        ),
        (
            {"LastName": "x" * 81},
            "STRING_TOO_LONG",
            f"Last Name: data value too large: {'x' * 81} (max length=80)",
        ),
        (
            {"LastName": "A", "Id": "003Sb0000000001"},
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "cannot specify Id in an insert call",
        ),
        (
            {"LastName": "A", "AccountId": "003Sb0000000001"},
            "MALFORMED_ID",
            "Account ID: id value of incorrect type: 003Sb0000000001",
        ),
        (
            {"LastName": "A", "AccountId": "001Sb0000000999"},
            "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
            "insufficient access rights on cross-reference id: 001Sb0000000999",
        ),
        (
            {"LastName": "A", "Account": {"Billing_Key__c": "none"}},
            "INVALID_FIELD",
            "Foreign key external ID: none not found for field Billing_Key__c in entity Account",
        ),
    ],
)
def test_refuses_in_the_words_of_a_real_org(
    org: Client, fields: dict[str, Any], code: str, message: str
) -> None:
    assert error_of(org.post("/sobjects/Contact", fields)) == (400, code, message)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"Status__c": "Lost"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"Total__c": "abc"}, "JSON_PARSER_ERROR"),
        ({"Total__c": 10**17}, "NUMBER_OUTSIDE_VALID_RANGE"),
        ({"Total__c": "Infinity"}, "JSON_PARSER_ERROR"),
        ({"Due__c": "2026-02-30"}, "JSON_PARSER_ERROR"),
        ({"Due__c": "2026-02-03T00:00:00Z"}, "JSON_PARSER_ERROR"),
        ({"Due__c": "1500-01-01"}, "DATE_OUT_OF_RANGE"),
        ({"Sent_At__c": "yesterday"}, "JSON_PARSER_ERROR"),
        ({"Sent_At__c": "0001-01-01T00:00:00+10:00"}, "JSON_PARSER_ERROR"),
        ({"Disputed__c": None}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ({"Disputed__c": "perhaps"}, "JSON_PARSER_ERROR"),
        ({"Key__c": 5}, "JSON_PARSER_ERROR"),
        ({"Line_Count__c": 5}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"Label__c": "x"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"CreatedDate": "2026-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"Account__r": "001"}, "INVALID_FIELD"),
        ({"Account__r": {"Phone": "1"}}, "INVALID_FIELD"),
    ],
)
def test_refuses_values_a_field_does_not_take(
    org: Client, fields: dict[str, Any], code: str
) -> None:
    assert error_of(org.post("/sobjects/Bill__c", fields))[:2] == (400, code)


def test_stores_every_type_and_gives_it_back(org: Client) -> None:
    account = org.create("Account", Name="A", Billing_Key__c="C-1")
    bill = org.create(
        "Bill__c",
        Key__c="B-1",
        Account__r={"billing_key__c": "c-1"},
        Total__c="60.00",
        Rate__c=0.000125,
        Due__c="2026-03-31",
        Sent_At__c="2026-03-01T12:00:00+02:00",
        Status__c="paid",
        Channels__c="Portal;Mail",
        Notes__c="line 1\nline 2",
    )

    row = org.get(f"/sobjects/Bill__c/{bill}").json()

    assert row["Account__c"] == account
    assert (row["Total__c"], row["Rate__c"]) == (60.0, 0.000125)
    assert (row["Due__c"], row["Sent_At__c"]) == ("2026-03-31", "2026-03-01T10:00:00.000+0000")
    assert (row["Status__c"], row["Channels__c"]) == ("Paid", "Mail;Portal")
    assert row["Name"] == bill
    assert row["Disputed__c"] is False


@given(cents=st.integers(-(10**18) + 1, 10**18 - 1))
def test_money_keeps_every_digit(server: Any, cents: int) -> None:
    org = Client(server.base_url)
    sent = Decimal(cents).scaleb(-2)
    body = f'{{"Total__c": {sent}}}'.encode()
    answer = org.call(
        "POST", "/sobjects/Bill__c", data=body, headers={"Content-Type": "application/json"}
    )

    shown = org.get(f"/sobjects/Bill__c/{answer.json()['id']}?fields=Total__c").text

    assert json.loads(shown, parse_float=Decimal)["Total__c"] == sent


def test_sums_are_exact(org: Client) -> None:
    rows = [{"attributes": {"type": "Bill__c"}, "Total__c": "9007199254740993.07"}] * 10
    org.post("/composite/sobjects", {"records": rows})

    answer = org.get("/query", params={"q": "SELECT SUM(Total__c) total FROM Bill__c"})

    records = json.loads(answer.text, parse_float=Decimal)["records"]
    assert records[0]["total"] == Decimal("90071992547409930.70")


class TestUpsert:
    def test_creates_then_updates_by_external_id(self, org: Client) -> None:
        first = org.patch("/sobjects/Bill__c/Key__c/B%2F1", {"Total__c": 1})
        second = org.patch("/sobjects/Bill__c/key__c/b%2f1", {"Total__c": 2})

        record_id = first.json()["id"]
        assert first.status_code == 201
        assert first.json()["created"] is True
        assert second.status_code == 200
        assert second.json() == {
            "id": record_id,
            "success": True,
            "errors": [],
            "created": False,
        }
        row = org.get("/sobjects/Bill__c/Key__c/B%2F1").json()
        assert (row["Key__c"], row["Total__c"]) == ("B/1", 2.0)
        assert org.delete("/sobjects/Bill__c/Key__c/B%2F1").status_code == 204
        assert org.get("/sobjects/Bill__c/Key__c/B%2F1").status_code == 404

    def test_names_several_matches(self, org: Client) -> None:
        bill = org.create("Bill__c", Key__c="B-1")
        lines = [
            org.create("Bill_Line__c", Bill__c=bill, Amount__c=n, Code__c="same") for n in (1, 2)
        ]

        answer = org.patch("/sobjects/Bill_Line__c/Code__c/same", {"Amount__c": 3})

        assert answer.status_code == 300
        assert answer.json() == [f"/services/data/v59.0/sobjects/Bill_Line__c/{i}" for i in lines]

    def test_refuses_a_field_that_is_no_external_id(self, org: Client) -> None:
        answer = org.patch("/sobjects/Bill__c/Namez/x", {"Total__c": 1})

        assert error_of(answer) == (
            404,
            "NOT_FOUND",
            "Provided external ID field does not exist or is not accessible: Namez",
        )
        assert org.get("/sobjects/Bill__c/Key__c").status_code == 404

    def test_update_only_creates_nothing(self, org: Client) -> None:
        answer = org.patch("/sobjects/Bill__c/Key__c/B-9?updateOnly=true", {"Total__c": 1})

        assert answer.status_code == 404
        assert org.query("SELECT Id FROM Bill__c") == []

    def test_posting_to_id_inserts(self, org: Client) -> None:
        assert org.post("/sobjects/Account/Id", {"Name": "A"}).status_code == 201

    def test_refuses_a_second_record_with_the_same_key(self, org: Client) -> None:
        bill = org.create("Bill__c", Key__c="B-1")

        answer = org.post("/sobjects/Bill__c", {"Key__c": "b-1"})

        message = f"duplicate value found: Key__c duplicates value on record with id: {bill[:15]}"
        assert error_of(answer) == (400, "DUPLICATE_VALUE", message)
        org.delete(f"/sobjects/Bill__c/{bill}")
        assert org.post("/sobjects/Bill__c", {"Key__c": "b-1"}).status_code == 201

    def test_a_key_may_not_be_given_twice(self, org: Client) -> None:
        answer = org.patch("/sobjects/Bill__c/Key__c/B-1", {"Key__c": "B-2"})

        assert error_of(answer)[:2] == (400, "INVALID_FIELD")


class TestMasterAndDetail:
    def test_roll_ups_follow_their_details(self, org: Client) -> None:
        bill = org.create("Bill__c", Key__c="B-1")
        org.patch(
            "/sobjects/Bill_Line__c/Key__c/1", {"Bill__r": {"Key__c": "B-1"}, "Amount__c": 10.5}
        )
        second = org.create("Bill_Line__c", Bill__c=bill, Amount__c="0.25")
        path = f"/sobjects/Bill__c/{bill}?fields=Line_Count__c,Line_Total__c"

        both = org.get(path).json()
        org.patch("/sobjects/Bill_Line__c/Key__c/1", {"Amount__c": 4})
        org.delete(f"/sobjects/Bill_Line__c/{second}")
        one = org.get(path).json()

        assert (both["Line_Count__c"], both["Line_Total__c"]) == (2.0, 10.75)
        assert (one["Line_Count__c"], one["Line_Total__c"]) == (1.0, 4.0)

    def test_deleting_the_master_deletes_the_details(self, org: Client) -> None:
        bill = org.create("Bill__c", Key__c="B-1")
        line = org.create("Bill_Line__c", Bill__c=bill, Amount__c=1)

        org.delete(f"/sobjects/Bill__c/{bill}")

        assert error_of(org.get(f"/sobjects/Bill_Line__c/{line}"))[1] == "ENTITY_IS_DELETED"

    def test_a_restricting_lookup_prevents_the_delete(self, org: Client) -> None:
        account = org.create("Account", Name="A")
        org.create("Bill__c", Account__c=account)

        answer = org.delete(f"/sobjects/Account/{account}")

        assert error_of(answer)[:2] == (400, "DELETE_FAILED")
        assert org.get(f"/sobjects/Account/{account}").status_code == 200

    def test_a_plain_lookup_is_emptied(self, org: Client) -> None:
        first = org.create("Bill__c")
        second = org.create("Bill__c", Corrects__c=first)

        org.delete(f"/sobjects/Bill__c/{first}")

        assert org.get(f"/sobjects/Bill__c/{second}").json()["Corrects__c"] is None

    def test_a_detail_cannot_move_to_another_master(self, org: Client) -> None:
        first, second = org.create("Bill__c"), org.create("Bill__c")
        line = org.create("Bill_Line__c", Bill__c=first, Amount__c=1)

        same = org.patch(f"/sobjects/Bill_Line__c/{line}", {"Bill__c": first, "Amount__c": 2})
        moved = org.patch(f"/sobjects/Bill_Line__c/{line}", {"Bill__c": second})

        assert same.status_code == 204
        assert error_of(moved)[1] == "INVALID_FIELD_FOR_INSERT_UPDATE"

    def test_details_are_numbered(self, org: Client) -> None:
        bill = org.create("Bill__c")
        for amount in (1, 2):
            org.create("Bill_Line__c", Bill__c=bill, Amount__c=amount)

        names = [r["Name"] for r in org.query("SELECT Name FROM Bill_Line__c ORDER BY Name")]

        assert names == ["BL-000001", "BL-000002"]


class TestWire:
    def test_takes_gzip_and_chunked_bodies(self, org: Client) -> None:
        body = gzip.compress(b'{"Name": "Packed"}')
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        packed = org.call("POST", "/sobjects/Account", data=body, headers=headers)
        chunks = iter([b'{"Na', b'me": "Chunked"}'])
        chunked = org.call(
            "POST",
            "/sobjects/Account",
            data=chunks,
            headers={"Content-Type": "application/json"},
        )

        assert (packed.status_code, chunked.status_code) == (201, 201)

    def test_packs_long_answers_when_asked(self, org: Client) -> None:
        answer = org.get("/sobjects", headers={"Accept-Encoding": "gzip"})

        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
        assert len(answer.json()["sobjects"]) > 20

    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"",
            b"[1]",
            b'"text"',
            b"{'a':1}",
            b'{"Name": NaN}',
            b'{"Name": "\\ud800"}',
            b"\xff\xfe",
            b"[" * 100_000,
        ],
    )
    def test_refuses_what_is_no_json_object(self, org: Client, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        answer = org.call("POST", "/sobjects/Account", data=body, headers=headers)

        assert error_of(answer)[:2] == (400, "JSON_PARSER_ERROR")

    def test_a_deeply_nested_call_is_refused(self, org: Client) -> None:
        body: Any = 1
        for _ in range(700):
            body = [body]
        part = {"method": "POST", "url": "/services/data/v59.0/sobjects/Account"}
        part |= {"referenceId": "a", "body": body}

        answer = org.post("/composite", {"compositeRequest": [part]})

        assert answer.status_code in {200, 400}

    def test_refuses_other_media_types(self, org: Client) -> None:
        headers = {"Content-Type": "text/csv"}
        answer = org.call("POST", "/sobjects/Account", data=b"Name", headers=headers)

        assert error_of(answer)[:2] == (415, "UNSUPPORTED_MEDIA_TYPE")

    def test_refuses_unknown_resources_and_methods(self, org: Client) -> None:
        assert error_of(org.get("/sobjects/Nothing"))[:2] == (404, "NOT_FOUND")
        assert error_of(org.get("/searching?q=x"))[0] == 404
        assert error_of(org.call("PUT", "/sobjects/Account"))[:2] == (405, "METHOD_NOT_ALLOWED")
        assert error_of(org.get("/query?q=" + "x" * 17_000))[0] == 414

    def test_an_overridden_method_counts(self, org: Client) -> None:
        account = org.create("Account", Name="A")

        answer = org.post(f"/sobjects/Account/{account}?_HttpMethod=PATCH", {"Name": "B"})

        assert answer.status_code == 204
        assert org.get(f"/sobjects/Account/{account}").json()["Name"] == "B"

    def test_unknown_ids_are_told_apart(self, org: Client) -> None:
        missing = "001Sb0000009999"
        assert error_of(org.get(f"/sobjects/Account/{missing}"))[:2] == (404, "NOT_FOUND")
        updated = error_of(org.patch(f"/sobjects/Account/{missing}", {"Name": "x"}))
        assert updated[:2] == (404, "INVALID_CROSS_REFERENCE_KEY")
        deleted = error_of(org.delete(f"/sobjects/Account/{missing}"))
        assert deleted[:2] == (404, "INVALID_CROSS_REFERENCE_KEY")

    def test_prints_prettily_when_asked(self, org: Client) -> None:
        answer = org.get("/limits", headers={"X-PrettyPrint": "1"})

        assert answer.text.startswith('{\n  "')


def test_describe_tells_types_lengths_and_rights(org: Client) -> None:
    described = org.get("/sobjects/bill__c/describe").json()

    fields = {f["name"]: f for f in described["fields"]}
    assert described["keyPrefix"].startswith("a0")
    assert (fields["Key__c"]["externalId"], fields["Key__c"]["unique"]) == (True, True)
    assert fields["Key__c"]["idLookup"] is True
    assert (fields["Total__c"]["type"], fields["Total__c"]["scale"]) == ("currency", 2)
    assert fields["Account__c"]["referenceTo"] == ["Account"]
    assert fields["Account__c"]["relationshipName"] == "Account__r"
    assert [v["value"] for v in fields["Status__c"]["picklistValues"]] == [
        "Draft",
        "Finalised",
        "Paid",
    ]
    assert (fields["Line_Total__c"]["calculated"], fields["Line_Total__c"]["createable"]) == (
        True,
        False,
    )
    assert len(fields["Id"]) == 57
    lines = next(c for c in described["childRelationships"] if c["relationshipName"] == "Lines__r")
    assert (lines["childSObject"], lines["cascadeDelete"]) == ("Bill_Line__c", True)
    account = org.get("/sobjects/Account/describe").json()
    required = {
        f["name"]
        for f in org.get("/sobjects/Opportunity/describe").json()["fields"]
        if f["createable"] and not f["nillable"] and not f["defaultedOnCreate"]
    }
    assert required == {"Name", "StageName", "CloseDate"}
    assert [t["developerName"] for t in account["recordTypeInfos"]] == [
        "Business_Account",
        "PersonAccount",
        "Master",
    ]


def test_friendly_addresses_lead_to_parents_and_children(org: Client) -> None:
    account = org.create("Account", Name="A")
    contact = org.create("Contact", LastName="C", AccountId=account)

    assert org.get(f"/sobjects/Contact/{contact}/Account").json()["Name"] == "A"
    children = org.get(f"/sobjects/Account/{account}/Contacts").json()
    assert [c["Id"] for c in children["records"]] == [contact]
