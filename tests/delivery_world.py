"""A small world for delivery: a catalogue, won deals, and the people who work tasks off."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy import text

from connector.catalog.load import load_catalog
from connector.flows.code_tasks import CodeTaskReport, run_due_code_tasks
from connector.flows.rules import DeliveryRules, load_delivery_rules
from connector.flows.task_action import act_on_task
from connector.flows.win import Won, win_opportunity
from connector.parties.billing_accounts import PayerTerms
from connector.resources import mappings_dir
from connector.store.engine import Store
from connector.sync.apply.opportunity import DealAccount, DealLine, OpportunityTree

CATALOG = Path(__file__).parent / "flows" / "data"
ADDRESS = "Practice Mainz, Rheinallee 12, 55116 Mainz, DE"


def at(day: date, hour: int = 9) -> datetime:
    return datetime.combine(day, time(hour), tzinfo=UTC)


@cache
def rules() -> DeliveryRules:
    return load_delivery_rules(mappings_dir(), payers=PayerTerms())


def customer(sfid: str = "001000000000001AAA", **facts: Any) -> DealAccount:
    plain = DealAccount(
        sfid=sfid,
        name="Dental Group",
        is_person=False,
        first_name=None,
        last_name=None,
        email="billing@dental.example",
        phone=None,
        street="Rheinallee 12",
        city="Mainz",
        postal_code="55116",
        country="DE",
        currency="EUR",
        parent_sfid=None,
        reseller_sfid=None,
        brand_key=None,
        is_tax_exempt=False,
    )
    return replace(plain, **facts)


def line(product: str | None, request_type: str | None = None, **facts: Any) -> DealLine:
    plain = DealLine(
        sfid="0QL000000000001AAA",
        product_key=product,
        product_name=product or "Something else",
        request_type=request_type,
        quantity=Decimal(1),
        unit_price=None,
        discount_percent=Decimal(0),
        new_mrr=None,
        term_months=0,
        renewal_type=None,
        requested_on=None,
        has_target_service="target_service_key" in facts,
        target_service_key=None,
        location=None,
        location_text=None,
        description="",
    )
    return replace(plain, **facts)


def new_line(term_months: int = 12, **facts: Any) -> DealLine:
    return line("line-100", "NEW", term_months=term_months, location_text=ADDRESS, **facts)


@dataclass
class DeliveryWorld:
    """What tests arrange deals with; everything goes through the real flows."""

    store: Store
    rules: DeliveryRules = field(default_factory=rules)
    reads: int = 0
    trees: dict[str, OpportunityTree] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def open_shop(self) -> None:
        with self.store.transaction() as tx:
            load_catalog(tx=tx, folder=CATALOG, now=at(date(2026, 1, 2)))

    def deal(self, lines: Sequence[DealLine], **facts: Any) -> str:
        sfid = f"006{next(self.numbers):012}AAA"
        self.trees[sfid] = OpportunityTree(
            **(
                {
                    "sfid": sfid,
                    "name": "Deal",
                    "is_won": True,
                    "stage": "Closed Won",
                    "quote_sfid": None,
                    "po_number": "PO-7",
                    "requested_on": None,
                    "account": customer(),
                    "lines": tuple(lines),
                }
                | facts
            )
        )
        return sfid

    def read_tree(self, sfid: str) -> OpportunityTree:
        self.reads += 1
        return self.trees[sfid]

    def win(self, sfid: str, on: date = date(2026, 6, 8)) -> Won:
        return win_opportunity(
            store=self.store,
            read_tree=self.read_tree,
            rules=self.rules,
            opportunity_sfid=sfid,
            now=at(on),
        )

    def run_code(self, now: datetime) -> CodeTaskReport:
        return run_due_code_tasks(store=self.store, rules=self.rules, now=now)

    def act(
        self,
        name: str,
        action: str,
        *,
        on: date = date(2026, 6, 16),
        effective_on: date | None = None,
        note: str | None = None,
    ) -> None:
        task = self.one("SELECT id FROM task WHERE name = :name", name=name)
        act_on_task(
            store=self.store,
            policy=self.rules.policy,
            task_id=task.id,
            action=action,
            effective_on=effective_on,
            note=note,
            now=at(on),
        )

    def states(self) -> dict[str, str]:
        return {row.name: row.state for row in self.rows("SELECT name, state FROM task")}

    def complete_ready(self, on: date, effective_on: date | None = None) -> int:
        return self.complete(
            self.rows("SELECT id FROM task WHERE state = 'Ready' AND kind = 'Manual'"),
            on,
            effective_on,
        )

    def complete(self, tasks: Sequence[Any], on: date, effective_on: date | None = None) -> int:
        for task in tasks:
            act_on_task(
                store=self.store,
                policy=self.rules.policy,
                task_id=task.id,
                action="Complete",
                effective_on=effective_on,
                note=None,
                now=at(on),
            )
        return len(tasks)

    def deliver(self, on: date, effective_on: date | None = None) -> None:
        for _ in range(10):
            self.run_code(at(on))
            if self.complete_ready(on, effective_on) == 0:
                return
        raise AssertionError("the delivery does not come to an end")

    def delivered_service(
        self, on: date = date(2026, 6, 16), *, account: DealAccount | None = None, **facts: Any
    ) -> int:
        order = self.win(self.deal([new_line(**facts)], account=account or customer()), on).order_id
        self.deliver(on)
        return int(
            self.one(
                "SELECT s.id FROM service s JOIN order_line l ON l.id = s.created_by_line_id "
                "WHERE l.order_id = :order",
                order=order,
            ).id
        )

    def rows(self, sql: str, **values: Any) -> Sequence[Any]:
        with self.store.read() as tx:
            return tx.execute(text(sql), values).all()

    def one(self, sql: str, **values: Any) -> Any:
        (row,) = self.rows(sql, **values)
        return row

    def count(self, table: str) -> int:
        return int(self.one(f"SELECT count(*) AS n FROM {table}").n)
