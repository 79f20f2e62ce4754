"""Conditional requests, files, friendly addresses, graphs and other edges (fact sheet B, D.6)."""

from email.utils import formatdate
from typing import Any

import pytest
from org_client import Client

LONG_AGO = formatdate(1_000_000_000, usegmt=True)
LATER = formatdate(4_000_000_000, usegmt=True)
BASE = "/services/data/v59.0"


@pytest.fixture
def account(org: Client) -> str:
    return org.create("Account", Name="Ada")


class TestConditions:
    def test_a_record_that_did_not_change_is_not_sent_again(
        self, org: Client, account: str
    ) -> None:
        path = f"/sobjects/Account/{account}"
        first = org.get(path)
        tag = first.headers["ETag"]

        by_date = org.get(path, headers={"If-Modified-Since": first.headers["Last-Modified"]})
        by_tag = org.get(path, headers={"If-None-Match": tag.replace('="', '=-gzip"')})
        changed = org.get(path, headers={"If-Modified-Since": LONG_AGO})

        assert (by_date.status_code, by_date.content) == (304, b"")
        assert by_tag.status_code == 304
        assert by_tag.headers["ETag"] == tag
        assert changed.status_code == 200

    def test_only_accounts_have_tags(self, org: Client, account: str) -> None:
        contact = org.create("Contact", LastName="L", AccountId=account)

        headers = org.get(f"/sobjects/Contact/{contact}").headers

        assert "ETag" not in headers
        assert "Last-Modified" in headers

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"If-Unmodified-Since": LONG_AGO}, 412),
            ({"If-Unmodified-Since": LATER}, 204),
            ({"If-Modified-Since": LATER}, 412),
            ({"If-Match": '"other"'}, 412),
            ({"If-Match": "*"}, 204),
            ({"If-Match": '"*"'}, 412),
            ({"If-None-Match": "*"}, 412),
            ({"If-Unmodified-Since": "yesterday"}, 400),
            ({"If-Match": "untagged"}, 400),
        ],
    )
    def test_a_write_happens_only_where_its_condition_holds(
        self, org: Client, account: str, headers: dict[str, str], status: int
    ) -> None:
        path = f"/sobjects/Account/{account}"

        answer = org.patch(path, {"Name": "New"}, headers=headers)

        assert answer.status_code == status, answer.text
        assert (org.get(path).json()["Name"] == "New") is (status == 204)

    def test_a_write_with_the_tag_just_read_happens(self, org: Client, account: str) -> None:
        path = f"/sobjects/Account/{account}"
        tag = org.get(path).headers["ETag"]

        assert org.patch(path, {"Name": "N"}, headers={"If-Match": tag}).status_code == 204

    @pytest.mark.parametrize("path", ["/sobjects", "/sobjects/Account/describe"])
    def test_describe_is_sent_once(self, org: Client, path: str) -> None:
        assert org.get(path, headers={"If-Modified-Since": LATER}).status_code == 304
        assert org.get(path, headers={"If-Modified-Since": LONG_AGO}).status_code == 200

    def test_a_composite_part_says_304_without_a_body(self, org: Client, account: str) -> None:
        part = {
            "method": "GET",
            "url": f"{BASE}/sobjects/Account/{account}",
            "referenceId": "a",
            "httpHeaders": {"If-Modified-Since": LATER},
        }

        answer = org.post("/composite", {"compositeRequest": [part]}).json()

        result = answer["compositeResponse"][0]
        assert (result["httpStatusCode"], result["body"]) == (304, None)
        assert set(result["httpHeaders"]) == {"ETag", "Last-Modified"}


class TestFiles:
    def send(self, org: Client, *parts: tuple[str, str, bytes], closed: bool = True) -> Any:
        boundary = "cut-here"
        body = b""
        for name, media, content in parts:
            head = f'Content-Disposition: form-data; name="{name}"; filename="f"\r\n'
            body += f"--{boundary}\r\n{head}Content-Type: {media}\r\n\r\n".encode()
            body += content + b"\r\n"
        body += f"--{boundary}--\r\n".encode() if closed else b""
        headers = {"Content-Type": f'multipart/form-data; boundary="{boundary}"'}
        return org.call("POST", "/sobjects/ContentVersion", data=body, headers=headers)

    def test_a_file_goes_up_in_parts_and_comes_down_as_it_was(self, org: Client) -> None:
        data = bytes(range(256)) + b"\r\n--cut\r\n\r\n"
        record = b'{"Title": "Bill", "PathOnClient": "bill.pdf"}'

        answer = self.send(
            org,
            ("entity_content", "application/json", record),
            ("VersionData", "application/pdf", data),
        )

        assert answer.status_code == 201, answer.text
        path = f"/sobjects/ContentVersion/{answer.json()['id']}"
        assert org.get(f"{path}/VersionData").content == data
        shown = org.get(path).json()
        assert shown["ContentSize"] == len(data)
        assert shown["VersionData"].endswith("/VersionData")

    def test_parts_that_are_broken_are_refused(self, org: Client) -> None:
        file = ("VersionData", "application/pdf", b"x")
        record = ("r", "application/json", b'{"PathOnClient": "a"}')
        answers = [
            self.send(org, file),
            self.send(org, record, record, file),
            self.send(org, record, file, closed=False),
            self.send(org, ("r", "application/json", b"{"), file),
            self.send(org),
        ]

        assert [a.status_code for a in answers] == [400] * 5
        assert {a.json()[0]["errorCode"] for a in answers} == {
            "INVALID_MULTIPART_REQUEST",
            "JSON_PARSER_ERROR",
        }


class TestFriendlyAddresses:
    def test_a_parent_is_read_changed_and_deleted_through_its_child(
        self, org: Client, account: str
    ) -> None:
        contact = org.create("Contact", LastName="L", AccountId=account)
        path = f"/sobjects/Contact/{contact}/Account"

        assert org.get(path).json()["Id"] == account
        assert org.post(f"{path}?_HttpMethod=PATCH", {"Name": "First"}).status_code == 204
        assert org.get(f"/sobjects/Account/{account}").json()["Name"] == "First"
        assert org.patch(path, {"Name": "Changed"}).status_code == 204
        assert org.get(f"/sobjects/Account/{account}").json()["Name"] == "Changed"
        assert org.delete(path).status_code == 204
        assert org.get(f"/sobjects/Account/{account}").status_code == 404

    def test_where_there_is_no_parent_there_is_no_address(self, org: Client) -> None:
        contact = org.create("Contact", LastName="L")
        path = f"/sobjects/Contact/{contact}/Account"

        assert org.get(path).status_code == 404
        assert org.patch(path, {"Name": "x"}).status_code == 404
        assert org.delete(path).status_code == 404


class TestGraphs:
    def graph(self, name: str, *nodes: tuple[str, str, Any]) -> dict[str, Any]:
        return {
            "graphId": name,
            "compositeRequest": [
                {"method": method, "url": BASE + url, "referenceId": f"n{i}", "body": body}
                for i, (method, url, body) in enumerate(nodes)
            ],
        }

    def test_each_graph_is_all_or_nothing_by_itself(self, org: Client) -> None:
        good = self.graph(
            "good",
            ("POST", "/sobjects/Account", {"Name": "Graph"}),
            ("POST", "/sobjects/Contact", {"LastName": "L", "AccountId": "@{n0.id}"}),
        )
        bad = self.graph(
            "bad",
            ("POST", "/sobjects/Account", {"Name": "Undone"}),
            ("POST", "/sobjects/Contact", {}),
        )

        answer = org.post("/composite/graph", {"graphs": [bad, good]}).json()["graphs"]

        assert [(g["graphId"], g["isSuccessful"]) for g in answer] == [
            ("bad", False),
            ("good", True),
        ]
        codes = [r["body"][0]["errorCode"] for r in answer[0]["graphResponse"]["compositeResponse"]]
        assert codes == ["PROCESSING_HALTED", "REQUIRED_FIELD_MISSING"]
        assert [r["Name"] for r in org.query("SELECT Name FROM Account")] == ["Graph"]
        assert len(org.query("SELECT Id FROM Contact WHERE Account.Name = 'Graph'")) == 1

    def test_after_fourteen_failures_no_graph_is_tried(self, org: Client) -> None:
        graphs = [
            self.graph(f"g{i}", ("POST", "/sobjects/Account", {} if i < 14 else {"Name": "x"}))
            for i in range(15)
        ]

        answer = org.post("/composite/graph", {"graphs": graphs}).json()["graphs"]

        last = answer[-1]["graphResponse"]["compositeResponse"][0]["body"][0]
        assert last["errorCode"] == "PROCESSING_HALTED"
        assert org.query("SELECT Id FROM Account") == []

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"graphs": []},
            {"graphs": [{"graphId": "1"}]},
            {"graphs": [{"compositeRequest": []}]},
            {
                "graphs": [
                    {
                        "graphId": "1",
                        "compositeRequest": [
                            {"method": "GET", "url": f"{BASE}/query?q=x", "referenceId": "a"}
                        ],
                    }
                ]
            },
        ],
    )
    def test_what_is_no_graph_is_refused(self, org: Client, body: Any) -> None:
        assert org.post("/composite/graph", body).status_code == 400


class TestOtherResources:
    def test_the_last_records_a_user_worked_on(self, org: Client, account: str) -> None:
        mru = {"Sforce-Mru": "updateMru=true"}
        org.get(f"/sobjects/Account/{account}", headers=mru)
        other = org.create("Account", Name="Unseen")
        org.patch(f"/sobjects/Account/{other}", {"Name": "Seen"}, headers=mru)

        found = org.get("/recent?limit=2").json()

        assert [(r["attributes"]["type"], r["Name"]) for r in found] == [
            ("Account", "Seen"),
            ("Account", "Ada"),
        ]
        assert org.get("/sobjects/Account").json()["recentItems"][0]["Id"] == other
        assert org.get("/recent?limit=0").status_code == 400

    def test_search_is_refused_clearly(self, org: Client) -> None:
        malformed = org.get("/search", params={"q": "FIND me"})
        refused = org.get("/search", params={"q": "FIND {me} RETURNING Account"})

        assert malformed.json()[0]["message"] == (
            "No search term found. The search term must be enclosed in braces."
        )
        assert (refused.status_code, refused.json()[0]["errorCode"]) == (
            403,
            "FUNCTIONALITY_NOT_ENABLED",
        )
        assert org.post("/parameterizedSearch", {"q": "x"}).status_code == 403

    @pytest.mark.parametrize(
        "path", ["describe/layouts", "describe/compactLayouts", "listviews", "quickActions"]
    )
    def test_there_are_no_layouts_and_list_views(self, org: Client, path: str) -> None:
        answer = org.get(f"/sobjects/Account/{path}")

        assert answer.status_code == 404
        assert answer.json()[0]["message"] == "The requested resource does not exist"

    def test_there_are_no_actions(self, org: Client) -> None:
        assert set(org.get("/actions").json()) == {"custom", "standard"}
        assert org.get("/actions/standard").json() == {"actions": []}
        assert org.post("/actions/standard/emailSimple", {}).status_code == 404

    def test_a_post_can_stand_for_a_patch(self, org: Client, account: str) -> None:
        path = f"/sobjects/Account/{account}"

        answer = org.post(f"{path}?_HttpMethod=PATCH", {"Name": "Overridden"})

        assert answer.status_code == 204
        assert org.get(path).json()["Name"] == "Overridden"

    def test_duplicate_and_assignment_headers_are_accepted(self, org: Client) -> None:
        headers = {
            "Sforce-Duplicate-Rule-Header": "allowSave=true; includeRecordDetails=true",
            "Sforce-Auto-Assign": "FALSE",
            "Sforce-Call-Options": "client=MyApp/1.0",
            "x-sfdc-packageversion-ns": "1.0",
        }

        assert org.post("/sobjects/Lead", {"LastName": "L", "Company": "C"}, headers=headers).ok

    def test_too_long_an_address_or_too_many_headers(self, org: Client) -> None:
        long = org.get("/query", params={"q": "x" * 17_000})
        heavy = org.get("/limits", headers={"X-Filler": "y" * 17_000})

        assert (long.status_code, heavy.status_code) == (414, 431)
