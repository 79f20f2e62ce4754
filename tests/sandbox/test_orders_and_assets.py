"""Orders, contracts, assets, work orders and campaigns (fact sheet I.2)."""

import pytest
from org_client import Client


@pytest.fixture
def account(org: Client) -> str:
    return org.create("Account", Name="Kern AG")


@pytest.fixture
def entry(org: Client) -> str:
    book = org.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")[0]["Id"]
    product = org.create("Product2", Name="Fibre", ProductCode="F-1", IsActive=True)
    return org.create(
        "PricebookEntry", Pricebook2Id=book, Product2Id=product, UnitPrice=30, IsActive=True
    )


@pytest.fixture
def order(org: Client, account: str) -> str:
    return org.create("Order", AccountId=account, EffectiveDate="2026-03-01", Status="Draft")


@pytest.fixture
def line(org: Client, order: str, entry: str) -> str:
    return org.create(
        "OrderItem", OrderId=order, PricebookEntryId=entry, Quantity=3, UnitPrice="19.99"
    )


def code_of(answer: object) -> str:
    return str(answer.json()[0]["errorCode"])  # type: ignore[attr-defined]


def activate(org: Client, order: str) -> None:
    answer = org.patch(f"/sobjects/Order/{order}", {"Status": "Activated"})
    assert answer.status_code == 204, answer.text


class TestOrder:
    def test_its_lines_make_its_amount(self, org: Client, order: str, line: str) -> None:
        row = org.get(f"/sobjects/Order/{order}").json()
        item = org.get(f"/sobjects/OrderItem/{line}").json()

        assert (row["TotalAmount"], row["OrderNumber"]) == (59.97, "00000001")
        assert (item["TotalPrice"], item["ListPrice"]) == (59.97, 30.0)
        assert (item["OrderItemNumber"], item["Product2Id"][:3]) == ("0000000001", "01t")
        org.delete(f"/sobjects/OrderItem/{line}")
        assert org.get(f"/sobjects/Order/{order}").json()["TotalAmount"] == 0

    def test_begins_as_a_draft(self, org: Client, account: str) -> None:
        given = {"AccountId": account, "EffectiveDate": "2026-03-01"}

        active = org.post("/sobjects/Order", given | {"Status": "Activated"})
        without = org.post("/sobjects/Order", given)
        nobodys = org.post("/sobjects/Order", {"EffectiveDate": "2026-03-01", "Status": "Draft"})

        assert code_of(active) == "FIELD_INTEGRITY_EXCEPTION"
        assert (code_of(without), without.json()[0]["fields"]) == (
            "REQUIRED_FIELD_MISSING",
            ["Status"],
        )
        assert nobodys.json()[0]["fields"] == ["AccountId"]

    def test_refuses_a_total_that_no_field_holds(self, org: Client, order: str, entry: str) -> None:
        most = "9999999999999999"
        line = {"OrderId": order, "PricebookEntryId": entry, "Quantity": most, "UnitPrice": most}

        assert code_of(org.post("/sobjects/OrderItem", line)) == "NUMBER_OUTSIDE_VALID_RANGE"

    def test_takes_the_account_of_its_contract(self, org: Client, account: str) -> None:
        contract = org.create("Contract", AccountId=account)
        order = org.create("Order", ContractId=contract, EffectiveDate="2026-03-01", Status="Draft")

        assert org.get(f"/sobjects/Order/{order}").json()["AccountId"] == account

    def test_is_activated_by_its_status_alone(self, org: Client, order: str) -> None:
        both = org.patch(f"/sobjects/Order/{order}", {"Status": "Activated", "PoNumber": "7"})
        activate(org, order)
        row = org.get(f"/sobjects/Order/{order}").json()

        assert code_of(both) == "FIELD_INTEGRITY_EXCEPTION"
        assert row["StatusCode"] == "Activated"
        assert row["ActivatedDate"] is not None
        assert row["ActivatedById"].startswith("005")

    def test_stays_as_it_is_once_activated(
        self, org: Client, order: str, line: str, entry: str, account: str
    ) -> None:
        activate(org, order)

        moved = org.patch(f"/sobjects/Order/{order}", {"EffectiveDate": "2026-04-01"})
        noted = org.patch(f"/sobjects/Order/{order}", {"Description": "by phone"})
        changed = org.patch(f"/sobjects/OrderItem/{line}", {"Quantity": 4})
        more = {"OrderId": order, "PricebookEntryId": entry, "Quantity": 1, "UnitPrice": 1}
        added = org.post("/sobjects/OrderItem", more)
        gone = org.delete(f"/sobjects/Order/{order}")
        with_account = org.delete(f"/sobjects/Account/{account}")

        assert code_of(moved) == code_of(changed) == code_of(added) == "FIELD_INTEGRITY_EXCEPTION"
        assert noted.status_code == 204
        assert code_of(gone) == code_of(with_account) == "DELETE_FAILED"
        assert org.get(f"/sobjects/Order/{order}").json()["TotalAmount"] == 59.97

    def test_becomes_a_draft_again_unless_it_was_reduced(
        self, org: Client, order: str, line: str, entry: str, account: str
    ) -> None:
        activate(org, order)
        back = org.patch(f"/sobjects/Order/{order}", {"Status": "Draft"})
        activate(org, order)
        reduction = org.create(
            "Order",
            AccountId=account,
            EffectiveDate="2026-05-01",
            Status="Draft",
            IsReductionOrder=True,
            OriginalOrderId=order,
        )
        org.create(
            "OrderItem",
            OrderId=reduction,
            PricebookEntryId=entry,
            OriginalOrderItemId=line,
            Quantity=-1,
            UnitPrice="19.99",
        )

        again = org.patch(f"/sobjects/Order/{order}", {"Status": "Draft"})

        assert back.status_code == 204
        assert code_of(again) == "FIELD_INTEGRITY_EXCEPTION"

    def test_is_found_from_its_account(self, org: Client, order: str, line: str) -> None:
        found = org.query(
            "SELECT (SELECT OrderNumber FROM Orders), (SELECT Id FROM Assets) FROM Account"
        )[0]
        lines = org.query("SELECT Order.Account.Name FROM OrderItem")

        assert [row["OrderNumber"] for row in found["Orders"]["records"]] == ["00000001"]
        assert found["Assets"] is None
        assert lines[0]["Order"]["Account"]["Name"] == "Kern AG"


class TestContract:
    def test_is_activated_with_a_start_and_a_term(self, org: Client, account: str) -> None:
        contract = org.create("Contract", AccountId=account)
        path = f"/sobjects/Contract/{contract}"
        early = org.patch(path, {"Status": "Activated"})
        given = {"Status": "Activated", "StartDate": "2026-01-31", "ContractTerm": 12}
        done = org.patch(path, given)
        row = org.get(path).json()

        assert early.json()[0]["fields"] == ["StartDate", "ContractTerm"]
        assert done.status_code == 204
        assert (row["StatusCode"], row["EndDate"]) == ("Activated", "2027-01-30")
        assert code_of(org.delete(path)) == "DELETE_FAILED"


class TestOthers:
    def test_an_asset_belongs_to_somebody(self, org: Client, account: str) -> None:
        refused = org.post("/sobjects/Asset", {"Name": "Router"})
        product = org.create("Product2", Name="Router", ProductCode="R-1")
        asset = org.create("Asset", Name="Router", AccountId=account, Product2Id=product)

        assert code_of(refused) == "FIELD_INTEGRITY_EXCEPTION"
        assert org.get(f"/sobjects/Asset/{asset}").json()["ProductCode"] == "R-1"

    def test_work_is_numbered_and_closed_by_its_status(self, org: Client, entry: str) -> None:
        work = org.create("WorkOrder", Subject="Install")
        line = org.create("WorkOrderLineItem", WorkOrderId=work, PricebookEntryId=entry, Quantity=2)
        fresh = org.get(f"/sobjects/WorkOrder/{work}").json()
        org.patch(f"/sobjects/WorkOrder/{work}", {"Status": "Completed"})
        row = org.get(f"/sobjects/WorkOrderLineItem/{line}").json()

        assert (fresh["WorkOrderNumber"], fresh["Status"], fresh["IsClosed"]) == (
            "00000001",
            "New",
            False,
        )
        assert org.get(f"/sobjects/WorkOrder/{work}").json()["IsClosed"] is True
        assert (row["LineItemNumber"], row["UnitPrice"], row["TotalPrice"]) == (
            "00000001",
            30.0,
            60.0,
        )

    def test_a_person_is_a_member_of_a_campaign_once(self, org: Client) -> None:
        campaign = org.create("Campaign", Name="Spring")
        contact = org.create("Contact", LastName="Lind")
        member = {"CampaignId": campaign, "ContactId": contact, "Status": "Responded"}

        first = org.create("CampaignMember", **member)
        twice = org.post("/sobjects/CampaignMember", member)
        nobody = org.post("/sobjects/CampaignMember", {"CampaignId": campaign})

        assert org.get(f"/sobjects/CampaignMember/{first}").json()["HasResponded"] is True
        assert (code_of(twice), code_of(nobody)) == ("DUPLICATE_VALUE", "REQUIRED_FIELD_MISSING")

    @pytest.mark.parametrize(
        ("name", "prefix", "child_of", "children"),
        [
            ("Order", "801", "Account", "Orders"),
            ("OrderItem", "802", "Order", "OrderItems"),
            ("Asset", "02i", "Account", "Assets"),
            ("WorkOrder", "0WO", "Account", "WorkOrders"),
            ("WorkOrderLineItem", "1WL", "WorkOrder", "WorkOrderLineItems"),
            ("CampaignMember", "00v", "Campaign", "CampaignMembers"),
            ("Event", "00U", "Contact", "Events"),
            ("OpportunityContactRole", "00K", "Opportunity", "OpportunityContactRoles"),
            ("CaseComment", "00a", "Case", "CaseComments"),
            ("ContractLineItem", "811", "ServiceContract", "ContractLineItems"),
        ],
    )
    def test_objects_have_their_prefixes_and_parents(
        self, org: Client, name: str, prefix: str, child_of: str, children: str
    ) -> None:
        described = org.get(f"/sobjects/{name}/describe").json()
        parent = org.get(f"/sobjects/{child_of}/describe").json()

        links = {c["relationshipName"] for c in parent["childRelationships"]}
        assert described["keyPrefix"] == prefix
        assert children in links

    @pytest.mark.parametrize("name", ["CaseStatus", "TaskStatus", "ContractStatus", "OrderStatus"])
    def test_statuses_are_records(self, org: Client, name: str) -> None:
        rows = org.query(f"SELECT MasterLabel, IsDefault FROM {name} ORDER BY SortOrder")

        assert rows[0]["IsDefault"] is True
        assert len(rows) > 1
