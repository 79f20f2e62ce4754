"""What catalogue files state, as values: drafts of what the hub will hold."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from connector.catalog.deck_files import RateDraft
from connector.catalog.domain import BlockPrice, Brand
from connector.catalog.pricing.document import Pricing


@dataclass(frozen=True, slots=True)
class PriceDraft:
    """A price as a file states it; `line` is where."""

    request_type: str
    term_months: int
    currency: str
    mr_price: Decimal
    nr_price: Decimal
    mr_cost: Decimal
    nr_cost: Decimal
    renewal_type: str
    work_order_template: str | None
    valid_from: date
    valid_to: date | None
    line: int
    pricing: Pricing | None = None
    nr_pricing: Pricing | None = None
    cost_currency: str | None = None  # of a model whose cost is still to be converted


@dataclass(frozen=True, slots=True)
class PartDraft:
    """A product in a bundle and its weight, what it costs by itself."""

    product: str
    weight: Decimal
    line: int


@dataclass(frozen=True, slots=True)
class ProductDraft:
    """A product as a file states it."""

    key: str
    brand: str
    name: str
    display_name: str
    kind: str
    vendor: str
    service_class: str | None
    is_location_based: bool
    change_policy: str
    tax_category: str
    accounting_code: str
    rate_plan_key: str | None
    prices: tuple[PriceDraft, ...]
    path: Path
    line: int
    bundle: tuple[PartDraft, ...] = ()
    early_termination: dict[str, Any] | None = None
    commitment: dict[str, Any] | None = None
    upgrades_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeckDraft:
    """A version of a rate deck."""

    key: str
    currency: str
    valid_from: date
    rates: tuple[RateDraft, ...]
    sha256: str
    path: Path
    line: int


@dataclass(frozen=True, slots=True)
class MeterDraft:
    """The price of a cloud meter's unit from a day on."""

    meter: str
    usage_class: str
    unit: str
    price: BlockPrice
    valid_from: date
    line: int


@dataclass(frozen=True, slots=True)
class AllowanceDraft:
    """What a calendar month includes of a class from a day on: seconds, or whole units."""

    usage_class: str
    included: int
    valid_from: date
    line: int


@dataclass(frozen=True, slots=True)
class ClassPriceDraft:
    """The price of all units of a class in a month from a day on."""

    usage_class: str
    pricing: Pricing
    valid_from: date
    line: int
    cost_currency: str | None = None


@dataclass(frozen=True, slots=True)
class PlanDraft:
    """How usage of a product's services is priced."""

    key: str
    name: str
    currency: str
    deck_key: str | None
    meters: tuple[MeterDraft, ...]
    allowances: tuple[AllowanceDraft, ...]
    path: Path
    line: int
    class_prices: tuple[ClassPriceDraft, ...] = ()


@dataclass(frozen=True, slots=True)
class TaxDraft:
    """A tax rate from a day on."""

    country: str
    category: str
    percent: Decimal
    valid_from: date
    note: str
    path: Path
    line: int
    customer: str = "any"
    treatment: str = "exclusive"


@dataclass(frozen=True, slots=True)
class DiscountDraft:
    """Less, or another price, for some customers, products and days."""

    key: str
    name: str
    percent: Decimal | None
    amount: Decimal | None
    price: Decimal | None
    markup: Decimal | None
    currency: str | None
    vendor: str | None
    products: tuple[str, ...]
    customers: tuple[str, ...]
    brands: tuple[str, ...]
    new_customers_only: bool
    cycles: int | None
    valid_from: date
    valid_to: date | None
    path: Path
    line: int


@dataclass(frozen=True, slots=True)
class VendorRuleDraft:
    """A percentage off a vendor's services for whoever has several of them."""

    vendor: str
    min_services: int
    percent: Decimal
    valid_from: date
    path: Path
    line: int


@dataclass(frozen=True, slots=True)
class FxRateDraft:
    """What one unit of a currency costs in another one from a day on."""

    base: str
    quote: str
    rate: Decimal
    valid_from: date
    path: Path
    line: int


@dataclass(frozen=True, slots=True)
class CatalogFiles:
    """Everything a folder states."""

    brands: tuple[Brand, ...]
    products: tuple[ProductDraft, ...]
    decks: tuple[DeckDraft, ...]
    plans: tuple[PlanDraft, ...]
    taxes: tuple[TaxDraft, ...]
    discounts: tuple[DiscountDraft, ...]
    vendor_rules: tuple[VendorRuleDraft, ...]
    fx_rates: tuple[FxRateDraft, ...]
    sha256: str
