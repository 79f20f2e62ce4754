"""The formula fields and validation rules of the CRM schema that ships with the product."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer
from org_client import Client

SHIPPED = Path(__file__).parents[3] / "salesforce"
TODAY = datetime.now(UTC).date()  # as the org counts days


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    started = SandboxServer(Org(OrgSettings(schema=SHIPPED)), host="127.0.0.1", port=0)
    started.start()
    yield started
    started.close()


@pytest.fixture
def account(org: Client) -> str:
    return org.create("Account", Name="Ada")


@pytest.fixture
def billing(org: Client, account: str) -> str:
    return org.create("L2C_Billing_Account__c", Account__c=account)


def day(offset: int) -> str:
    return (TODAY + timedelta(days=offset)).isoformat()


def test_every_formula_and_rule_of_the_shipped_schema_is_understood(
    server: SandboxServer,
) -> None:
    assert server.org.formulas.notes == []


class TestFields:
    def invoices(self, org: Client, billing: str) -> dict[str, str]:
        due = {"late": -3, "due": 5, "open": None, "paid": -3}
        balance = {"late": 12, "due": 12, "open": 12, "paid": 0}
        return {
            key: org.create(
                "L2C_Invoice__c",
                Billing_Account__c=billing,
                Billing_Key__c=key,
                Balance__c=balance[key],
                Due_Date__c=None if offset is None else day(offset),
            )
            for key, offset in due.items()
        }

    def test_days_overdue_follow_the_day_and_the_balance(self, org: Client, billing: str) -> None:
        self.invoices(org, billing)
        soql = "SELECT Billing_Key__c, Days_Overdue__c, Is_Overdue__c FROM L2C_Invoice__c"

        found = {
            r["Billing_Key__c"]: (r["Days_Overdue__c"], r["Is_Overdue__c"]) for r in org.query(soql)
        }

        assert found == {
            "late": (3, True),
            "due": (0, False),
            "open": (0, False),
            "paid": (0, False),
        }

    def test_formulas_can_be_filtered_sorted_and_counted(self, org: Client, billing: str) -> None:
        ids = self.invoices(org, billing)

        late = org.query("SELECT Id FROM L2C_Invoice__c WHERE Is_Overdue__c = TRUE")
        first = org.query(
            "SELECT Billing_Key__c FROM L2C_Invoice__c ORDER BY Days_Overdue__c DESC LIMIT 1"
        )
        most = org.query("SELECT MAX(Days_Overdue__c) most FROM L2C_Invoice__c")

        assert [r["Id"] for r in late] == [ids["late"]]
        assert first[0]["Billing_Key__c"] == "late"
        assert most[0]["most"] == 3

    def test_a_record_shows_its_formulas(self, org: Client, billing: str) -> None:
        late = self.invoices(org, billing)["late"]

        record = org.get(f"/sobjects/L2C_Invoice__c/{late}").json()
        through = org.get("/sobjects/L2C_Invoice__c/Billing_Key__c/late").json()

        assert (record["Days_Overdue__c"], record["Is_Overdue__c"]) == (3, True)
        assert through["Days_Overdue__c"] == 3

    def test_a_formula_cannot_be_written(self, org: Client, billing: str) -> None:
        answer = org.post(
            "/sobjects/L2C_Invoice__c", {"Billing_Account__c": billing, "Days_Overdue__c": 1}
        )

        assert answer.json()[0]["errorCode"] == "INVALID_FIELD_FOR_INSERT_UPDATE"

    def test_a_path_of_three_parents_follows_a_changed_name(
        self, org: Client, account: str
    ) -> None:
        order = org.create("L2C_Customer_Order__c", Account__c=account)
        work = org.create("L2C_Work_Order__c", Customer_Order__c=order)
        task = org.create("L2C_Work_Order_Task__c", Work_Order__c=work)
        path = f"/sobjects/L2C_Work_Order_Task__c/{task}?fields=Customer__c"
        before = org.get(path).json()["Customer__c"]

        org.patch(f"/sobjects/Account/{account}", {"Name": "Lovelace"})

        assert (before, org.get(path).json()["Customer__c"]) == ("Ada", "Lovelace")
        found = org.query("SELECT Id FROM L2C_Work_Order_Task__c WHERE Customer__c = 'lovelace'")
        assert [r["Id"] for r in found] == [task]
        upwards = org.query("SELECT Name FROM L2C_Work_Order_Task__c WHERE Customer__c = 'Ada'")
        assert upwards == []

    def test_describe_tells_the_formula(self, org: Client) -> None:
        fields = org.get("/sobjects/L2C_Invoice__c/describe").json()["fields"]
        overdue = next(f for f in fields if f["name"] == "Days_Overdue__c")

        assert overdue["calculated"] is True
        assert overdue["calculatedFormula"].startswith("IF(AND(Balance__c > 0")
        assert overdue["formulaTreatNullNumberAsZero"] is True
        assert overdue["createable"] is overdue["updateable"] is False


def refusal(answer: requests.Response) -> tuple[str, list[str]]:
    assert answer.status_code == 400, answer.text
    error: dict[str, Any] = answer.json()[0]
    assert error["message"]
    return error["errorCode"], error["fields"]


class TestRules:
    def test_a_day_beyond_the_month_is_refused(self, org: Client, account: str) -> None:
        row = {"Account__c": account, "Anchor_Day__c": 32}

        answer = org.post("/sobjects/L2C_Billing_Account__c", row)

        assert refusal(answer) == ("FIELD_CUSTOM_VALIDATION_EXCEPTION", ["Anchor_Day__c"])
        assert answer.json()[0]["message"] == "The anchor day is a day of the month, 1 to 31."
        assert org.query("SELECT Id FROM L2C_Billing_Account__c") == []

    def test_only_the_bad_row_of_a_collection_is_refused(self, org: Client, account: str) -> None:
        rows = [
            {
                "attributes": {"type": "L2C_Billing_Account__c"},
                "Account__c": account,
                "Billing_Key__c": f"k{number}",
                "Anchor_Day__c": number,
            }
            for number in (0, 1)
        ]

        results = org.post("/composite/sobjects", {"records": rows}).json()

        assert [r["success"] for r in results] == [False, True]
        assert results[0]["errors"][0]["statusCode"] == "FIELD_CUSTOM_VALIDATION_EXCEPTION"

    def test_a_rule_sees_what_changes_and_who_changes_it(
        self, org: Client, integration: Client, account: str
    ) -> None:
        path = f"/sobjects/Account/{account}"
        assert integration.patch(path, {"L2C_Billing_Account_Id__c": "b1"}).status_code == 204

        unrelated = org.patch(path, {"Name": "New", "L2C_Billing_Account_Id__c": "b1"})
        refused = org.patch(path, {"L2C_Currency__c": "USD"})
        allowed = integration.patch(path, {"L2C_Currency__c": "USD"})

        assert (unrelated.status_code, allowed.status_code) == (204, 204)
        assert refusal(refused) == (
            "FIELD_CUSTOM_VALIDATION_EXCEPTION",
            ["L2C_Billing_Cycle__c"],
        )

    def test_an_action_on_a_finished_order_is_refused(self, org: Client, account: str) -> None:
        order = org.create("L2C_Customer_Order__c", Account__c=account, Status__c="Completed")
        action = next(
            value["value"]
            for field in org.get("/sobjects/L2C_Customer_Order__c/describe").json()["fields"]
            if field["name"] == "Action__c"
            for value in field["picklistValues"]
        )

        answer = org.patch(f"/sobjects/L2C_Customer_Order__c/{order}", {"Action__c": action})

        assert refusal(answer) == ("FIELD_CUSTOM_VALIDATION_EXCEPTION", ["Action__c"])


def test_an_unknown_function_leaves_the_field_null_and_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fields = tmp_path / "objects" / "Account" / "fields"
    rules = tmp_path / "objects" / "Account" / "validationRules"
    fields.mkdir(parents=True)
    rules.mkdir()
    head = '<?xml version="1.0"?><{} xmlns="http://soap.sforce.com/2006/04/metadata">'
    (fields / "Far__c.field-meta.xml").write_text(
        head.format("CustomField")
        + "<formula>DISTANCE(Name, Name, 'km')</formula><fullName>Far__c</fullName>"
        "<label>Far</label><type>Text</type></CustomField>"
    )
    (rules / "Odd.validationRule-meta.xml").write_text(
        head.format("ValidationRule")
        + "<active>true</active><errorConditionFormula>VLOOKUP(Name)</errorConditionFormula>"
        "<errorMessage>x</errorMessage></ValidationRule>"
    )

    with caplog.at_level(logging.WARNING, logger="l2c_sandbox"):
        server = SandboxServer(Org(OrgSettings(schema=tmp_path)), host="127.0.0.1", port=0)
    server.start()
    try:
        org = Client(server.base_url)
        org.create("Account", Name="A")
        assert org.query("SELECT Far__c FROM Account")[0]["Far__c"] is None
    finally:
        server.close()
    assert "Account.Far__c stays null: the function DISTANCE is not known" in caplog.text
    assert "the validation rule Odd is off: the function VLOOKUP is not known" in caplog.text
