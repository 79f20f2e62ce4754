"""Pages, locators and their life (fact sheet C.8)."""

import re
from typing import Any

import pytest
import requests
from l2c_sandbox import clock
from org_client import Client

SMALL = {"Sforce-Query-Options": "batchSize=200"}
TWO_DAYS_S = 2 * 24 * 3_600


def rows_of(org: Client, object_name: str, rows: list[dict[str, Any]]) -> None:
    for start in range(0, len(rows), 200):
        records = [{"attributes": {"type": object_name}} | row for row in rows[start : start + 200]]
        assert all(
            r["success"] for r in org.post("/composite/sobjects", {"records": records}).json()
        )


@pytest.fixture
def family(org: Client) -> Client:
    """A bill with 450 lines, one with 150, one with 100 and one with none."""
    for key in ("B-1", "B-2", "B-3", "B-4"):
        org.create("Bill__c", Key__c=key)
    ids = {r["Key__c"]: r["Id"] for r in org.query("SELECT Id, Key__c FROM Bill__c")}
    for key, count in (("B-1", 450), ("B-2", 150), ("B-3", 100)):
        rows_of(
            org,
            "Bill_Line__c",
            [{"Bill__c": ids[key], "Amount__c": n, "Code__c": f"{n:03}"} for n in range(count)],
        )
    return org


LINES = (
    "SELECT Key__c, (SELECT Code__c FROM Lines__r ORDER BY Code__c) FROM Bill__c ORDER BY Key__c"
)


class TestChildren:
    def test_a_long_list_of_children_has_its_own_pages(self, family: Client) -> None:
        first = family.get("/query", params={"q": LINES}, headers=SMALL).json()

        lines = first["records"][0]["Lines__r"]
        codes = [r["Code__c"] for r in lines["records"]]
        assert (lines["totalSize"], lines["done"], len(codes)) == (450, False, 200)
        while not lines["done"]:
            lines = family.get(lines["nextRecordsUrl"], headers=SMALL).json()
            assert lines["totalSize"] == 450
            codes += [r["Code__c"] for r in lines["records"]]
        assert codes == [f"{n:03}" for n in range(450)]

    def test_child_rows_count_toward_the_page(self, family: Client) -> None:
        pages = [family.get("/query", params={"q": LINES}, headers=SMALL).json()]
        while not pages[-1]["done"]:
            pages.append(family.get(pages[-1]["nextRecordsUrl"], headers=SMALL).json())

        keys = [[r["Key__c"] for r in page["records"]] for page in pages]
        assert keys == [["B-1"], ["B-2"], ["B-3", "B-4"]]
        assert {page["totalSize"] for page in pages} == {4}
        assert pages[2]["records"][1]["Lines__r"] is None

    def test_a_limit_of_children_is_their_total(self, family: Client) -> None:
        soql = LINES.replace("ORDER BY Code__c)", "ORDER BY Code__c DESC LIMIT 2)")

        lines = [r["Lines__r"] for r in family.query(soql)]

        assert (lines[0]["totalSize"], lines[0]["done"]) == (2, True)
        assert [r["Code__c"] for r in lines[0]["records"]] == ["449", "448"]

    def test_the_offset_of_children_needs_one_parent(self, family: Client) -> None:
        soql = (
            "SELECT Key__c, (SELECT Code__c FROM Lines__r ORDER BY Code__c LIMIT 2 OFFSET 7) "
            "FROM Bill__c ORDER BY Key__c LIMIT 1"
        )

        assert [r["Code__c"] for r in family.query(soql)[0]["Lines__r"]["records"]] == [
            "007",
            "008",
        ]

    def test_everything_fits_on_an_ordinary_page(self, family: Client) -> None:
        answer = family.get("/query", params={"q": LINES}).json()

        assert answer["done"] is True
        assert [len((r["Lines__r"] or {"records": []})["records"]) for r in answer["records"]] == [
            450,
            150,
            100,
            0,
        ]


class TestLocators:
    @pytest.fixture
    def wide(self, org: Client) -> Client:
        rows_of(org, "Wide__c", [{"Key__c": f"{n:04}"} for n in range(250)])
        return org

    def open(self, org: Client, version: str = "60.0") -> str:
        path = f"/services/data/v{version}/query"
        answer = org.get(path, params={"q": "SELECT Id FROM Wide__c"}, headers=SMALL).json()
        return str(answer["nextRecordsUrl"])

    def test_they_live_two_days(self, wide: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        locator = self.open(wide)
        present = clock.epoch_s()

        monkeypatch.setattr(clock, "epoch_s", lambda: present + TWO_DAYS_S - 60)
        assert len(wide.get(locator).json()["records"]) == 50
        monkeypatch.setattr(clock, "epoch_s", lambda: present + TWO_DAYS_S + 60)
        refused = wide.get(locator)

        assert refused.status_code == 400
        assert refused.json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"

    def test_before_version_56_they_live_a_quarter_of_an_hour(
        self, wide: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        locator = self.open(wide, "55.0")
        present = clock.epoch_s()

        monkeypatch.setattr(clock, "epoch_s", lambda: present + 16 * 60)

        assert wide.get(locator).status_code == 400

    def test_before_version_56_a_user_has_ten(self, wide: Client) -> None:
        locators = [self.open(wide, "55.0") for _ in range(11)]

        states = [wide.get(locator).status_code for locator in locators]

        assert states == [400] + [200] * 10

    def test_since_version_56_a_user_has_as_many_as_needed(self, wide: Client) -> None:
        locators = [self.open(wide) for _ in range(25)]

        assert {wide.get(locator).status_code for locator in locators} == {200}

    def test_they_are_their_users_own(self, wide: Client, integration: Client) -> None:
        locator = self.open(wide)

        assert integration.get(locator).status_code == 400
        assert wide.get(locator).status_code == 200

    def test_a_reset_ends_them(self, wide: Client) -> None:
        locator = self.open(wide)
        requests.post(f"{wide.base_url}/__sandbox__/reset", timeout=10)

        assert Client(wide.base_url).get(locator).status_code == 400

    def test_they_look_like_locators(self, wide: Client) -> None:
        assert re.search(r"/query/01g\w{15}-200$", self.open(wide))


def test_a_text_of_more_than_100000_characters_is_refused(org: Client) -> None:
    soql = "SELECT Id FROM Account WHERE Name IN (" + ",".join(["'abcdefgh'"] * 9_500) + ")"
    request = {"method": "GET", "url": f"v60.0/query?q={soql}"}

    answer = org.post("/composite/batch", {"batchRequests": [request]}).json()["results"][0]

    assert answer["statusCode"] == 400
    assert answer["result"][0]["errorCode"] == "MALFORMED_QUERY"
    assert "100000" in answer["result"][0]["message"]
