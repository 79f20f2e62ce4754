"""A deal read from the local org, over HTTP, as the flow gets it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from delivery_world import DeliveryWorld, at, customer, new_line

from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.login import ClientCredentials, Login
from connector.adapters.salesforce.retry import RetryPolicy
from connector.bootstrap import App
from connector.cli.estimate import estimate
from connector.config import load_settings
from connector.errors import InvalidInput
from connector.flows.delivery import UnknownRecord, delivery_flows
from connector.kernel.clock import MovableClock
from connector.kernel.period import Interval
from connector.sync.apply.intents import IntentRequest
from connector.sync.apply.opportunity_tree import OpportunityGone, OpportunityReader


@pytest.fixture
def client(org: Any) -> Iterator[OrgClient]:
    login = Login(org.base_url, ClientCredentials(org.client_id, org.client_secret))
    made = OrgClient(login, retry=RetryPolicy(attempts=2, first_pause_s=0.01))
    yield made
    made.close()


class Sales:
    """A sales user of the org, over plain REST."""

    def __init__(self, org: Any) -> None:
        self._http = requests.Session()
        self._http.trust_env = False
        form = {
            "grant_type": "password",
            "client_id": org.client_id,
            "client_secret": org.client_secret,
            "username": org.username,
            "password": org.password,
        }
        answer = self._http.post(f"{org.base_url}/services/oauth2/token", data=form, timeout=10)
        answer.raise_for_status()
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        self._data = f"{org.base_url}/services/data/v64.0"
        self.book = self.find("SELECT Id FROM Pricebook2")

    def find(self, soql: str) -> str:
        answer = self._http.get(f"{self._data}/query", params={"q": soql}, timeout=10)
        answer.raise_for_status()
        return str(answer.json()["records"][0]["Id"])

    def create(self, object_name: str, **values: Any) -> str:
        answer = self._http.post(f"{self._data}/sobjects/{object_name}", json=values, timeout=10)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def change(self, object_name: str, sfid: str, **values: Any) -> None:
        answer = self._http.patch(
            f"{self._data}/sobjects/{object_name}/{sfid}", json=values, timeout=10
        )
        assert answer.status_code == 204, answer.text

    def close(self) -> None:
        self._http.close()

    def product(self, key: str) -> str:
        product = self.create("Product2", Name=key, L2C_Product_Key__c=key, IsActive=True)
        return self.create(
            "PricebookEntry",
            Pricebook2Id=self.book,
            Product2Id=product,
            UnitPrice=100,
            IsActive=True,
        )

    def opportunity(self, account: str, **values: Any) -> str:
        return self.create(
            "Opportunity",
            Name="Lines for Mainz",
            AccountId=account,
            StageName="Closed Won",
            CloseDate="2026-06-08",
            Pricebook2Id=self.book,
            **values,
        )

    def business(self, **values: Any) -> str:
        return self.create(
            "Account",
            Name="Dental Group",
            BillingCity="Mainz",
            BillingCountry="DE",
            L2C_Currency__c="EUR",
            L2C_Billing_Primary_Email__c="billing@dental.example",
            **values,
        )


@pytest.fixture
def sales(org: Any) -> Iterator[Sales]:
    user = Sales(org)
    yield user
    user.close()


class TestOpportunityReader:
    def test_reads_the_lines_of_the_quote_that_counts(
        self, sales: Sales, client: OrgClient
    ) -> None:
        account = sales.business()
        deal = sales.opportunity(account, L2C_PO_Number__c="PO-1")
        entry = sales.product("line-100")
        place = sales.create(
            "L2C_Location__c", Name="Depot", Account__c=account, Street__c="Kai 4", City__c="Mainz"
        )
        sales.create(
            "OpportunityLineItem",
            OpportunityId=deal,
            PricebookEntryId=entry,
            Quantity=9,
            UnitPrice=1,
        )
        quotes = [
            sales.create(
                "Quote",
                Name=name,
                OpportunityId=deal,
                Pricebook2Id=sales.book,
                L2C_PO_Number__c=name,
            )
            for name in ("first", "second")
        ]
        common = {"PricebookEntryId": entry, "UnitPrice": 99.5, "L2C_Term_Months__c": 12}
        sales.create("QuoteLineItem", QuoteId=quotes[0], Quantity=5, **common)
        sales.create(
            "QuoteLineItem",
            QuoteId=quotes[1],
            Quantity=2,
            Discount=10,
            L2C_Request_Type__c="NEW",
            L2C_Location__c=place,
            L2C_Requested_Date__c="2026-07-01",
            **common,
        )
        sales.create(
            "QuoteLineItem",
            QuoteId=quotes[1],
            Quantity=1,
            L2C_Location_Text__c="Rheinallee 12, 55116 Mainz",
            **common,
        )
        sales.change("Opportunity", deal, SyncedQuoteId=quotes[1])
        read = OpportunityReader(client)
        read(deal)
        before = client.calls

        tree = read(deal)

        assert client.calls == before + 1
        assert (tree.is_won, tree.quote_sfid, tree.po_number) == (True, quotes[1], "second")
        assert tree.account is not None
        assert (tree.account.name, tree.account.currency) == ("Dental Group", "EUR")
        assert [line.quantity for line in tree.lines] == [2, 1]
        first, second = tree.lines
        assert (first.product_key, first.request_type) == ("line-100", "NEW")
        assert (first.unit_price, first.discount_percent) == (Decimal("99.5"), Decimal(10))
        assert (first.term_months, first.requested_on) == (12, date(2026, 7, 1))
        assert first.location is not None
        assert (first.location.sfid, first.location.street) == (place, "Kai 4")
        assert second.location_text == "Rheinallee 12, 55116 Mainz"

    def test_reads_any_quote_as_if_it_were_the_one_that_counts(
        self, sales: Sales, client: OrgClient
    ) -> None:
        deal = sales.opportunity(sales.business())
        entry = sales.product("line-100")
        common = {"OpportunityId": deal, "Pricebook2Id": sales.book}
        first, second = (sales.create("Quote", Name=name, **common) for name in ("a", "b"))
        for quote, quantity in ((first, 5), (second, 2)):
            sales.create(
                "QuoteLineItem",
                QuoteId=quote,
                Quantity=quantity,
                PricebookEntryId=entry,
                UnitPrice=99.5,
            )
        sales.change("Opportunity", deal, SyncedQuoteId=first)
        read = OpportunityReader(client)

        tree = read.of_quote(second)

        assert (tree.quote_sfid, [line.quantity for line in tree.lines]) == (second, [2])
        with pytest.raises(OpportunityGone, match="no quote"):
            read.of_quote("0Q0000000000001")

    def test_reads_the_opportunitys_own_lines_when_no_quote_counts(
        self, sales: Sales, client: OrgClient
    ) -> None:
        deal = sales.opportunity(sales.business())
        sales.create(
            "OpportunityLineItem",
            OpportunityId=deal,
            Quantity=3,
            UnitPrice=10,
            PricebookEntryId=sales.product("router"),
        )

        tree = OpportunityReader(client)(deal)

        assert tree.quote_sfid is None
        assert [(line.product_key, line.quantity) for line in tree.lines] == [("router", 3)]

    def test_reads_a_person(self, sales: Sales, client: OrgClient) -> None:
        kind = sales.find(
            "SELECT Id FROM RecordType WHERE SobjectType = 'Account' AND IsPersonType = true"
        )
        ann = sales.create(
            "Account",
            FirstName="Ann",
            LastName="Lee",
            RecordTypeId=kind,
            PersonEmail="ann@lee.example",
            L2C_Currency__c="EUR",
        )

        account = OpportunityReader(client)(sales.opportunity(ann)).account

        assert account is not None
        assert (account.is_person, account.name) == (True, "Ann Lee")
        assert (account.last_name, account.email) == ("Lee", "ann@lee.example")

    def test_says_that_an_opportunity_is_gone(self, client: OrgClient) -> None:
        with pytest.raises(OpportunityGone):
            OpportunityReader(client)("006000000000000AAA")

    def test_puts_no_foreign_text_into_a_query(self, client: OrgClient) -> None:
        with pytest.raises(InvalidInput):
            OpportunityReader(client)("006' OR Name != '")


class TestDeliveryFlows:
    def test_carry_a_deal_of_the_org_to_a_service(
        self, sales: Sales, client: OrgClient, world: DeliveryWorld
    ) -> None:
        deal = sales.opportunity(sales.business())
        sales.create(
            "OpportunityLineItem",
            OpportunityId=deal,
            Quantity=2,
            UnitPrice=100,
            PricebookEntryId=sales.product("line-100"),
            L2C_Term_Months__c=12,
            L2C_Location_Text__c="Mainz, Kai 4, 55118 Mainz, DE",
        )
        flows = delivery_flows(
            store=world.store, read_tree=OpportunityReader(client), rules=world.rules
        )
        now = at(date(2026, 6, 16))

        flows["win"](IntentRequest("win", "Opportunity", deal, {}, now))
        world.run_code(now)
        for _ in range(2):
            for task in world.rows("SELECT id FROM task WHERE state = 'Ready' AND kind = 'Manual'"):
                facts = {
                    "Action__c": "Complete",
                    "Billing_Key__c": f"l2c:task:{task.id}",
                    "Effective_On__c": "2026-06-15",
                }
                ask = IntentRequest("task_action", "L2C_Work_Order_Task__c", "a0T", facts, now)
                flows["task_action"](ask)
            world.run_code(now)

        service = world.one("SELECT state, service_start_on, quantity FROM service")
        assert tuple(service) == ("In Service", date(2026, 6, 15), 2)

    def test_carry_add_ons_and_a_replacement_told_in_the_org_to_the_service(
        self, sales: Sales, client: OrgClient, world: DeliveryWorld
    ) -> None:
        account = sales.business()
        service = world.delivered_service(date(2026, 6, 1), account=customer(account))
        target = sales.create(
            "L2C_Service__c", Billing_Key__c=f"l2c:service:{service}", Account__c=account
        )
        about = {"Quantity": 1, "UnitPrice": 150, "L2C_Service__c": target}
        entries = {key: sales.product(key) for key in ("line-100", "line-500")}
        read = OpportunityReader(client)

        def won(**line: Any) -> str:
            deal = sales.opportunity(account)
            sales.create("OpportunityLineItem", OpportunityId=deal, **about, **line)
            return deal

        added = won(
            PricebookEntryId=entries["line-100"],
            L2C_Request_Type__c="ADD_ON_CHANGE",
            L2C_Add_Ons_To_Add__c="backup, night=backup*2",
        )
        quoted = sales.opportunity(account)
        quote = sales.create("Quote", Name="Fewer", OpportunityId=quoted, Pricebook2Id=sales.book)
        sales.create(
            "QuoteLineItem",
            QuoteId=quote,
            PricebookEntryId=entries["line-100"],
            L2C_Request_Type__c="ADD_ON_CHANGE",
            L2C_Add_Ons_To_Remove__c="night",
            **about,
        )
        sales.change("Opportunity", quoted, SyncedQuoteId=quote)
        replaced = won(
            PricebookEntryId=entries["line-500"],
            L2C_Request_Type__c="REPLACE",
            L2C_Requested_Date__c="2026-06-16",
        )

        for deal, day in ((added, 11), (quoted, 12), (replaced, 16)):
            world.trees[deal] = read(deal)
            world.win(deal, date(2026, 6, day))
            world.deliver(date(2026, 6, day))

        add_ons = world.rows("SELECT name, quantity, start_on, end_on FROM add_on ORDER BY id")
        assert [tuple(row) for row in add_ons] == [
            ("backup", 1, date(2026, 6, 11), date(2026, 6, 16)),
            ("night", 2, date(2026, 6, 11), date(2026, 6, 12)),
        ]
        services = world.rows("SELECT state, service_start_on, mr_price FROM service ORDER BY id")
        assert [tuple(row) for row in services] == [
            ("Canceled By User", date(2026, 6, 1), 100),
            ("In Service", date(2026, 6, 16), 150),
        ]

    @pytest.mark.parametrize("cycle", Interval)
    def test_open_billing_in_the_cycle_that_the_account_names(
        self, sales: Sales, client: OrgClient, world: DeliveryWorld, cycle: Interval
    ) -> None:
        account = OpportunityReader(client)(
            sales.opportunity(sales.business(L2C_Billing_Cycle__c=cycle))
        ).account

        world.win(world.deal([new_line()], account=account))

        assert world.one("SELECT cycle FROM billing_account").cycle == cycle

    @pytest.mark.parametrize(("closed_on", "orders"), [("2026-05-31", 0), ("2026-06-01", 1)])
    def test_leave_deals_alone_that_were_won_before_the_go_live(
        self, world: DeliveryWorld, closed_on: str, orders: int
    ) -> None:
        live = replace(world.rules, policy=replace(world.rules.policy, won_since=date(2026, 6, 1)))
        flows = delivery_flows(store=world.store, read_tree=world.read_tree, rules=live)
        sfid = world.deal([new_line()])

        flows["win"](
            IntentRequest(
                "win", "Opportunity", sfid, {"CloseDate": closed_on}, at(date(2026, 6, 9))
            )
        )

        assert world.count("customer_order") == orders

    def test_hold_an_order_on_request(self, client: OrgClient, world: DeliveryWorld) -> None:
        order = world.win(world.deal([new_line()])).order_id
        flows = delivery_flows(
            store=world.store, read_tree=OpportunityReader(client), rules=world.rules
        )
        facts = {"Action__c": "Hold", "Billing_Key__c": f"l2c:customer_order:{order}"}

        flows["order_action"](
            IntentRequest(
                "order_action", "L2C_Customer_Order__c", "a0C", facts, at(date(2026, 6, 9))
            )
        )

        assert world.one("SELECT state FROM v_order_state").state == "On Hold"

    def test_refuse_a_record_that_is_not_ours(
        self, client: OrgClient, world: DeliveryWorld
    ) -> None:
        flows = delivery_flows(
            store=world.store, read_tree=OpportunityReader(client), rules=world.rules
        )
        ask = IntentRequest(
            "task_action",
            "L2C_Work_Order_Task__c",
            "a0T",
            {"Action__c": "Start"},
            at(date(2026, 6, 9)),
        )

        with pytest.raises(UnknownRecord):
            flows["task_action"](ask)


class Desk:
    """A terminal of the connector that is connected to the org and the store of a test."""

    def __init__(self, org: Any, world: DeliveryWorld, folder: Path) -> None:
        config = folder / "config.yaml"
        config.write_text(
            f"store: {{data_dir: {folder}}}\n"
            f"salesforce: {{login_url: '{org.base_url}', client_id: '{org.client_id}', "
            f"client_secret: '{org.client_secret}'}}\n"
        )
        clock = MovableClock(at(date(2026, 6, 12)))
        self.opened = App(settings=load_settings(config), store=world.store, clock=clock)

    def app(self) -> App:
        return self.opened

    def estimate(self, *options: str) -> str:
        result = CliRunner().invoke(
            estimate, list(options), obj=self, catch_exceptions=False, standalone_mode=False
        )
        return result.output


@pytest.fixture
def desk(org: Any, world: DeliveryWorld, tmp_path: Path) -> Iterator[Desk]:
    made = Desk(org, world, tmp_path)
    yield made
    made.opened.queue.close()


class TestEstimate:
    """Row B22: the first two invoices of a deal, or of any of its quotes."""

    def test_of_a_deal_of_the_org_and_of_another_quote(self, sales: Sales, desk: Desk) -> None:
        deal = sales.opportunity(sales.business())
        quote = sales.create("Quote", Name="more", OpportunityId=deal, Pricebook2Id=sales.book)
        common = {
            "PricebookEntryId": sales.product("line-100"),
            "UnitPrice": 100,
            "L2C_Term_Months__c": 12,
            "L2C_Location_Text__c": "Mainz, Kai 4, 55118 Mainz, DE",
        }
        sales.create("OpportunityLineItem", OpportunityId=deal, Quantity=1, **common)
        sales.create("QuoteLineItem", QuoteId=quote, Quantity=2, Discount=10, **common)

        of_deal = json.loads(desk.estimate("--opportunity", deal, "--json").splitlines()[-1])
        of_quote = desk.estimate("--quote", quote, "--at", "2026-06-16")

        first, second = of_deal["invoices"]
        # July, 19 of 30 days of June, the set-up
        assert [line["amount"] for line in first["lines"]] == ["100.00", "63.33", "49.00"]
        assert (first["subtotal"], first["total"], second["total"]) == (
            "212.33",
            "252.67",
            "119.00",
        )
        assert all(line["is_new"] for line in first["lines"])
        assert "EST-1 Invoice of 2026-07-01" in of_quote
        assert "90.00" in of_quote  # 15 of 30 days of 2 × 90.00
