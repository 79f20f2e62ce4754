"""The same story billed here and by somebody else's system looks the same in the CRM."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from billing_systems_world import Oldbooks, item, oldbooks_database
from delivery_world import DeliveryWorld, at, customer, new_line

from connector.billing.bill_run import run_cycle
from connector.billing.payments import PaymentNotice, record_payment
from connector.billing.routing import Routing
from connector.flows.billing_systems import PullReport, pull_billing

START = date(2026, 6, 16)
BILL_DAY = date(2026, 7, 1)
BOOKED_AT = datetime(2026, 7, 1, 6, tzinfo=UTC)
PAID_ON = date(2026, 7, 9)

# What is each system's own: ids and numbers, its name, its run, and how it explains a line.
OWN = {
    "Id", "attributes", "Name", "Billing_Key__c", "Billing_System__c", "L2C_Billing_Systems__c",
    "L2C_Billing_Account_Id__c", "L2C_Billing_Account_Number__c", "Number__c", "Invoice_Number__c",
    "Payment_Number__c", "Bill_Run__c", "Explanation__c", "Account__c", "Billing_Account__c",
    "Invoice__c", "Payment__c", "Location__c", "Service__c", "Order_Line__c", "Last_Synced_At__c",
}  # fmt: skip


@pytest.fixture
def oldbooks(postgres) -> Iterator[Oldbooks]:
    with oldbooks_database(postgres) as theirs:
        yield theirs


class Story:
    """Two customers buy the same; one is billed by the hub, one by Oldbooks."""

    def __init__(self, store, crm, oldbooks: Oldbooks, mappings) -> None:
        self.mappings = mappings
        self.store, self.crm, self.oldbooks = store, crm, oldbooks
        self.here = crm.create("Account", Name="Dental Group", L2C_Currency__c="EUR")
        self.there = crm.create("Account", Name="Dental Group", L2C_Currency__c="EUR")
        world = DeliveryWorld(store)
        world.rules = replace(world.rules, routing=Routing(accounts={self.there: "oldbooks"}))
        world.open_shop()
        self.world = world

    def order_and_deliver(self, account: str) -> None:
        opportunity = self.crm.create(
            "Opportunity",
            Name="A line for Mainz",
            AccountId=account,
            StageName="Closed Won",
            CloseDate="2026-06-08",
        )
        deal = self.world.deal([new_line()], account=customer(sfid=account))
        self.world.trees[opportunity] = replace(self.world.trees[deal], sfid=opportunity)
        self.world.win(opportunity, START)
        self.world.deliver(START)

    def pull(self) -> PullReport:
        return pull_billing(store=self.store, system=self.oldbooks.system, now=BOOKED_AT)

    def bill_here(self) -> None:
        report = run_cycle(store=self.store, billed_to=BILL_DAY, now=BOOKED_AT)
        assert report.problems == ()

    def bill_there(self) -> int:
        """Bill what the outbox asked for: the rest of June, July in advance, and what was once."""
        self.pull()
        self.oldbooks.work_off_outbox(BOOKED_AT)
        asked = {
            row["command"]: row
            for row in self.oldbooks.rows("SELECT * FROM ar.l2c_outbox ORDER BY sequence")
        }
        start, once = asked["start"], asked["charge"]
        monthly = start["quantity"] * start["unit_price"]
        days = (BILL_DAY - start["effective_on"]).days
        label = start["payload"]["product"]["name"]
        due = date(2026, 7, 15)
        facts = {"label": label, "unit": start["unit_price"], "origin": start["key"]}
        first = {"first": start["effective_on"], "last": BILL_DAY}
        month = {"first": BILL_DAY, "last": date(2026, 8, 1)}
        return self.oldbooks.add_document(
            "OB-2026-0815",
            debtor=700,
            items=[
                item(str(monthly), **facts, **month),
                item(
                    str(monthly * days / 30),
                    **facts | {"label": f"{label}, {days} of 30 days", "kind": "P"},
                    **first,
                    qty=Decimal(days) / 30,
                ),
                item(
                    str(once["quantity"] * once["unit_price"]),
                    kind="E",
                    label=once["payload"]["description"],
                    unit=once["unit_price"],
                    origin=once["key"],
                    first=once["effective_on"],
                    last=once["effective_on"] + timedelta(days=1),
                ),
            ],
            on=BILL_DAY,
            due=due,
            now=BOOKED_AT,
            period=(BILL_DAY, date(2026, 8, 1)),
        )

    def pay_here(self, amount: str) -> None:
        number = self.world.one("SELECT number FROM invoice WHERE system = 'builtin'").number
        notice = PaymentNotice(
            "csv", "Payer's words", PAID_ON, Decimal(amount), "EUR", invoice_number=number
        )
        with self.store.transaction() as tx:
            record_payment(tx=tx, notice=notice, now=at(PAID_ON))

    def pay_there(self, document: int, amount: str) -> None:
        receipt = self.oldbooks.add_receipt(
            "R-1", debtor=700, amount=amount, on=PAID_ON, payer_text="Payer's words"
        )
        self.oldbooks.match(document=document, receipt=receipt, amount=amount, now=at(PAID_ON))
        self.pull()

    def seen_of(self, account: str) -> dict[str, list[dict[str, Any]]]:
        """What the CRM shows of a customer's money, without what is each system's own."""
        of_account = f"Account__c = '{account}'"
        of_invoice = f"Invoice__r.Billing_Account__r.{of_account}"
        return {
            "account": self._rows("account", f"Id = '{account}'"),
            "service": self._rows("service", of_account),
            "billing_account": self._rows("billing_account", of_account),
            "invoice": self._rows("invoice", f"Billing_Account__r.{of_account}"),
            "invoice_line": self._rows("invoice_line", of_invoice, order="Line_No__c"),
            "payment": self._rows("payment", of_account),
            "allocation": self._rows("allocation", of_invoice),
        }

    def _rows(self, entity: str, condition: str, order: str = "Id") -> list[dict[str, Any]]:
        mapping = self.mappings.by_entity[entity]
        names = sorted({*mapping.fields, *mapping.parents} - OWN)
        query = f"SELECT {', '.join(names)} FROM {mapping.object} WHERE {condition}"
        rows = self.crm.rows(f"{query} ORDER BY {order}")
        return [{name: row[name] for name in names} for row in rows]


def differences(here: dict[str, Any], there: dict[str, Any]) -> list[str]:
    return [
        f"{entity} {field}: {value} here, {theirs[field]} there"
        for entity, rows in here.items()
        for ours, theirs in zip(rows, there[entity], strict=True)
        for field, value in ours.items()
        if theirs[field] != value
    ]


@pytest.fixture
def story(store, crm, oldbooks, mappings) -> Story:
    return Story(store, crm, oldbooks, mappings)


def test_the_crm_shows_the_same_rows_whoever_bills(story: Story, push) -> None:
    story.order_and_deliver(story.here)
    story.order_and_deliver(story.there)
    story.bill_here()
    document = story.bill_there()
    story.pay_here("100.00")
    story.pay_there(document, "100.00")
    push()

    here, there = story.seen_of(story.here), story.seen_of(story.there)

    assert len(there["invoice_line"]) == 3
    assert there["invoice"][0]["Total__c"] == Decimal("236.81")
    assert there["invoice"][0]["Balance__c"] == Decimal("136.81")
    assert there["account"][0]["L2C_Balance__c"] == Decimal("136.81")
    assert "\n".join(differences(here, there)) == ""


def test_an_account_on_both_systems_shows_one_balance_with_two_sources(story: Story, push) -> None:
    story.order_and_deliver(story.here)
    story.bill_here()
    story.oldbooks.add_debtor(900, crm_id=story.here, now=BOOKED_AT)
    story.oldbooks.add_document(
        "OB-1", debtor=900, items=[item("10.00")], on=BILL_DAY, due=BILL_DAY, now=BOOKED_AT
    )
    story.pull()
    push()

    account = story.crm.one(
        f"SELECT L2C_Balance__c, L2C_Billing_Systems__c FROM Account WHERE Id = '{story.here}'"
    )
    balances = {
        row["Billing_System__c"]: row["Balance__c"]
        for row in story.crm.rows(
            "SELECT Billing_System__c, Balance__c FROM L2C_Billing_Account__c "
            f"WHERE Account__c = '{story.here}'"
        )
    }

    assert balances == {"builtin": Decimal("236.81"), "oldbooks": Decimal("11.90")}
    assert account["L2C_Balance__c"] == Decimal("248.71")
    assert account["L2C_Billing_Systems__c"] == "builtin, oldbooks"
