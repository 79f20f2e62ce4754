"""The world of a scenario: payers with their charges and booked lines, and services."""

from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal

from connector.billing.allocate import OpenInvoice, Source, plan_applications
from connector.billing.draft import BillableCharge, BookedLine, DocumentDraft, Payer
from connector.billing.lines import ForeignChargeCurrency
from connector.billing.tax import TaxRate, TaxTable
from connector.charging.policy import ProrationPolicy
from connector.charging.segments import BeforeBillingStart, Cut
from connector.charging.succession import Pause, Standing
from connector.errors import InvalidInput, StateConflict
from connector.simulation.script import Account, Plan, Script

FIRST_ACCOUNT = "customer"
_ALWAYS = date(1900, 1, 1)


class UnknownName(InvalidInput):
    """A scenario names a plan, an account, a service or a part that it has not."""

    code = "simulation.unknown_name"
    remedy = "Check the spelling, or define it first."


class NotThatKindOfPlan(InvalidInput):
    """A plan is used in a way it has no price for."""

    code = "simulation.no_such_price"
    remedy = "Give the plan that price, or use another verb."


class NotNow(StateConflict):
    """What a scenario wants does not fit the state of the service or the account."""

    code = "simulation.not_now"


@dataclass(slots=True)
class Document:
    """A document of the simulation, with what is left to pay."""

    number: str
    account: str
    draft: DocumentDraft
    balance: Decimal


@dataclass(slots=True)
class Payment:
    """Money that came in, and what is left of it."""

    position: int
    on: date
    unapplied: Decimal
    told: int | None


@dataclass(slots=True)
class Ledger:
    """A payer with everything its bills are made from."""

    name: str
    payer: Payer
    policy: dict[str, object]
    charges: dict[int, BillableCharge] = field(default_factory=dict)
    booked: list[BookedLine] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    is_touched: bool = False


@dataclass(slots=True)
class Component:
    """A part of a service that recurs: the chain of its charges, oldest first."""

    name: str
    plan: str
    charges: list[int] = field(default_factory=list)
    paused_on: date | None = None
    pauses: tuple[Pause, ...] = ()


@dataclass(slots=True)
class Service:
    """A service of the simulation."""

    id: int
    name: str
    plan: str
    account: str
    site: str
    country: str
    components: dict[str, Component] = field(default_factory=dict)
    term_from: date | None = None
    term_months: int = 0
    is_ended: bool = False


class World:
    """Everything that is in a scenario at one moment."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.ledgers: dict[str, Ledger] = {}
        self.services: dict[str, Service] = {}
        self.owners: dict[int, str] = {}  # charge: account
        self.used: dict[int, Decimal] = {}  # charge of usage: its units
        self.documents: list[Document] = []
        self.taxes = _tax_table(script)
        for name, told in (script.accounts or {FIRST_ACCOUNT: Account()}).items():
            self.ledgers[name] = self._ledger(len(self.ledgers) + 1, name, told)

    def _ledger(self, number: int, name: str, told: Account) -> Ledger:
        calendar = self.script.calendar
        payer = Payer(
            billing_account_id=number,
            number=name,
            brand_id=1,
            invoice_prefix="SIM",
            currency=told.currency or calendar.currency,
            anchor_day=told.anchor_day or calendar.anchor_day,
            payment_terms_days=told.payment_days,
            country=told.country or calendar.country,
            is_tax_exempt=told.exempt,
            every=told.every or calendar.every,
        )
        _ = payer.cycle  # an anchor that is no weekday is refused here, not at the first bill
        return Ledger(name, payer, told.policy.told())

    def plan(self, name: str) -> Plan:
        """Return a plan.

        Raises:
            UnknownName: There is none.
        """
        if name not in self.script.catalogue:
            raise UnknownName(f"There is no plan '{name}' in the catalogue.")
        return self.script.catalogue[name]

    def ledger(self, name: str | None) -> Ledger:
        """Return an account, the first one when none is named.

        Raises:
            UnknownName: There is none of this name.
        """
        if name is None:
            return next(iter(self.ledgers.values()))
        if name not in self.ledgers:
            raise UnknownName(f"There is no account '{name}'.")
        return self.ledgers[name]

    def service(self, name: str) -> Service:
        """Return a service that was started.

        Raises:
            BeforeBillingStart: It is only started later.
            UnknownName: There is none of this name.
        """
        if name not in self.services:
            for event in self.script.events:
                if getattr(event, "start", getattr(event, "by", None)) == name:
                    raise BeforeBillingStart(f"'{name}' begins on {event.at}; not before.")
            raise UnknownName(f"There is no service '{name}': nothing started it before.")
        return self.services[name]

    def policy(self, plan_name: str, ledger: Ledger) -> ProrationPolicy:
        """Return the policy of a plan for an account: account, plan, default."""
        plan = self.plan(plan_name)
        every = plan.every or self.script.calendar.every
        values = self.script.policy.told() | plan.policy.told() | ledger.policy
        return ProrationPolicy.from_json({"every": every, "when": plan.when} | values)

    def charge(self, charge_id: int) -> BillableCharge:
        """Return a charge as it stands."""
        return self.ledgers[self.owners[charge_id]].charges[charge_id]

    def open_charge(self, ledger: Ledger, charge: BillableCharge) -> int:
        """Enter a charge under the next number; return it."""
        number = len(self.owners) + 1
        ledger.charges[number] = replace(charge, id=number, order_line_id=number)
        ledger.is_touched = True
        self.owners[number] = ledger.name
        return number

    def cut(self, cuts: tuple[Cut, ...]) -> None:
        """Give charges their new ends."""
        for one in cuts:
            ledger = self.ledgers[self.owners[one.charge_id]]
            ledger.charges[one.charge_id] = replace(
                ledger.charges[one.charge_id], ends_on=one.ends_on
            )
            ledger.is_touched = True

    def standing(self, component: Component) -> tuple[Standing, ...]:
        """Return the charges of a part as they stand, oldest days first."""
        charges = sorted(map(self.charge, component.charges), key=lambda c: (c.starts_on, c.id))
        return tuple(
            Standing(c.id, c.starts_on, c.ends_on, c.price.per_period, c.policy) for c in charges
        )

    def book(self, ledger: Ledger, drafts: tuple[DocumentDraft, ...]) -> None:
        """Number documents and book their lines, as finalising does."""
        for draft in drafts:
            number = f"SIM-{len(self.documents) + 1}"
            self.documents.append(Document(number, ledger.name, draft, draft.total))
            for taxed in draft.lines:
                line = taxed.line
                if line.credits is not None:
                    given = line.credits.line_id
                    ledger.booked[given] = replace(
                        ledger.booked[given],
                        left=ledger.booked[given].left + line.amount,
                        tax_left=ledger.booked[given].tax_left + taxed.tax_amount,
                    )
                    continue
                ledger.booked.append(
                    BookedLine(
                        line_id=len(ledger.booked),
                        charge_id=line.charge.id,
                        invoice_id=len(self.documents),
                        invoice_number=number,
                        line_no=taxed.line_no,
                        service_from=line.service_from,
                        service_to=line.service_to,
                        tax_category=taxed.tax_category,
                        tax_percent=taxed.tax_percent,
                        left=line.amount,
                        tax_left=taxed.tax_amount,
                    )
                )
        ledger.is_touched = False
        self.allocate(ledger)

    def allocate(self, ledger: Ledger) -> None:
        """Set money and credit notes against open invoices, as the bill run does."""
        own = [
            (i, one) for i, one in enumerate(self.documents, start=1) if one.account == ledger.name
        ]
        invoices = [
            OpenInvoice(i, one.draft.due_on, one.balance)
            for i, one in own
            if one.draft.type == "Invoice" and one.balance
        ]
        sources = [
            Source(i, True, one.draft.invoice_on, -one.balance, one.draft.corrects_invoice_id)
            for i, one in own
            if one.draft.type == "Credit Note" and one.balance
        ]
        sources += [
            Source(payment.position, False, payment.on, payment.unapplied, payment.told)
            for payment in ledger.payments
            if payment.unapplied
        ]
        for one in plan_applications(invoices, sources):
            self.documents[one.invoice_id - 1].balance -= one.amount
            if one.source.is_credit:
                self.documents[one.source.id - 1].balance += one.amount
            else:
                ledger.payments[one.source.id].unapplied -= one.amount

    def blank_charge(self, ledger: Ledger, service: Service | None, plan: str) -> BillableCharge:
        """Return a charge of a plan that still needs kind, days and price.

        Raises:
            ForeignChargeCurrency: Its price is in another currency than the account's.
        """
        told = self.plan(plan)
        currency = told.currency or self.script.calendar.currency
        if currency != ledger.payer.currency:
            raise ForeignChargeCurrency(
                f"The price of '{plan}' is in {currency}, account '{ledger.name}' in "
                f"{ledger.payer.currency}.",
                remedy="Give the plan the account's currency, or the account that of the plan.",
            )
        return BillableCharge(
            id=0,
            kind="recurring",
            service_id=service.id if service else None,
            service_number=service.name if service else "",
            site=service.site if service else "",
            vendor=told.vendor,
            product_id=0,
            product_key=plan,
            order_line_id=None,
            description=told.name or plan,
            quantity=Decimal(1),
            unit_price=Decimal(0),
            unit_cost=Decimal(0),
            discount_percent=Decimal(0),
            currency=currency,
            starts_on=_ALWAYS,
            ends_on=None,
            tax_category=told.tax_category,
            accounting_code="",
            policy=self.policy(plan, ledger),
            minimum=told.minimum,
            tax_country=service.country if service else "",
        )


def _tax_table(script: Script) -> TaxTable:
    """Return the rates of a scenario; a plain percentage is that of every country named in it."""
    tax = script.tax
    categories = {plan.tax_category for plan in script.catalogue.values()}
    countries = {script.calendar.country}
    countries |= {one.country for one in script.accounts.values() if one.country}
    countries |= {c for event in script.events if (c := getattr(event, "country", ""))}
    rates: dict[tuple[str, str], Decimal] = {}
    for country in countries:
        told = tax if isinstance(tax, Decimal) else tax.get(country)
        for category in categories:
            if isinstance(told, Decimal):
                rates[country, category] = told
            elif told is not None and category in told:
                rates[country, category] = told[category]
    return TaxTable(
        TaxRate(country, category, percent, _ALWAYS, None)
        for (country, category), percent in rates.items()
    )
