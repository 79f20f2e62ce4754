"""What a bill is made from and what comes out: values, no store and no clock."""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from connector.catalog.pricing.document import Pricing
from connector.charging.policy import ProrationPolicy
from connector.charging.value import Discount, Price
from connector.kernel.period import Cycle, Interval

# Reasons of credit notes over what was rightly billed: the charge is worth it all the same.
FOR_GOOD = frozenset({"Goodwill", "SLA"})


@dataclass(frozen=True, slots=True)
class Payer:
    """Who is invoiced, by whom, and in which calendar."""

    billing_account_id: int
    number: str
    brand_id: int
    invoice_prefix: str
    currency: str
    anchor_day: int
    payment_terms_days: int
    country: str | None
    is_tax_exempt: bool
    every: Interval = Interval.MONTH
    customer_kind: str = "business"  # or person: rates may differ
    postal_code: str = ""
    city: str = ""
    street: str = ""
    invoice_sections: str = "site"  # or vendor, service: what lines are grouped by

    @property
    def cycle(self) -> Cycle:
        """The billing periods; a bill day is the day on which one begins."""
        return Cycle.calendar(self.every, self.anchor_day)


@dataclass(frozen=True, slots=True)
class BilledUsage:
    """The summary a usage charge comes from."""

    summary_id: int
    usage_class: str
    units: Decimal
    included_units: Decimal
    unit: str
    records: int
    rating_run_id: int


@dataclass(frozen=True, slots=True)
class BillableCharge:
    """A charge and what its lines say about it."""

    id: int
    kind: str  # recurring, one_time, usage
    service_id: int | None
    service_number: str
    site: str
    vendor: str
    product_id: int
    product_key: str
    order_line_id: int | None
    description: str
    quantity: Decimal
    unit_price: Decimal
    unit_cost: Decimal
    discount_percent: Decimal
    currency: str
    starts_on: date
    ends_on: date | None
    tax_category: str
    accounting_code: str
    policy: ProrationPolicy
    usage: BilledUsage | None = None
    discounts: tuple[Discount, ...] = ()
    minimum: Decimal = Decimal(0)
    tax_country: str = ""  # where it is supplied, when that is not the payer's country
    customer: str = ""  # of the reseller that pays for it
    pricing: Pricing | None = None  # how the quantity is priced, when not by its unit price

    @property
    def price(self) -> Price:
        """What a whole period, or the whole of what does not recur, costs."""
        return Price(
            self.quantity,
            self.unit_price,
            self.discount_percent,
            self.discounts,
            self.minimum,
            self.pricing,
        )


@dataclass(frozen=True, slots=True)
class TaxShare:
    """A line's share of one of its several taxes; a fixed amount has no percentage."""

    name: str
    percent: Decimal
    tax: Decimal


@dataclass(frozen=True, slots=True)
class BookedLine:
    """A line of a finalised invoice; what is left of it and of its tax after the credits so far.

    What was given back for good (`FOR_GOOD`) is not left, but stays booked: nobody bills it anew.
    """

    line_id: int
    charge_id: int
    invoice_id: int
    invoice_number: str
    line_no: int
    service_from: date
    service_to: date
    tax_category: str
    tax_percent: Decimal
    left: Decimal  # with the tax, where the price contains it
    tax_left: Decimal
    tax_treatment: str = "exclusive"
    given_for_good: Decimal = Decimal(0)  # above zero; with the tax, where the price contains it
    taxes: tuple[TaxShare, ...] = ()  # where there are several: what is left of each

    @property
    def booked(self) -> Decimal:
        """What counts as billed."""
        return self.left + self.given_for_good


@dataclass(frozen=True, slots=True)
class LineDraft:
    """A line before its tax is known; a credit names the line it gives back."""

    charge: BillableCharge
    kind: str
    description: str
    quantity: Decimal
    unit: str
    unit_price: Decimal
    amount: Decimal
    cost: Decimal
    service_from: date
    service_to: date
    explanation: dict[str, Any]
    credits: BookedLine | None = None
    is_cancellation: bool = False
    is_first: bool = True  # nothing of its charge and period was booked before


@dataclass(frozen=True, slots=True)
class TaxedLine:
    """A line with its place on the document and its share of the tax."""

    line_no: int
    line: LineDraft
    section: str
    tax_category: str
    tax_percent: Decimal
    tax_amount: Decimal
    tax_treatment: str = "exclusive"
    taxes: tuple[TaxShare, ...] = ()  # where there are several


@dataclass(frozen=True, slots=True)
class TaxTotal:
    """The tax of one category and rate, or one of several by its name."""

    category: str
    percent: Decimal
    basis: Decimal
    tax: Decimal
    treatment: str = "exclusive"
    name: str = ""


LineMark = tuple[int | None, Decimal, Decimal, date, date]  # charge, amount, tax, from, to
Fingerprint = tuple[str, tuple[LineMark, ...]]


@dataclass(frozen=True, slots=True)
class DocumentDraft:
    """An invoice or credit note that is not numbered yet."""

    payer: Payer
    type: str  # Invoice, Credit Note
    run_key: str
    invoice_on: date
    due_on: date
    period_start: date
    period_end: date
    lines: tuple[TaxedLine, ...]
    taxes: tuple[TaxTotal, ...]
    corrects_invoice_id: int | None = None
    corrects_number: str | None = None
    reason: str | None = None
    subtotal: Decimal = field(init=False)
    tax: Decimal = field(init=False)
    total: Decimal = field(init=False)

    @property
    def fingerprint(self) -> Fingerprint:
        """What two drafts have in common that are worth the same, line by line."""
        marks = (
            (one.line.charge.id, one.line.amount, one.tax_amount, one.line.service_from,
             one.line.service_to)
            for one in self.lines
        )  # fmt: skip
        return self.type, tuple(marks)

    def __post_init__(self) -> None:
        zero = Decimal(0)
        subtotal = sum((line.line.amount for line in self.lines), zero)
        tax = sum((tax.tax for tax in self.taxes), zero)
        object.__setattr__(self, "subtotal", subtotal)
        object.__setattr__(self, "tax", tax)
        object.__setattr__(self, "total", subtotal + tax)
