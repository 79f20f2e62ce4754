"""What the metadata of custom fields asks for: computed defaults, roll-ups, record types (K.2)."""

from datetime import UTC, datetime, timedelta

import pytest
from org_client import Client


def code_of(answer: object) -> str:
    return str(answer.json()[0]["errorCode"])  # type: ignore[attr-defined]


class TestDefaults:
    def test_are_computed_for_what_is_not_given(self, org: Client) -> None:
        before = datetime.now(UTC).date()
        row = org.get(f"/sobjects/Bill__c/{org.create('Bill__c', Key__c='B-1')}").json()
        after = datetime.now(UTC).date()

        days = {(day + timedelta(days=14)).isoformat() for day in (before, after)}
        assert row["Noted_On__c"] in days
        assert row["Noted_By__c"] == "by admin."

    def test_give_way_to_what_is_given(self, org: Client) -> None:
        bill = org.create("Bill__c", Key__c="B-1", Noted_On__c=None, Noted_By__c="me")
        row = org.get(f"/sobjects/Bill__c/{bill}").json()

        assert (row["Noted_On__c"], row["Noted_By__c"]) == (None, "me")

    def test_are_described(self, org: Client) -> None:
        fields = org.get("/sobjects/Bill__c/describe").json()["fields"]
        field = next(f for f in fields if f["name"] == "Noted_On__c")

        assert (field["defaultValueFormula"], field["defaultedOnCreate"]) == ("TODAY() + 14", True)


def test_formulas_are_rolled_up(org: Client) -> None:
    bill = org.create("Bill__c", Key__c="B-1")
    line = org.create("Bill_Line__c", Key__c="L-1", Bill__c=bill, Amount__c="1.25")
    org.create("Bill_Line__c", Key__c="L-2", Bill__c=bill, Amount__c="2.00")
    path = f"/sobjects/Bill__c/{bill}"

    first = org.get(path).json()["Double_Total__c"]
    org.patch(f"/sobjects/Bill_Line__c/{line}", {"Amount__c": "3"})
    second = org.get(path).json()["Double_Total__c"]
    org.delete(f"/sobjects/Bill_Line__c/{line}")
    third = org.get(path).json()["Double_Total__c"]

    assert (first, second, third) == (6.5, 10.0, 4.0)


def test_roll_ups_count_what_their_filters_let_through(org: Client) -> None:
    bill = org.create("Bill__c", Key__c="B-1")
    for key, amount in (("L-1", "2.50"), ("L-2", "2.49"), ("l-9", "7"), ("L-10", "8")):
        org.create("Bill_Line__c", Key__c=key, Bill__c=bill, Amount__c=amount)
    path = f"/sobjects/Bill__c/{bill}"

    before = org.get(path).json()["Large_Lines__c"]
    line = org.query("SELECT Id FROM Bill_Line__c WHERE Key__c = 'L-2'")[0]["Id"]
    org.patch(f"/sobjects/Bill_Line__c/{line}", {"Amount__c": "3"})

    assert (before, org.get(path).json()["Large_Lines__c"]) == (1.0, 2.0)


class TestRecordTypes:
    @pytest.fixture
    def types(self, org: Client) -> dict[str, str]:
        rows = org.query("SELECT Id, DeveloperName FROM RecordType WHERE SobjectType = 'Zone__c'")
        return {row["DeveloperName"]: row["Id"] for row in rows}

    def test_are_records_and_described(self, org: Client, types: dict[str, str]) -> None:
        infos = org.get("/sobjects/Zone__c/describe").json()["recordTypeInfos"]

        assert {i["recordTypeId"]: i["name"] for i in infos if not i["master"]} == {
            types["Business"]: "Business zone",
            types["Private"]: "Private zone",
        }

    def test_give_their_own_defaults(self, org: Client, types: dict[str, str]) -> None:
        plain = org.get(f"/sobjects/Zone__c/{org.create('Zone__c', Name='Z')}").json()
        own = org.create("Zone__c", Name="P", RecordTypeId=types["Private"])
        private = org.get(f"/sobjects/Zone__c/{own}").json()

        assert (plain["RecordTypeId"], plain["Kind__c"]) == (types["Business"], "Local")
        assert private["Kind__c"] is None

    def test_let_through_their_own_values(self, org: Client, types: dict[str, str]) -> None:
        zone = org.create("Zone__c", Name="Z", Kind__c="wide area")
        path = f"/sobjects/Zone__c/{zone}"

        foreign = org.patch(path, {"Kind__c": "Home"})
        moved = org.patch(path, {"Kind__c": "Home", "RecordTypeId": types["Private"]})
        person = org.query("SELECT Id FROM RecordType WHERE DeveloperName = 'PersonAccount'")[0]
        other = org.patch(path, {"RecordTypeId": person["Id"]})

        assert code_of(foreign) == "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
        assert moved.status_code == 204
        assert code_of(other) == "INVALID_CROSS_REFERENCE_KEY"
