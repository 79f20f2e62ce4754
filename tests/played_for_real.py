"""Plays a scenario through the real commands, the real bill run and the real store."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml
from billing_world import EPOCH, BillingWorld, at

from connector.billing.payments import PaymentNotice, record_payment
from connector.catalog.pricing.document import Pricing, read_pricing
from connector.charging.charges import PricedUnits
from connector.charging.early_termination import term_end
from connector.inventory.commitment import commitments_of
from connector.kernel.period import Cycle, local_date
from connector.rating.domain import exact_decimal
from connector.simulation import events
from connector.simulation.events import Event
from connector.simulation.play import Played
from connector.simulation.script import Account, Plan, Script
from connector.simulation.world import FIRST_ACCOUNT
from connector.store.engine import Store


@dataclass
class RealPlay:
    """A scenario on the stage of the store."""

    store: Store
    script: Script
    payers: dict[str, int] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)  # of services
    services: dict[str, int] = field(default_factory=dict)
    prices: dict[str, Decimal] = field(default_factory=dict)
    models: dict[str, Pricing | None] = field(default_factory=dict)
    plans: dict[str, str] = field(default_factory=dict)
    used: dict[tuple[int, str, date], Decimal] = field(default_factory=dict)
    quantities: dict[str, Decimal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        calendar = self.script.calendar
        self.world = BillingWorld(self.store)
        for (country, category), percent in _rates(self.script).items():
            self.world.tax(str(percent), country=country, category=category)
        for name, told in (self.script.accounts or {FIRST_ACCOUNT: Account()}).items():
            self.payers[name] = self.world.payer(
                country=told.country or calendar.country,
                currency=told.currency or calendar.currency,
                anchor_day=told.anchor_day or calendar.anchor_day,
                cycle=told.every or calendar.every,
                is_tax_exempt=told.exempt,
                payment_days=told.payment_days,
                name=name,
            )
        for name, plan in self.script.catalogue.items():
            self.world.product(
                name,
                name=plan.name,
                tax_category=plan.tax_category,
                vendor=plan.vendor,
                early_termination=_early_termination(plan),
                commitment=plan.commitment.model_dump() if plan.commitment else None,
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
        every = script.calendar.every
        policies = {
            "default": _texts(script.policy.told()),
            "products": {
                name: _texts({"every": plan.every or every, "when": plan.when} | plan.policy.told())
                for name, plan in script.catalogue.items()
            },
        }
        (folder / "policies" / "proration.yaml").write_text(yaml.safe_dump(policies))

    def run_bills_again(self) -> None:
        """Run every bill of the scenario a second time."""
        for day in sorted(self._bill_days()):
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
        """Let everything happen on the day it is heard of, then make the bills of the day."""
        heard: dict[date, list[Event]] = {}
        for event in self.script.events:
            heard.setdefault(self._day(event.reported or event.at), []).append(event)
        bill_days = self._bill_days()
        for day in sorted(bill_days | set(heard)):
            for event in heard.get(day, ()):
                self._perform(event)
            if day <= self._day(self.script.until):
                for payer in self.payers.values() if day in heard else ():
                    self.world.bill_order(payer, day)
            if day in bill_days:
                assert self.world.bill(day).problems == ()

    def unapplied(self) -> Decimal:
        row = self.world.one("SELECT coalesce(sum(unapplied), 0) FROM v_payment_unapplied")
        return Decimal(row[0])

    def account_of(self, billing_account_id: int) -> str:
        return next(name for name, own in self.payers.items() if own == billing_account_id)

    def _bill_days(self) -> set[date]:
        first = min(self._day(event.reported or event.at) for event in self.script.events)
        days = set()
        for cycle in map(self._cycle, self.payers):
            day = cycle.boundary_from(first)
            while day <= self._day(self.script.until):
                days.add(day)
                end = cycle.period_of(day).end
                assert end is not None
                day = end
        return days

    def _cycle(self, account: str) -> Cycle:
        told, calendar = self.script.accounts.get(account, Account()), self.script.calendar
        return Cycle.calendar(told.every or calendar.every, told.anchor_day or calendar.anchor_day)

    def _service(self, name: str) -> int:
        """Return a service; one that only starts later was ordered before, so it is known."""
        if name not in self.services:
            (start,) = (
                event
                for event in self.script.events
                if isinstance(event, events.Start) and event.start == name
            )
            self._perform(start)
        return self.services[name]

    def _payer(self, account: str | None) -> int:
        return self.payers[account] if account else next(iter(self.payers.values()))

    def _day(self, moment: date | datetime) -> date:
        if isinstance(moment, datetime):
            return local_date(moment, self.script.calendar.timezone)
        return moment

    def _perform(self, event: Event) -> None:
        on = self._day(event.at)
        world = self.world
        match event:
            case events.Start():
                self._start(event.start, event, on, event.account)
            case events.Change():
                day = self._effective(event.change, event, on)
                if event.quantity is not None:
                    self._check_commitment(event.change, day, event.quantity)
                self._change(event.change, day, event.plan, event.price, event.quantity)
            case events.ReRate():
                day = self._effective(event.re_rate, event, on)
                self._change(event.re_rate, day, None, event.price)
            case events.Replace():
                self._start(event.by, event, on, self.owners[event.replace])
                world.cancel(self._service(event.replace), on, is_fee_waived=True)
            case events.Cancel():
                self._check_commitment(event.cancel, on, Decimal(0))
                waived = event.early_termination == "waived"
                world.cancel(self._service(event.cancel), on, is_fee_waived=waived)
            case events.ReTerm():
                if event.price is not None:
                    self._change(event.re_term, on, None, event.price)
                world.term(self._service(event.re_term), on, event.months)
            case events.Renew():
                world.renew(self._service(event.renew), on, event.months)
                if event.price is not None:
                    self._change(event.renew, on, None, event.price)
            case events.Add():
                self._add(event, on)
            case events.Remove():
                world.remove(self._service(event.remove), event.part, on)
            case events.Move():
                service = self._service(event.move)
                world.move(service, on, event.site, event.country)
                if event.fee:
                    self._sell(event.fee, self.owners[event.move], on, service=service)
            case events.Suspend():
                world.suspend(self._service(event.suspend), on)
            case events.Resume():
                world.resume(self._service(event.resume), on)
            case events.Transfer():
                world.transfer(self._service(event.transfer), on, self._payer(event.to))
                self.owners[event.transfer] = event.to
            case events.Sell():
                owner = self.owners[event.service] if event.service else None
                self._sell(
                    event.sell,
                    event.account or owner,
                    on,
                    price=event.price,
                    quantity=event.quantity,
                    service=self._service(event.service) if event.service else None,
                )
            case events.Return():
                payer, product = self._payer(event.account), world.product(event.return_)
                world.give_back(payer, product, on, quantity=str(event.quantity))
            case events.Use():
                self._use(event, on)
            case events.Draft():
                world.bill(self._day(event.draft), keep_drafts=True)
            case events.Pay():
                self._pay(event, on)
            case _:
                raise AssertionError(f"nobody plays {event}")

    def _check_commitment(self, name: str, on: date, quantity: Decimal) -> None:
        """Refuse what a won deal is refused for; the commands behind it do not ask again."""
        service = self._service(name)
        with self.store.transaction() as tx:
            found = commitments_of(tx=tx, ids=[service]).get(service)
        if found is not None:
            found.check(service=name, on=on, quantity=quantity)

    def _sell(
        self,
        plan: str,
        account: str | None,
        on: date,
        *,
        price: Decimal | None = None,
        quantity: Decimal = Decimal(1),
        service: int | None = None,
    ) -> None:
        price = self.script.catalogue[plan].once if price is None else price
        self.world.sell(
            self._payer(account),
            self.world.product(plan),
            str(price),
            on,
            quantity=str(quantity),
            service=service,
        )

    def _add(self, event: events.Add, on: date) -> None:
        plan = self.script.catalogue[event.plan]
        offers = self._offers(event.add, event.plan, event.discounts)
        price = (plan.recurring if event.price is None else event.price) or Decimal(0)
        model = _model(plan, event.price)
        self.world.add(
            self._service(event.add),
            event.as_ or event.plan,
            self.world.product(event.plan),
            on,
            str(price),
            quantity=str(event.quantity),
            pricing=model.as_json() if model else None,
        )
        for offer in offers:
            self.world.withdraw(offer)

    def _offers(self, name: str, plan: str, discounts: Sequence[events.DiscountTerms]) -> list[int]:
        return [
            self.world.offer(
                f"{name}-{plan}-{number}",
                products=[plan],
                percent=terms.percent,
                amount=terms.amount,
                currency=self.script.calendar.currency,
                cycles=terms.cycles,
                valid_from=self._day(terms.from_) if terms.from_ else EPOCH,
                valid_to=self._day(terms.to) if terms.to else None,
            )
            for number, terms in enumerate(discounts)
        ]

    def _start(
        self, name: str, event: events.Start | events.Replace, on: date, account: str | None
    ) -> None:
        if name in self.services:
            return  # it was asked for before its day
        plan = self.script.catalogue[event.plan]
        model = _model(plan, event.price)
        price = (plan.recurring if event.price is None else event.price) or Decimal(0)
        self.owners[name] = account or next(iter(self.payers))
        service = self.world.service(
            self._payer(account),
            self.world.product(event.plan),
            str(price),
            quantity=str(event.quantity),
            site=getattr(event, "site", ""),
            country=getattr(event, "country", ""),
            pricing=model.as_json() if model else None,
        )
        self.services[name] = service
        self.prices[name], self.quantities[name] = price, event.quantity
        self.models[name], self.plans[name] = model, event.plan
        offers = self._offers(name, event.plan, getattr(event, "discounts", ()))
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
        service = self._service(name)
        told = self.script.catalogue[plan or self.plans[name]]
        if price is not None:
            self.prices[name], self.models[name] = price, _model(told, price)
        elif plan is not None:
            self.prices[name], self.models[name] = told.recurring or Decimal(0), _model(told, None)
        if plan is not None:
            self.plans[name] = plan
        model = self.models[name]
        self.world.change(
            service,
            on,
            str(self.prices[name]),
            quantity=str(self.quantities[name]),
            product_id=self.world.product(plan) if plan else None,
            pricing=model.as_json() if model else None,
        )

    def _use(self, event: events.Use, on: date) -> None:
        metered = self.script.catalogue[event.plan or self.plans[event.use]].usage
        assert metered is not None
        period = self._cycle(self.owners[event.use]).period_of(on)
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

    def _effective(self, name: str, event: events.Change | events.ReRate, on: date) -> date:
        self._service(name)
        cycle = self._cycle(self.owners[name])
        return cycle.boundary_from(on) if event.effective == "next_bill_day" else on

    def _pay(self, event: events.Pay, on: date) -> None:
        told = event.invoice
        owner = self.world.one(
            "SELECT number, currency FROM billing_account WHERE id = :id",
            id=self._payer(event.account),
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
            "account": real.account_of(one["billing_account_id"]),
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
            "account": one.account,
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


def _model(plan: Plan, price: Decimal | None) -> Pricing | None:
    """Return how a plan is priced, when not by so much a unit; a minimum is part of a model."""
    if price is None and plan.pricing is not None:
        return plan.pricing
    if not plan.minimum:
        return None
    each = plan.recurring if price is None else price
    return read_pricing(
        {"model": "per_unit", "unit_price": str(each), "minimum": str(plan.minimum)}
    )


def _rates(script: Script) -> dict[tuple[str, str], Decimal]:
    """Return the tax rates of a scenario by country and category."""
    countries = {script.calendar.country, *(one.country for one in script.accounts.values())}
    countries |= {getattr(event, "country", "") for event in script.events}
    rates = {}
    for country in filter(None, countries):
        told = script.tax if isinstance(script.tax, Decimal) else script.tax.get(country)
        for category in {plan.tax_category for plan in script.catalogue.values()}:
            rate = told.get(category) if isinstance(told, dict) else told
            if rate is not None:
                rates[country, category] = rate
    return rates
