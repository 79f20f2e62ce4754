"""Reads a folder of catalogue files into values; README.md describes the grammar."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from connector.catalog.deck_files import RateDraft, read_deck
from connector.catalog.domain import CALL_UNIT, Brand, block_price
from connector.catalog.drafts import (
    AllowanceDraft,
    CatalogFiles,
    DeckDraft,
    DiscountDraft,
    FxRateDraft,
    MeterDraft,
    PlanDraft,
    PriceDraft,
    ProductDraft,
    TaxDraft,
    VendorRuleDraft,
)
from connector.catalog.exchange import FxRates, cost_currency_of, read_fx_rate
from connector.catalog.pricing_files import (
    read_bundle,
    read_class_price,
    read_commitment,
    read_discount,
    read_early_termination,
    read_once,
    read_recurring,
    read_vendor_rule,
)
from connector.catalog.source import BadFile, Entry, read_yaml
from connector.store.tables.base import INVOICE_SECTIONS, TAX_TREATMENTS

RENEW = "RENEW"  # no order asks for it: a term follows another (domain 3.3)
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
PRICED_FOR = (*REQUEST_TYPES, RENEW)
KINDS = ("Service", "Part", "Service Request", "Widget")
RENEWALS = ("Same term", "Month-to-month", "Expires")


def read_catalog(folder: Path) -> CatalogFiles:
    """Read every *.yaml of a folder and the CSV decks they name.

    Raises:
        BadFile: Something is wrong, with file and line; nothing was changed.
    """
    files, findings = inspect_catalog([folder])
    if findings:
        raise findings[0]
    return files


def inspect_catalog(places: Sequence[Path]) -> tuple[CatalogFiles, tuple[BadFile, ...]]:
    """Read files, and every *.yaml of folders; return what could be read and what is wrong.

    Findings come in the order of the files and their lines.
    """
    digest = sha256()
    findings: list[BadFile] = []
    read = _Read()
    for path in _paths(places, findings):
        try:
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
            top = read_yaml(path)
        except BadFile as error:
            findings.append(error)
            continue
        read.add(top)
        try:
            top.finish()
        except BadFile as error:
            top.findings.append(error)
        findings += sorted(top.findings, key=lambda one: one.line)
    for deck in sorted(read.decks, key=lambda one: (one.key, one.valid_from)):
        digest.update(f"{deck.key} {deck.valid_from} {deck.sha256}".encode())
    findings += _repeats((one.key, one.path, one.line) for one in read.products)
    findings += _repeats((one.key, one.path, one.line) for one in read.plans)
    read.convert(findings)
    return read.files(digest.hexdigest()), tuple(findings)


@dataclass(slots=True)
class _Read:
    """What was read of several files so far."""

    brands: list[Brand] = field(default_factory=list)
    products: list[ProductDraft] = field(default_factory=list)
    decks: list[DeckDraft] = field(default_factory=list)
    plans: list[PlanDraft] = field(default_factory=list)
    taxes: list[TaxDraft] = field(default_factory=list)
    discounts: list[DiscountDraft] = field(default_factory=list)
    vendor_rules: list[VendorRuleDraft] = field(default_factory=list)
    fx_rates: list[FxRateDraft] = field(default_factory=list)

    def add(self, top: Entry) -> None:
        self.brands += top.read_each("brands", _brand)
        self.products += top.read_each("products", _product)
        self.decks += top.read_each("decks", _deck)
        self.plans += top.read_each("rate_plans", _plan)
        self.taxes += top.read_each("taxes", _tax)
        self.discounts += top.read_each("discounts", read_discount)
        self.vendor_rules += top.read_each("vendor_rules", read_vendor_rule)
        self.fx_rates += top.read_each("fx_rates", read_fx_rate)

    def convert(self, findings: list[BadFile]) -> None:
        rates = FxRates(self.fx_rates)
        self.products = [rates.product(one, findings) for one in self.products]
        self.plans = [rates.plan(one, findings) for one in self.plans]

    def files(self, sha: str) -> CatalogFiles:
        return CatalogFiles(
            brands=tuple(self.brands),
            products=tuple(self.products),
            decks=tuple(self.decks),
            plans=tuple(self.plans),
            taxes=tuple(self.taxes),
            discounts=tuple(self.discounts),
            vendor_rules=tuple(self.vendor_rules),
            fx_rates=tuple(self.fx_rates),
            sha256=sha,
        )


def _paths(places: Sequence[Path], findings: list[BadFile]) -> Iterator[Path]:
    for place in places:
        paths = sorted(place.glob("*.yaml")) if place.is_dir() else [place]
        if not paths:
            problem = "There is no *.yaml file in this folder."
            remedy = "Name the folder of your catalogue; its files end in .yaml."
            findings.append(BadFile(path=place, line=0, problem=problem, remedy=remedy))
        yield from paths


def _repeats(keys: Iterable[tuple[str, Path, int]]) -> Iterator[BadFile]:
    seen: dict[str, tuple[Path, int]] = {}
    for key, path, line in keys:
        if key not in seen:
            seen[key] = (path, line)
            continue
        first_path, first_line = seen[key]
        problem = f"'{key}' is there twice; first in {first_path.name}:{first_line}."
        yield BadFile(path=path, line=line, problem=problem)


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
        invoice_sections=entry.one_of("invoice_sections", INVOICE_SECTIONS, "site"),
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
        prices=entry.read_each("prices", _price),
        path=entry.path,
        line=entry.line,
        bundle=read_bundle(entry),
        early_termination=read_early_termination(entry),
        commitment=read_commitment(entry),
        upgrades_to=entry.optional_names("upgrades_to"),
    )
    entry.finish()
    if product.bundle and any(price.pricing for price in product.prices):
        raise entry.error(
            "A bundle has a price for each, not a price model.",
            remedy="Write mr: the price of one bundle, shared out to its parts by their weights.",
            key="prices",
        )
    return product


def _price(entry: Entry) -> PriceDraft:
    mr_price, pricing = read_recurring(entry)
    nr_price, nr_pricing = read_once(entry)
    price = PriceDraft(
        request_type=entry.one_of("request", PRICED_FOR),
        term_months=entry.whole("term", 0),
        currency=entry.currency("currency"),
        mr_price=mr_price,
        nr_price=nr_price,
        mr_cost=entry.decimal("mr_cost", "0"),
        nr_cost=entry.decimal("nr_cost", "0"),
        renewal_type=entry.one_of("renewal", RENEWALS, "Month-to-month"),
        work_order_template=entry.optional_text("template"),
        valid_from=entry.day("from"),
        valid_to=entry.optional_day("until"),
        line=entry.line,
        pricing=pricing,
        nr_pricing=nr_pricing,
        cost_currency=cost_currency_of(entry),
    )
    if price.valid_to is not None and price.valid_to <= price.valid_from:
        raise entry.error(f"The price ends ({price.valid_to}) before it begins.", key="until")
    if price.request_type == RENEW and (price.nr_price or price.work_order_template):
        raise entry.error(
            "RENEW makes no work and charges nothing once.",
            remedy="Leave nr and template out; mr or pricing is what the next term costs.",
            key="request",
        )
    entry.finish()
    return price


def _plan(entry: Entry) -> PlanDraft:
    plan = PlanDraft(
        key=entry.text("key"),
        name=entry.text("name"),
        currency=entry.currency("currency"),
        deck_key=entry.optional_text("deck"),
        meters=entry.read_each("meters", _meter),
        allowances=entry.read_each("allowances", _allowance),
        path=entry.path,
        line=entry.line,
        class_prices=entry.read_each("class_prices", read_class_price),
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
        customer=entry.one_of("customer", ("any", "business", "person"), "any"),
        treatment=entry.one_of("treatment", TAX_TREATMENTS, "exclusive"),
    )
    entry.finish()
    if tax.treatment in ("exempt", "reverse_charge") and tax.percent:
        untaxed = tax.treatment.replace("_", " ")
        raise entry.error(f"What is '{untaxed}' has percent 0, not {tax.percent}.", key="percent")
    return tax


def _deck(entry: Entry) -> DeckDraft:
    file = entry.path.parent / entry.text("file")
    if not os.path.isfile(file):  # noqa: PTH113 - a name too long for the system is no error here
        raise entry.error(
            f"The deck file '{file.name:.80}' is not there.",
            remedy="Put it beside the file that names it.",
            key="file",
        )
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
