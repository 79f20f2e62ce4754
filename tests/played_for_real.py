"""Plays a scenario through the real commands, the real bill run and the real store."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml
from billing_world import EPOCH, BillingWorld, at

from connector.billing.payments import PaymentNotice, record_payment
from connector.catalog.pricing.document import Pricing
from connector.charging.charges import PricedUnits
from connector.charging.early_termination import term_end
from connector.kernel.period import Cycle, Interval, local_date
from connector.rating.domain import exact_decimal
from connector.simulation import events
from connector.simulation.events import Event
from connector.simulation.play import Played
from connector.simulation.script import Plan, Script
from connector.store.engine import Store

VERBS = (
    events.Start, events.Change, events.ReRate, events.Replace, events.Cancel, events.Sell,
    events.Pay, events.Draft, events.ReTerm, events.Renew, events.Use,
)  # fmt: skip


def can_be_played(script: Script) -> bool:
    """Return whether the store knows everything that happens in a scenario."""
    return (
        script.then is not None
        and script.then.refused is None
        and not script.accounts
        and isinstance(script.tax, Decimal)
        and script.calendar.every is Interval.MONTH
        and "invoice_partials_on" not in script.policy.told()
        and all(map(_is_plain, script.catalogue.values()))
        and all(map(_is_known, script.events))
    )


def _is_plain(plan: Plan) -> bool:
    return not plan.minimum


def _is_known(event: Event) -> bool:
    return isinstance(event, VERBS)


@dataclass
class RealPlay:
    """A scenario on the stage of the store."""

    store: Store
    script: Script
    services: dict[str, int] = field(default_factory=dict)
    prices: dict[str, Decimal] = field(default_factory=dict)
    models: dict[str, Pricing | None] = field(default_factory=dict)
    plans: dict[str, str] = field(default_factory=dict)
    used: dict[tuple[int, str, date], Decimal] = field(default_factory=dict)
    quantities: dict[str, Decimal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        calendar = self.script.calendar
        assert isinstance(self.script.tax, Decimal)
        self.world = BillingWorld(self.store)
        self.world.tax(str(self.script.tax), country=calendar.country)
        self.payer = self.world.payer(
            country=calendar.country,
            currency=calendar.currency,
            anchor_day=calendar.anchor_day,
        )
        for name, plan in self.script.catalogue.items():
            self.world.product(
                name,
                name=plan.name,
                tax_category=plan.tax_category,
                vendor=plan.vendor,
                early_termination=_early_termination(plan),
            )
        for name, plan in self.script.catalogue.items():
            if plan.parts:
                self.world.bundle(name, plan.parts)
        for rule in self.script.rules:
            self.world.vendor_rule(rule.vendor, rule.min_services, rule.percent)

    @staticmethod
    def write_policies(script: Script, folder: Path) -> None:
        """Write the policy file that says what the scenario says."""
        (folder / "policies").mkdir()
        policies = {
            "default": _texts(script.policy.told()),
            "products": {
                name: _texts(
                    {"every": plan.every or Interval.MONTH, "when": plan.when} | plan.policy.told()
                )
                for name, plan in script.catalogue.items()
            },
        }
        (folder / "policies" / "proration.yaml").write_text(yaml.safe_dump(policies))

    def run_bills_again(self) -> None:
        """Run every bill of the scenario a second time."""
        first = min(self._day(event.reported or event.at) for event in self.script.events)
        for day in self._bill_days(first):
            self.world.bill(day)

    def journal_tells_the_same(self) -> None:
        """Hold the journal against the documents and the money."""
        row = self.world.one(
            "SELECT (SELECT coalesce(sum(debit - credit), 0) FROM journal_line "
            "         WHERE account_code = '1200') AS receivables, "
            "       (SELECT coalesce(sum(balance), 0) FROM v_invoice_balance) AS open_amount, "
            "       (SELECT coalesce(sum(credit - debit), 0) FROM journal_line "
            "         WHERE account_code IN ('1700', '1705')) AS credits, "
            "       (SELECT coalesce(sum(unapplied), 0) FROM v_payment_unapplied) AS unapplied, "
            "       (SELECT coalesce(sum(debit - credit), 0) FROM journal_line) AS balance"
        )
        assert row.receivables == row.open_amount
        assert row.credits == row.unapplied
        assert row.balance == 0

    def run(self) -> None:
        heard = sorted(
            (
                (self._day(event.reported or event.at), i)
                for i, event in enumerate(self.script.events)
            ),
        )
        for day in self._bill_days(heard[0][0]):
            for _, i in (one for one in heard if one[0] <= day):
                self._perform(self.script.events[i])
            heard = [one for one in heard if one[0] > day]
            assert self.world.bill(day).problems == ()
        for _, i in heard:
            self._perform(self.script.events[i])

    def unapplied(self) -> Decimal:
        row = self.world.one("SELECT coalesce(sum(unapplied), 0) FROM v_payment_unapplied")
        return Decimal(row[0])

    def _bill_days(self, first: date) -> Iterator[date]:
        cycle = Cycle.calendar(Interval.MONTH, self.script.calendar.anchor_day)
        day = cycle.boundary_from(first)
        while day <= self._day(self.script.until):
            yield day
            end = cycle.period_of(day).end
            assert end is not None
            day = end

    def _day(self, moment: date | datetime) -> date:
        if isinstance(moment, datetime):
            return local_date(moment, self.script.calendar.timezone)
        return moment

    def _perform(self, event: Event) -> None:
        on = self._day(event.at)
        if isinstance(event, events.Start):
            self._start(event.start, event, on)
        elif isinstance(event, events.Change):
            day = self._effective(event, on)
            self._change(event.change, day, event.plan, event.price, event.quantity)
        elif isinstance(event, events.ReRate):
            self._change(event.re_rate, self._effective(event, on), None, event.price)
        elif isinstance(event, events.Replace):
            self._start(event.by, event, on)
            self.world.cancel(self.services[event.replace], on)
        elif isinstance(event, events.Cancel):
            self.world.cancel(self.services[event.cancel], on)
        elif isinstance(event, events.Sell):
            price = self.script.catalogue[event.sell].once if event.price is None else event.price
            self.world.sell(
                self.payer,
                self.world.product(event.sell),
                str(price),
                on,
                quantity=str(event.quantity),
                service=self.services[event.service] if event.service else None,
            )
        elif isinstance(event, events.ReTerm | events.Renew):
            name = event.re_term if isinstance(event, events.ReTerm) else event.renew
            if event.price is not None:
                self._change(name, on, None, event.price)
            self.world.term(self.services[name], on, event.months)
        elif isinstance(event, events.Use):
            self._use(event, on)
        elif isinstance(event, events.Draft):
            self.world.bill(self._day(event.draft), keep_drafts=True)
        else:
            assert isinstance(event, events.Pay)
            self._pay(event, on)

    def _start(self, name: str, event: events.Start | events.Replace, on: date) -> None:
        plan = self.script.catalogue[event.plan]
        model = plan.pricing if event.price is None else None
        price = (plan.recurring if event.price is None else event.price) or Decimal(0)
        service = self.world.service(
            self.payer,
            self.world.product(event.plan),
            str(price),
            quantity=str(event.quantity),
            site=getattr(event, "site", ""),
            pricing=model.as_json() if model else None,
        )
        self.services[name] = service
        self.prices[name], self.quantities[name] = price, event.quantity
        self.models[name], self.plans[name] = model, event.plan
        offers = [
            self.world.offer(
                f"{name}-{number}",
                products=[event.plan],
                percent=terms.percent,
                amount=terms.amount,
                currency=self.script.calendar.currency,
                cycles=terms.cycles,
                valid_from=self._day(terms.from_) if terms.from_ else EPOCH,
                valid_to=self._day(terms.to) if terms.to else None,
            )
            for number, terms in enumerate(getattr(event, "discounts", ()))
        ]
        discount = getattr(event, "discount", 0)
        if discount:
            self.world.start_discounted(service, on, str(discount))
        else:
            self.world.start(service, on)
        for offer in offers:
            self.world.withdraw(offer)
        for step in getattr(event, "steps", ()):
            self._change(name, self._day(step.from_), None, None, step.quantity)
        term = getattr(event, "term", None)
        if term:
            self.world.term(service, on, term.months)
            if term.renewal == "expire":
                self.world.cancel(service, term_end(on, term.months))

    def _change(
        self,
        name: str,
        on: date,
        plan: str | None,
        price: Decimal | None,
        quantity: Decimal | None = None,
    ) -> None:
        if quantity is not None:
            self.quantities[name] = quantity
        if price is not None:
            self.prices[name], self.models[name] = price, None
        elif plan is not None:
            told = self.script.catalogue[plan]
            self.prices[name], self.models[name] = told.recurring or Decimal(0), told.pricing
        model = self.models[name]
        self.world.change(
            self.services[name],
            on,
            str(self.prices[name]),
            quantity=str(self.quantities[name]),
            product_id=self.world.product(plan) if plan else None,
            pricing=model.as_json() if model else None,
        )

    def _use(self, event: events.Use, on: date) -> None:
        metered = self.script.catalogue[event.plan or self.plans[event.use]].usage
        assert metered is not None
        period = Cycle.calendar(Interval.MONTH, self.script.calendar.anchor_day).period_of(on)
        assert period.end is not None
        key = (self.services[event.use], event.plan or "", period.start)
        self.used[key] = self.used.get(key, Decimal(0)) + event.units
        each = Fraction(metered.price or 0) / Fraction(metered.per)
        pricing = metered.pricing
        self.world.use(
            self.services[event.use],
            event.plan or self.plans[event.use],
            (period.start, period.end),
            amount=exact_decimal(Fraction(self.used[key]) * each),
            units=PricedUnits(pricing, self.used[key]) if pricing else None,
        )

    def _effective(self, event: events.Change | events.ReRate, on: date) -> date:
        cycle = Cycle.calendar(Interval.MONTH, self.script.calendar.anchor_day)
        return cycle.boundary_from(on) if event.effective == "next_bill_day" else on

    def _pay(self, event: events.Pay, on: date) -> None:
        told = event.invoice
        owner = self.world.one(
            "SELECT number, currency FROM billing_account WHERE id = :id", id=self.payer
        )
        notice = PaymentNotice(
            source="csv",
            reference=event.reference,
            received_on=on,
            amount=event.pay,
            currency=owner.currency,
            invoice_number=self.world.documents()[told - 1]["number"] if told else None,
            account_number=owner.number,
        )
        with self.world.store.transaction() as tx:
            record_payment(tx=tx, notice=notice, now=at(on))


def documents_of(real: RealPlay) -> list[dict[str, Any]]:
    """Return the documents of the store in the words of a comparison."""
    return [
        {
            "type": one["type"],
            "date": one["invoice_on"],
            "due": one["due_on"],
            "period": (one["period_start"], one["period_end"]),
            "subtotal": one["subtotal"],
            "total": one["total"],
            "balance": one["balance"],
            "lines": sorted(
                (
                    line["kind"],
                    line["description"],
                    line["section"],
                    line["service_from"],
                    line["service_to"],
                    line["quantity"],
                    line["unit_price"],
                    line["amount"],
                    line["tax_percent"],
                    line["explanation"]["value"],
                )
                for line in one["lines"]
            ),
        }
        for one in real.world.documents()
    ]


def simulated_documents(played: Played) -> list[dict[str, Any]]:
    """Return the documents of a simulation in the words of a comparison."""
    return [
        {
            "type": one.draft.type,
            "date": one.draft.invoice_on,
            "due": one.draft.due_on,
            "period": (one.draft.period_start, one.draft.period_end),
            "subtotal": one.draft.subtotal,
            "total": one.draft.total,
            "balance": one.balance,
            "lines": sorted(
                (
                    taxed.line.kind,
                    taxed.line.description,
                    taxed.line.charge.site,
                    taxed.line.service_from,
                    taxed.line.service_to,
                    taxed.line.quantity,
                    taxed.line.unit_price,
                    taxed.line.amount,
                    taxed.tax_percent,
                    taxed.line.explanation["value"],
                )
                for taxed in one.draft.lines
            ),
        }
        for one in played.documents
    ]


def _early_termination(plan: Plan) -> dict[str, Any] | None:
    told = plan.early_termination
    return None if told is None else told.model_dump(mode="json", exclude_none=True)


def _texts(values: dict[str, Any]) -> dict[str, Any]:
    return {k: v if isinstance(v, bool | int) else str(v) for k, v in values.items()}
