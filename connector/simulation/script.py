"""The grammar of a scenario but for its events: calendar, policy, catalogue, accounts, checks."""

from decimal import Decimal
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, field_validator, model_validator

from connector.charging.policy import (
    Alignment,
    Basis,
    Credit,
    IntervalChange,
    Partials,
    Suspended,
    Timing,
)
from connector.kernel.money import Rounding
from connector.kernel.period import Cycle, Interval
from connector.simulation.events import AnyEvent
from connector.simulation.words import (
    Amount,
    Currency,
    Day,
    Exact,
    Name,
    Part,
    Percent,
    PriceModel,
)

EVENTS_MAX = 2_000
ENTRIES_MAX = 500


class Calendar(Part):
    """Which currency, which days, which bill days."""

    currency: Currency
    timezone: str = "Europe/Berlin"
    anchor_day: Annotated[int, Field(ge=1, le=31)] = 1
    """The day of the month on which periods begin; a weekday (Monday is 1) when they are weeks."""
    every: Interval = Interval.MONTH
    country: str = "DE"

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"'{name}' is no time zone such as Europe/Berlin") from None
        return name

    @model_validator(mode="after")
    def _weekday(self) -> Self:
        if self.every is Interval.WEEK and self.anchor_day > 7:
            raise ValueError("a week begins on a weekday, 1 (Monday) to 7")
        return self

    @property
    def cycle(self) -> Cycle:
        """The billing periods of whoever has no days of its own."""
        return Cycle.calendar(self.every, self.anchor_day)


class Policy(Part):
    """The conventions; what is left out is the documented default."""

    basis: Basis | None = None
    bill_first_day: bool | None = None
    bill_last_day: bool | None = None
    credit_on_decrease: Credit | None = None
    credit_on_cancel: Credit | None = None
    min_charge_days: Annotated[int | None, Field(ge=0)] = None
    align: Alignment | None = None
    on_interval_change: IntervalChange | None = None
    invoice_partials_on: Partials | None = None
    while_suspended: Suspended | None = None
    rounding: Rounding | None = None

    def told(self) -> dict[str, Any]:
        """Return what it says."""
        return self.model_dump(exclude_none=True)


class EtlBand(Part):
    """From a month of the term on, the percentage of each remaining month."""

    from_month: int = Field(ge=1)
    percent: Percent


class Etl(Part):
    """What leaving early costs."""

    bands: tuple[EtlBand, ...] = Field(min_length=1, max_length=ENTRIES_MAX)
    flat: Amount = Decimal(0)
    cap: Amount | None = None


class Window(Part):
    """How many days after their order seats may be given up inside a term; then they stay."""

    window_days: int = Field(ge=1)


class Metered(Part):
    """A price for usage: so much for so many units, or a model for all units of a period."""

    price: Amount | None = None
    per: Annotated[Exact, Field(gt=0)] = Decimal(1)
    unit: str = ""
    pricing: PriceModel | None = None
    """Prices the units of a billing period together, by tiers for instance."""

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        if (self.price is None) == (self.pricing is None):
            raise ValueError("usage has either a price or a price model")
        return self


class Plan(Part):
    """What can be sold: by the period, once, by use, or as a bundle of other plans."""

    name: str = ""
    recurring: Amount | None = None
    pricing: PriceModel | None = None
    """A recurring price by a model, in place of so much for each unit."""
    once: Amount | None = None
    usage: Metered | None = None
    parts: Annotated[dict[Name, Amount] | None, Field(max_length=ENTRIES_MAX)] = None
    """Makes it a bundle: the plans in it and their weights; `recurring` is the price of all."""
    when: Timing = Timing.ADVANCE
    every: Interval | None = None
    """How long a period of it is; that of the calendar when left out."""
    minimum: Amount = Decimal(0)
    """What a period costs at least, after discounts; a part of a period costs its share."""
    currency: Currency | None = None
    """Of its prices; that of the calendar when left out."""
    vendor: str = ""
    tax_category: str = "standard"
    policy: Policy = Policy()
    early_termination: Etl | None = None
    commitment: Window | None = None

    @property
    def recurs(self) -> bool:
        """Whether it is sold by the period."""
        return self.recurring is not None or self.pricing is not None

    @model_validator(mode="after")
    def _has_a_price(self) -> Self:
        if not self.recurs and self.once is None and self.usage is None:
            raise ValueError("a plan needs a price: recurring, once or usage")
        if self.recurring is not None and self.pricing is not None:
            raise ValueError("a plan has either a recurring price or a price model")
        if self.parts is not None and (self.recurring is None or not self.parts):
            raise ValueError("a bundle needs a recurring price and at least one part")
        return self


class Account(Part):
    """A payer; what is left out is that of the calendar."""

    currency: Currency | None = None
    anchor_day: Annotated[int | None, Field(ge=1, le=31)] = None
    every: Interval | None = None
    country: str | None = None
    exempt: bool = False
    payment_days: Annotated[int, Field(ge=0, le=365)] = 14
    policy: Policy = Policy()


class VendorRule(Part):
    """Less on every service of a vendor for whoever has several when a period begins."""

    vendor: Name
    min_services: int = Field(ge=1)
    percent: Percent


class LineCheck(Part):
    """A line that has to be there; only what is said is compared."""

    account: str | None = None
    kind: str | None = None
    service: str | None = None
    site: str | None = None
    text: str | None = None
    from_: Annotated[Day | None, Field(alias="from")] = None
    to: Day | None = None
    quantity: Exact | None = None
    unit_price: Exact | None = None
    amount: Exact | None = None
    tax: Exact | None = None


class InvoiceCheck(Part):
    """A document in its place; amounts as lines mean all of them, in any order."""

    account: str | None = None
    type: Literal["Invoice", "Credit Note"] | None = None
    date: Day | None = None
    period_start: Day | None = None
    period_end: Day | None = None
    corrects: str | None = None
    lines: tuple[Exact, ...] | tuple[LineCheck, ...] | None = None
    subtotal: Exact | None = None
    tax: Exact | None = None
    total: Exact | None = None
    balance: Exact | None = None


class Then(Part):
    """What has to come out."""

    invoices: tuple[InvoiceCheck, ...] | None = None
    """Every document, in order."""
    drafts: tuple[InvoiceCheck, ...] | None = None
    lines: tuple[LineCheck, ...] | None = None
    """Lines that have to be on some document."""
    totals: dict[Annotated[str, BeforeValidator(str)], Exact] | None = None
    """The sum of the totals, by day of the documents or by account; `all` is everything."""
    balances: tuple[Exact, ...] | None = None
    unapplied: Exact | None = None
    refused: str | None = None
    """The code of the error in which the scenario has to end."""


def plain_price(plan: Any) -> Any:
    """Return a plan that was written as nothing but its recurring price."""
    return {"recurring": plan} if isinstance(plan, str | int | Decimal) else plan


Rates = dict[str, Percent] | dict[str, dict[str, Percent]]


class Script(Part):
    """A scenario: the life of customers, from the first event to the last bill day."""

    about: str = ""
    calendar: Calendar
    policy: Policy = Policy()
    tax: Percent | Rates = Decimal(0)
    """The percentage; or by country; or by country and category. Nobody named owes none."""
    catalogue: dict[Name, Annotated[Plan, BeforeValidator(plain_price)]] = Field(
        max_length=ENTRIES_MAX
    )
    accounts: dict[Name, Account] = Field(default_factory=dict, max_length=ENTRIES_MAX)
    """The payers; a service that names none belongs to the first. One, `customer`, if left out."""
    rules: Annotated[tuple[VendorRule, ...], Field(max_length=ENTRIES_MAX)] = ()
    events: tuple[AnyEvent, ...] = Field(max_length=EVENTS_MAX)
    until: Day
    """The last day on which bills are made."""
    then: Then | None = None

    @field_validator("catalogue")
    @classmethod
    def _bundles_hold_plans(cls, catalogue: dict[str, Plan]) -> dict[str, Plan]:
        for name, plan in catalogue.items():
            for part in plan.parts or {}:
                inner = catalogue.get(part)
                if inner is None:
                    raise ValueError(f"the bundle '{name}' has a part '{part}' nobody defined")
                if inner.parts is not None:
                    raise ValueError(f"the bundle '{name}' holds a bundle, '{part}'")
        return catalogue
