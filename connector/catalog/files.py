"""Reads a folder of catalogue files into values; README.md describes the grammar."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

from connector.catalog.domain import CALL_UNIT, BlockPrice, Brand, block_price
from connector.catalog.pricing.document import Pricing
from connector.catalog.pricing_files import (
    ClassPriceDraft,
    DiscountDraft,
    PartDraft,
    VendorRuleDraft,
    read_bundle,
    read_class_price,
    read_discount,
    read_recurring,
    read_vendor_rule,
)
from connector.catalog.source import BadFile, Entry, parse_decimal, read_yaml

REQUEST_TYPES = (
    "NEW",
    "ADD_ON_CHANGE",
    "UPGRADE",
    "DOWNGRADE",
    "MOVE",
    "REPLACE",
    "RE_TERM",
    "RE_RATE",
    "CANCEL",
    "SERVICE_REQUEST",
    "WIDGET",
    "SUSPEND",
    "RESUME",
    "TRANSFER_OF_BILLING",
)
KINDS = ("Service", "Part", "Service Request", "Widget")
RENEWALS = ("Same term", "Month-to-month", "Expires")
DECK_COLUMNS = (
    "prefix",
    "destination",
    "class",
    "sell",
    "cost",
    "per_s",
    "minimum_s",
    "increment_s",
    "connection",
)
DECK_RATES_MAX = 2_000_000
PRICE_UNITS_MAX = 10**12  # an integer price above this would leave no room for a quantity


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


@dataclass(frozen=True, slots=True)
class RateDraft:
    """The price of calls to numbers that begin with a prefix."""

    prefix: str
    destination: str
    usage_class: str
    price: BlockPrice
    minimum_s: int
    increment_s: int


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
    sha256: str


def read_catalog(folder: Path) -> CatalogFiles:
    """Read every *.yaml of a folder and the CSV decks they name.

    Raises:
        BadFile: Something is wrong, with file and line; nothing was changed.
    """
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise BadFile(path=folder, line=0, problem="There is no *.yaml file in this folder.")
    digest = sha256()
    brands: list[Brand] = []
    products: list[ProductDraft] = []
    decks: list[DeckDraft] = []
    plans: list[PlanDraft] = []
    taxes: list[TaxDraft] = []
    discounts: list[DiscountDraft] = []
    vendor_rules: list[VendorRuleDraft] = []
    for path in paths:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        top = read_yaml(path)
        brands += [_brand(entry) for entry in top.entries("brands")]
        products += [_product(entry) for entry in top.entries("products")]
        decks += [_deck(entry) for entry in top.entries("decks")]
        plans += [_plan(entry) for entry in top.entries("rate_plans")]
        taxes += [_tax(entry) for entry in top.entries("taxes")]
        discounts += [read_discount(entry) for entry in top.entries("discounts")]
        vendor_rules += [read_vendor_rule(entry) for entry in top.entries("vendor_rules")]
        top.finish()
    for deck in sorted(decks, key=lambda one: (one.key, one.valid_from)):
        digest.update(f"{deck.key} {deck.valid_from} {deck.sha256}".encode())
    _refuse_repeats((one.key, one.path, one.line) for one in products)
    _refuse_repeats((one.key, one.path, one.line) for one in plans)
    return CatalogFiles(
        brands=tuple(brands),
        products=tuple(products),
        decks=tuple(decks),
        plans=tuple(plans),
        taxes=tuple(taxes),
        discounts=tuple(discounts),
        vendor_rules=tuple(vendor_rules),
        sha256=digest.hexdigest(),
    )


def _refuse_repeats(keys: Iterable[tuple[str, Path, int]]) -> None:
    seen: dict[str, tuple[Path, int]] = {}
    for key, path, line in keys:
        if key in seen:
            first_path, first_line = seen[key]
            raise BadFile(
                path=path,
                line=line,
                problem=f"'{key}' is there twice; first in {first_path.name}:{first_line}.",
            )
        seen[key] = (path, line)


def _brand(entry: Entry) -> Brand:
    name = entry.text("name")
    brand = Brand(
        key=entry.text("key"),
        name=name,
        legal_name=entry.text("legal_name", name),
        address=entry.text("address", ""),
        tax_number=entry.text("tax_number", ""),
        email=entry.text("email", ""),
        remit_to=entry.text("remit_to", ""),
        colour=entry.text("colour", "#1f4e79"),
        invoice_prefix=entry.text("invoice_prefix"),
        footer=entry.text("footer", ""),
    )
    entry.finish()
    return brand


def _product(entry: Entry) -> ProductDraft:
    name = entry.text("name")
    product = ProductDraft(
        key=entry.text("key"),
        brand=entry.text("brand"),
        name=name,
        display_name=entry.text("display_name", name),
        kind=entry.one_of("kind", KINDS, "Service"),
        vendor=entry.text("vendor", ""),
        service_class=entry.optional_text("service_class"),
        is_location_based=entry.flag("location_based"),
        change_policy=entry.one_of("change_policy", ("In place", "Replace"), "In place"),
        tax_category=entry.text("tax_category", "standard"),
        accounting_code=entry.text("accounting_code", "4000"),
        rate_plan_key=entry.optional_text("rate_plan"),
        prices=tuple(_price(one) for one in entry.entries("prices")),
        path=entry.path,
        line=entry.line,
        bundle=read_bundle(entry),
    )
    entry.finish()
    return product


def _price(entry: Entry) -> PriceDraft:
    mr_price, pricing = read_recurring(entry)
    price = PriceDraft(
        request_type=entry.one_of("request", REQUEST_TYPES),
        term_months=entry.whole("term", 0),
        currency=entry.currency("currency"),
        mr_price=mr_price,
        nr_price=entry.decimal("nr", "0"),
        mr_cost=entry.decimal("mr_cost", "0"),
        nr_cost=entry.decimal("nr_cost", "0"),
        renewal_type=entry.one_of("renewal", RENEWALS, "Month-to-month"),
        work_order_template=entry.optional_text("template"),
        valid_from=entry.day("from"),
        valid_to=entry.optional_day("until"),
        line=entry.line,
        pricing=pricing,
    )
    if price.valid_to is not None and price.valid_to <= price.valid_from:
        raise entry.error(f"The price ends ({price.valid_to}) before it begins.", key="until")
    entry.finish()
    return price


def _plan(entry: Entry) -> PlanDraft:
    plan = PlanDraft(
        key=entry.text("key"),
        name=entry.text("name"),
        currency=entry.currency("currency"),
        deck_key=entry.optional_text("deck"),
        meters=tuple(_meter(one) for one in entry.entries("meters")),
        allowances=tuple(_allowance(one) for one in entry.entries("allowances")),
        path=entry.path,
        line=entry.line,
        class_prices=tuple(read_class_price(one) for one in entry.entries("class_prices")),
    )
    entry.finish()
    _refuse_mixed_units(plan)
    return plan


def _refuse_mixed_units(plan: PlanDraft) -> None:
    units: dict[str, str] = {}
    for meter in plan.meters:
        unit = units.setdefault(meter.usage_class, meter.unit)
        if meter.unit == CALL_UNIT or unit != meter.unit:
            raise BadFile(
                path=plan.path,
                line=meter.line,
                problem=f"Class '{meter.usage_class}' would add up {unit} and {meter.unit}.",
                remedy="Give meters of another unit a class of their own; 's' is for calls.",
            )


def _meter(entry: Entry) -> MeterDraft:
    per = entry.whole("per", 1)
    if per < 1:
        raise entry.error("per must be one or more.", key="per")
    meter = MeterDraft(
        meter=entry.text("meter"),
        usage_class=entry.text("class"),
        unit=entry.text("unit"),
        price=block_price(sell=entry.decimal("sell"), cost=entry.decimal("cost", "0"), block=per),
        valid_from=entry.day("from"),
        line=entry.line,
    )
    entry.finish()
    return meter


def _allowance(entry: Entry) -> AllowanceDraft:
    allowance = AllowanceDraft(
        usage_class=entry.text("class"),
        included=entry.whole("included"),
        valid_from=entry.day("from"),
        line=entry.line,
    )
    entry.finish()
    return allowance


def _tax(entry: Entry) -> TaxDraft:
    tax = TaxDraft(
        country=entry.text("country"),
        category=entry.text("category"),
        percent=entry.decimal("percent"),
        valid_from=entry.day("from"),
        note=entry.text("note", ""),
        path=entry.path,
        line=entry.line,
    )
    entry.finish()
    return tax


def _deck(entry: Entry) -> DeckDraft:
    file = entry.path.parent / entry.text("file")
    if not file.is_file():
        raise entry.error(f"The deck file '{file.name}' is not there.", key="file")
    rates = read_deck(file)
    deck = DeckDraft(
        key=entry.text("key"),
        currency=entry.currency("currency"),
        valid_from=entry.day("from"),
        rates=rates,
        sha256=_deck_hash(rates),
        path=entry.path,
        line=entry.line,
    )
    entry.finish()
    return deck


def _deck_hash(rates: tuple[RateDraft, ...]) -> str:
    digest = sha256()
    for rate in rates:
        digest.update(repr(rate).encode())
    return digest.hexdigest()


def read_deck(path: Path) -> tuple[RateDraft, ...]:
    """Read a rate deck from CSV, sorted by prefix.

    Raises:
        BadFile: A column is missing, or a line is wrong.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = set(DECK_COLUMNS) - set(reader.fieldnames or ())
        if missing:
            raise BadFile(
                path=path,
                line=1,
                problem=f"The deck lacks the columns {', '.join(sorted(missing))}.",
                remedy=f"Its first line must name: {', '.join(DECK_COLUMNS)}.",
            )
        rates: dict[str, RateDraft] = {}
        for row in reader:
            rate = _rate(path, reader.line_num, row)
            if rate.prefix in rates:
                raise BadFile(
                    path=path, line=reader.line_num, problem=f"Prefix {rate.prefix} is there twice."
                )
            rates[rate.prefix] = rate
            if len(rates) > DECK_RATES_MAX:
                raise BadFile(
                    path=path,
                    line=reader.line_num,
                    problem=f"A deck holds at most {DECK_RATES_MAX:,} prefixes.",
                )
    return tuple(rates[prefix] for prefix in sorted(rates))


def _rate(path: Path, line: int, row: dict[str, str | None]) -> RateDraft:
    def text(name: str) -> str:
        value = row.get(name)
        if value is None or not value.strip():
            raise BadFile(path=path, line=line, problem=f"The line has no {name}.")
        return value.strip()

    def whole(name: str, least: int) -> int:
        written = text(name)
        if not (written.isascii() and written.isdigit()) or not least <= int(written) <= 86_400:
            raise BadFile(
                path=path,
                line=line,
                problem=f"{name} '{written}' is not a whole number from {least} to 86400.",
            )
        return int(written)

    prefix = text("prefix")
    if not (prefix.isascii() and prefix.isdigit() and len(prefix) <= 15):
        raise BadFile(path=path, line=line, problem=f"Prefix '{prefix}' is not 1 to 15 digits.")
    sell, cost, connection = (
        parse_decimal(text(name), path=path, line=line, name=name)
        for name in ("sell", "cost", "connection")
    )
    price = block_price(sell=sell, cost=cost, connection=connection, block=whole("per_s", 1))
    if max(price.sell, price.cost, price.connection) > PRICE_UNITS_MAX:
        raise BadFile(path=path, line=line, problem="A price this large cannot be rated exactly.")
    return RateDraft(
        prefix=prefix,
        destination=text("destination"),
        usage_class=text("class"),
        price=price,
        minimum_s=whole("minimum_s", 0),
        increment_s=whole("increment_s", 1),
    )
