"""What the CRM says about a won deal: one opportunity with everything that hangs on it."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class DealAccount:
    """The customer of a deal, as the CRM has it."""

    sfid: str
    name: str
    is_person: bool
    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    street: str | None
    city: str | None
    postal_code: str | None
    country: str | None
    currency: str | None
    parent_sfid: str | None
    reseller_sfid: str | None
    brand_key: str | None
    is_tax_exempt: bool
    cycle: str | None = None  # how often it is to be billed, for a new billing account


@dataclass(frozen=True, slots=True)
class DealLocation:
    """A location record that a line points at."""

    sfid: str
    hub_key: str | None
    name: str
    street: str
    city: str
    postal_code: str
    country: str


@dataclass(frozen=True, slots=True)
class DealLine:
    """One line of the quote that counts, or of the opportunity; amounts as the rep left them."""

    sfid: str
    product_key: str | None
    product_name: str
    request_type: str | None
    quantity: Decimal
    unit_price: Decimal | None
    discount_percent: Decimal
    new_mrr: Decimal | None
    term_months: int
    renewal_type: str | None
    requested_on: date | None
    has_target_service: bool
    target_service_key: str | None
    location: DealLocation | None
    location_text: str | None
    description: str
    add_ons_added: str | None = None
    add_ons_changed: str | None = None
    add_ons_removed: str | None = None


@dataclass(frozen=True, slots=True)
class OpportunityTree:
    """A deal as it stood at the instant it was read; lines in the order the customer saw."""

    sfid: str
    name: str
    is_won: bool
    stage: str
    quote_sfid: str | None
    po_number: str | None
    requested_on: date | None
    account: DealAccount | None
    lines: tuple[DealLine, ...]
