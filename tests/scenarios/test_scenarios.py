"""Runs every `*.yaml` below this folder but `prices`; the grammar is in README.md."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from billing_world import BillingWorld, at
from sqlalchemy import text

from connector.billing.explain import adds_up
from connector.billing.payments import PaymentNotice, record_payment
from connector.charging import recurring
from connector.kernel.period import billing_month
from connector.store.engine import Store

FOLDER = Path(__file__).parent
FILES = sorted(set(FOLDER.rglob("*.yaml")) - set((FOLDER / "prices").glob("*.yaml")))
KEYS = {"about", "calendar", "tax", "policy", "catalogue", "events", "until", "then"}


@dataclass
class Play:
    """A scenario on its stage."""

    world: BillingWorld
    script: dict[str, Any]
    payer: int
    services: dict[str, int] = field(default_factory=dict)

    def run(self) -> None:
        events = self.script["events"]
        heard = [event.get("reported", event["at"]) for event in events]
        for day in self._bill_days(min(heard)):
            for event, on in zip(events, heard, strict=True):
                if on <= day:
                    self._perform(event)
            events, heard = (
                [e for e, on in zip(events, heard, strict=True) if on > day],
                [on for on in heard if on > day],
            )
            assert self.world.bill(day).problems == ()
        for event in events:
            self._perform(event)

    def _bill_days(self, first: date) -> Iterator[date]:
        anchor = self.script.get("calendar", {}).get("anchor_day", 1)
        month = billing_month(first, anchor)
        day = month.start if month.start == first else month.end
        while day is not None and day <= self.script["until"]:
            yield day
            day = billing_month(day, anchor).end

    def _perform(self, event: dict[str, Any]) -> None:
        if "start" in event:
            self._start(event)
        elif "change" in event:
            self._change(event)
        elif "cancel" in event:
            self.world.cancel(self.services[event["cancel"]], event["at"])
        elif "sell" in event:
            self.world.sell(
                self.payer,
                self.world.product(event["sell"]),
                self.script["catalogue"][event["sell"]],
                event["at"],
                quantity=str(event.get("quantity", 1)),
            )
        else:
            self._pay(event)

    def _start(self, event: dict[str, Any]) -> None:
        service = self.world.service(
            self.payer,
            self.world.product(event["plan"]),
            self.script["catalogue"][event["plan"]],
            quantity=str(event.get("quantity", 1)),
            site=event.get("site", ""),
        )
        self.services[event["start"]] = service
        if "discount" in event:
            self.world.start_discounted(service, event["at"], event["discount"])
        else:
            self.world.start(service, event["at"])

    def _change(self, event: dict[str, Any]) -> None:
        plan = event.get("plan")
        self.world.change(
            self.services[event["change"]],
            event["at"],
            event.get("price") or self.script["catalogue"][plan],
            quantity=str(event.get("quantity", 1)),
            product_id=self.world.product(plan) if plan else None,
        )

    def _pay(self, event: dict[str, Any]) -> None:
        told = event.get("invoice")
        number = self.world.documents()[told - 1]["number"] if told else None
        owner = self.world.one(
            "SELECT number, currency FROM billing_account WHERE id = :id", id=self.payer
        )
        notice = PaymentNotice(
            source="csv",
            reference=event["reference"],
            received_on=event["at"],
            amount=Decimal(event["pay"]),
            currency=owner.currency,
            invoice_number=number,
            account_number=owner.number,
        )
        with self.world.store.transaction() as tx:
            record_payment(tx=tx, notice=notice, now=at(event["at"]))


@pytest.fixture
def play(
    request: pytest.FixtureRequest, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Play:
    script = yaml.safe_load(request.param.read_text(encoding="utf-8"))
    assert set(script) <= KEYS, f"unknown key in {request.param}"
    (tmp_path / "policies").mkdir()
    policy = yaml.safe_dump({"default": script.get("policy", {})})
    (tmp_path / "policies" / "proration.yaml").write_text(policy, encoding="utf-8")
    monkeypatch.setattr(recurring, "mappings_dir", lambda: tmp_path)
    calendar = script.get("calendar", {})
    world = BillingWorld(store)
    country = calendar.get("country", "DE")
    world.tax(script.get("tax", "0"), country=country)
    payer = world.payer(
        country=country,
        currency=calendar.get("currency", "EUR"),
        anchor_day=calendar.get("anchor_day", 1),
    )
    return Play(world, script, payer)


@pytest.mark.parametrize(
    "play", FILES, indirect=True, ids=lambda path: str(path.relative_to(FOLDER).with_suffix(""))
)
def test_scenario(play: Play) -> None:
    play.run()

    documents = play.world.documents()
    expected = play.script["then"]
    assert [_as_told(document) for document in documents] == [
        _wanted(document) for document in expected["documents"]
    ]
    if "balances" in expected:
        assert [d["balance"] for d in documents] == [Decimal(b) for b in expected["balances"]]
    if "unapplied" in expected:
        left = play.world.one("SELECT coalesce(sum(unapplied), 0) FROM v_payment_unapplied")[0]
        assert left == Decimal(expected["unapplied"])
    assert all(adds_up(line) for document in documents for line in document["lines"])
    _journal_tells_the_same(play.world)


def test_there_are_scenarios() -> None:
    assert len(FILES) >= 20


def _as_told(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": document["type"],
        "dated": document["invoice_on"],
        "lines": sorted(line["amount"] for line in document["lines"]),
        "tax": document["tax"],
        "total": document["total"],
    }


def _wanted(document: dict[str, Any]) -> dict[str, Any]:
    amounts = sorted(Decimal(amount) for amount in document["lines"])
    tax = Decimal(document.get("tax", "0"))
    total = sum(amounts, tax)
    assert Decimal(document.get("total", total)) == total, "the scenario contradicts itself"
    return {
        "type": document.get("type", "Invoice"),
        "dated": document["dated"],
        "lines": amounts,
        "tax": tax,
        "total": total,
    }


def _journal_tells_the_same(world: BillingWorld) -> None:
    with world.store.read() as tx:
        receivables, open_amount = tx.execute(
            text(
                "SELECT (SELECT coalesce(sum(debit - credit), 0) FROM journal_line "
                "         WHERE account_code = '1200'), "
                "       (SELECT coalesce(sum(balance), 0) FROM v_invoice_balance)"
            )
        ).one()
        credits, unapplied = tx.execute(
            text(
                "SELECT (SELECT coalesce(sum(credit - debit), 0) FROM journal_line "
                "         WHERE account_code IN ('1700', '1705')), "
                "       (SELECT coalesce(sum(unapplied), 0) FROM v_payment_unapplied)"
            )
        ).one()
    assert receivables == open_amount
    assert credits == unapplied
