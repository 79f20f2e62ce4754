"""Several records or calls at once (fact sheet D)."""

from typing import Any

import pytest
from org_client import Client

BASE = "/services/data/v59.0"
ROLLED_BACK = "ALL_OR_NONE_OPERATION_ROLLED_BACK"


def bills(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"attributes": {"type": "Bill__c"}} | row for row in rows]


def codes(items: list[dict[str, Any]]) -> list[str | None]:
    return [item["errors"][0]["statusCode"] if item["errors"] else None for item in items]


class TestCollections:
    def test_creates_each_record_it_can(self, org: Client) -> None:
        rows = bills({"Key__c": "1"}, {"Nope": 1}, {"Key__c": "1"})

        answer = org.post("/composite/sobjects", {"records": rows})

        items = answer.json()
        assert answer.status_code == 200
        assert [item["success"] for item in items] == [True, False, False]
        assert codes(items) == [None, "INVALID_FIELD", "DUPLICATE_VALUE"]
        assert "id" not in items[1]
        assert items[1]["errors"] == [
            {
                "statusCode": "INVALID_FIELD",
                "message": "No such column 'Nope' on sobject of type Bill__c",
                "fields": ["Nope"],
            }
        ]
        assert len(org.query("SELECT Id FROM Bill__c")) == 1

    def test_keeps_all_or_none_when_told(self, org: Client) -> None:
        rows = bills({"Key__c": "1"}, {"Status__c": "Lost"})

        items = org.post("/composite/sobjects", {"allOrNone": True, "records": rows}).json()

        assert codes(items) == [ROLLED_BACK, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"]
        assert org.query("SELECT Id FROM Bill__c") == []
        assert org.get("/__sandbox__/audit").json() == {"audit": []}

    def test_takes_mixed_types_in_chunks(self, org: Client) -> None:
        rows = [
            {"attributes": {"type": "Account"}, "Name": "A"},
            {"attributes": {"type": "Contact"}, "LastName": "C"},
        ]

        items = org.post("/composite/sobjects", {"records": rows}).json()

        assert [item["id"][:3] for item in items] == ["001", "003"]
        assert org.post("/composite/sobjects", {"records": rows * 6}).status_code == 400

    def test_updates_by_id(self, org: Client) -> None:
        bill = org.create("Bill__c", Key__c="1")
        rows = bills(
            {"id": bill, "Total__c": 5},
            {"Total__c": 6},
            {"id": "001Sb0000000001", "Total__c": 7},
            {"id": f"{bill[:14]}z", "Total__c": 8},
        )

        items = org.patch("/composite/sobjects", {"records": rows}).json()

        assert codes(items) == [
            None,
            "MISSING_ARGUMENT",
            "MALFORMED_ID",
            "INVALID_CROSS_REFERENCE_KEY",
        ]
        assert org.query("SELECT Total__c FROM Bill__c")[0]["Total__c"] == 5.0

    def test_upserts_two_hundred_rows_with_their_parents(self, org: Client) -> None:
        bill = org.create("Bill__c", Key__c="B")
        rows = [
            {
                "attributes": {"type": "Bill_Line__c"},
                "Key__c": f"L-{n}",
                "Bill__r": {"Key__c": "B"},
                "Amount__c": f"{n}.01",
            }
            for n in range(200)
        ]

        first = org.patch("/composite/sobjects/Bill_Line__c/Key__c", {"records": rows}).json()
        again = org.patch("/composite/sobjects/bill_line__c/key__c", {"records": rows}).json()

        assert {(i["success"], i["created"]) for i in first} == {(True, True)}
        assert {(i["success"], i["created"]) for i in again} == {(True, False)}
        assert [i["id"] for i in first] == [i["id"] for i in again]
        row = org.get(f"/sobjects/Bill__c/{bill}").json()
        assert (row["Line_Count__c"], row["Line_Total__c"]) == (200.0, 19902.0)

    def test_a_key_twice_in_one_call_is_refused(self, org: Client) -> None:
        rows = bills({"Key__c": "X"}, {"Key__c": "x"}, {"Key__c": None}, {"Total__c": 1})

        items = org.patch("/composite/sobjects/Bill__c/Key__c", {"records": rows}).json()

        assert codes(items) == [None, "DUPLICATE_VALUE", "MISSING_ARGUMENT", "MISSING_ARGUMENT"]

    def test_upserting_by_a_null_id_inserts(self, org: Client) -> None:
        rows = bills({"Id": None, "Key__c": "1"})

        items = org.patch("/composite/sobjects/Bill__c/Id", {"records": rows}).json()

        assert (items[0]["success"], items[0]["created"]) == (True, True)

    def test_reads_and_deletes_by_id(self, org: Client) -> None:
        first, second = org.create("Account", Name="A"), org.create("Account", Name="B")
        ids = f"{second},{first[:15]},001Sb0000009999,nonsense"
        path = "/composite/sobjects/Account"

        rows = org.get(f"{path}?ids={ids}&fields=Name").json()
        posted = org.post(path, {"ids": [first], "fields": ["name"]}).json()
        deleted = org.delete(f"/composite/sobjects?ids={first},{second},001Sb0000009999").json()

        assert [row and row["Name"] for row in rows] == ["B", "A", None, None]
        assert posted[0]["Name"] == "A"
        assert codes(deleted) == [None, None, "INVALID_CROSS_REFERENCE_KEY"]
        assert org.query("SELECT Id FROM Account") == []

    @pytest.mark.parametrize(
        ("records", "code"),
        [
            ([], "REQUIRED_FIELD_MISSING"),
            (bills({}) * 201, "EXCEEDED_ID_LIMIT"),
            ("x", "JSON_PARSER_ERROR"),
            ([1], "JSON_PARSER_ERROR"),
            ([{"Name": "x"}], "INVALID_TYPE"),
            ([{"attributes": {"type": "Foo"}}], "INVALID_TYPE"),
        ],
    )
    def test_refuses_malformed_calls(self, org: Client, records: Any, code: str) -> None:
        answer = org.post("/composite/sobjects", {"records": records})

        assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)


class TestComposite:
    def call(self, org: Client, *parts: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
        answer = org.post("/composite", {"compositeRequest": list(parts)} | options)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["compositeResponse"])

    def part(self, method: str, path: str, name: str, body: Any = None) -> dict[str, Any]:
        part = {"method": method, "url": BASE + path, "referenceId": name}
        return part if body is None else part | {"body": body}

    def test_later_parts_refer_to_earlier_ones(self, org: Client) -> None:
        results = self.call(
            org,
            self.part("POST", "/sobjects/Account", "acc", {"Name": "A"}),
            self.part(
                "POST", "/sobjects/Contact", "con", {"LastName": "C", "AccountId": "@{acc.id}"}
            ),
            self.part("GET", "/query?q=SELECT+Id+FROM+Contact+WHERE+AccountId='@{acc.id}'", "q"),
            self.part(
                "PATCH", "/sobjects/Contact/@{q.records[0].Id}", "p", {"Title": "x @{acc.id}"}
            ),
            self.part("GET", "/sobjects/Account/@{acc.id}?fields=Phone", "null"),
            self.part("PATCH", "/sobjects/Contact/@{con.id}", "n", {"Phone": "@{null.Phone}"}),
        )

        assert [r["httpStatusCode"] for r in results] == [201, 201, 200, 204, 200, 204]
        account = results[0]["body"]["id"]
        assert results[0]["httpHeaders"]["Location"] == f"{BASE}/sobjects/Account/{account}"
        assert results[3]["body"] is None
        assert org.query("SELECT Title FROM Contact")[0]["Title"] == f"x {account}"

    def test_one_call_is_counted_once(self, org: Client) -> None:
        before = int(org.get("/limits").headers["Sforce-Limit-Info"].split("=")[1].split("/")[0])

        self.call(org, *(self.part("GET", "/limits", f"r{n}") for n in range(25)))

        after = int(org.get("/limits").headers["Sforce-Limit-Info"].split("=")[1].split("/")[0])
        assert after - before == 2

    def test_parts_of_a_failed_parent_are_halted(self, org: Client) -> None:
        results = self.call(
            org,
            self.part("POST", "/sobjects/Account", "acc", {}),
            self.part(
                "POST", "/sobjects/Contact", "con", {"LastName": "C", "AccountId": "@{acc.id}"}
            ),
            self.part("POST", "/sobjects/Contact", "other", {"LastName": "D"}),
        )

        assert [r["httpStatusCode"] for r in results] == [400, 400, 201]
        assert results[1]["body"][0] == {
            "errorCode": "PROCESSING_HALTED",
            "message": "Invalid reference specified. No value for acc.id found in acc",
        }

    def test_all_or_none_undoes_everything(self, org: Client) -> None:
        results = self.call(
            org,
            self.part("POST", "/sobjects/Account", "a", {"Name": "A"}),
            self.part("POST", "/sobjects/Account", "b", {}),
            self.part("POST", "/sobjects/Account", "c", {"Name": "C"}),
            allOrNone=True,
        )

        assert [r["httpStatusCode"] for r in results] == [400, 400, 400]
        assert [r["body"][0]["errorCode"] for r in results] == [
            "PROCESSING_HALTED",
            "REQUIRED_FIELD_MISSING",
            "PROCESSING_HALTED",
        ]
        assert org.query("SELECT Id FROM Account") == []

    def test_five_collections_of_two_hundred_fit_into_one_call(self, org: Client) -> None:
        parts = [
            self.part(
                "PATCH",
                "/composite/sobjects/Bill__c/Key__c",
                f"c{n}",
                {"records": bills(*({"Key__c": f"{n}-{i}"} for i in range(200)))},
            )
            for n in range(5)
        ]

        results = self.call(org, *parts)

        assert all(item["success"] for r in results for item in r["body"])
        assert org.get("/query?q=SELECT COUNT() FROM Bill__c").json()["totalSize"] == 1000
        assert org.post("/composite", {"compositeRequest": [*parts, *parts]}).status_code == 400

    @pytest.mark.parametrize(
        "part",
        [
            {"method": "GET", "url": BASE + "/limits", "referenceId": "bad id"},
            {"method": "LOOK", "url": BASE + "/limits", "referenceId": "a"},
            {"method": "GET", "url": "/limits", "referenceId": "a"},
            {"method": "GET", "url": 5, "referenceId": "a"},
            {
                "method": "GET",
                "url": BASE + "/limits",
                "referenceId": "a",
                "httpHeaders": {"Accept": "x"},
            },
            5,
        ],
    )
    def test_refuses_malformed_parts_as_a_whole(self, org: Client, part: Any) -> None:
        answer = org.post("/composite", {"compositeRequest": [part]})

        assert answer.status_code == 400

    def test_errors_stay_in_their_part(self, org: Client) -> None:
        results = self.call(
            org,
            self.part("GET", "/sobjects/Foo", "a"),
            self.part("GET", "/query?q=nonsense", "b"),
            self.part("POST", "/composite/batch", "c", {}),
            self.part("GET", "/limits", "d"),
        )

        assert [r["httpStatusCode"] for r in results] == [404, 400, 400, 200]


def test_a_batch_goes_on_unless_told_to_halt(org: Client) -> None:
    parts = [
        {"method": "POST", "url": "v59.0/sobjects/Account", "richInput": {"Name": "A"}},
        {"method": "GET", "url": "v59.0/sobjects/Nothing"},
        {"method": "GET", "url": "/services/data/v59.0/limits"},
    ]

    on = org.post("/composite/batch", {"batchRequests": parts}).json()
    halted = org.post("/composite/batch", {"batchRequests": parts, "haltOnError": True}).json()

    assert [r["statusCode"] for r in on["results"]] == [201, 404, 200]
    assert on["hasErrors"] is True
    assert [r["statusCode"] for r in halted["results"]] == [201, 404, 412]
    assert halted["results"][2]["result"][0]["errorCode"] == "BATCH_PROCESSING_HALTED"


class TestTree:
    def record(self, kind: str, name: str, **fields: Any) -> dict[str, Any]:
        return {"attributes": {"type": kind, "referenceId": name}} | fields

    def test_creates_parents_and_children(self, org: Client) -> None:
        contacts = [self.record("Contact", "c1", LastName="C")]
        root = self.record("Account", "a1", Name="A", Contacts={"records": contacts})

        answer = org.post("/composite/tree/Account", {"records": [root]})

        body = answer.json()
        assert (answer.status_code, body["hasErrors"]) == (201, False)
        assert [r["referenceId"] for r in body["results"]] == ["a1", "c1"]
        row = org.query("SELECT Account.Name FROM Contact")[0]
        assert row["Account"]["Name"] == "A"

    def test_creates_nothing_when_one_is_refused(self, org: Client) -> None:
        contacts = [self.record("Contact", "c1", Email="123", LastName="x")]
        root = self.record("Account", "a1", Name="A", Contacts={"records": contacts})

        answer = org.post("/composite/tree/Account", {"records": [root]})

        assert (answer.status_code, answer.json()["hasErrors"]) == (400, True)
        assert [r["referenceId"] for r in answer.json()["results"]] == ["c1"]
        assert org.query("SELECT Id FROM Account") == []

    def test_refuses_a_reference_used_twice(self, org: Client) -> None:
        records = [self.record("Account", "a", Name=n) for n in "AB"]

        answer = org.post("/composite/tree/Account", {"records": records})

        assert answer.status_code == 400
        assert len(answer.json()["results"]) == 2
