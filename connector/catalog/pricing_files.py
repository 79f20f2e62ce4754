"""Reads what catalogue files say of price models, bundles, discounts and vendor rules."""

from decimal import Decimal
from typing import Any

from connector.catalog.drafts import ClassPriceDraft, DiscountDraft, PartDraft, VendorRuleDraft
from connector.catalog.exchange import cost_currency_of
from connector.catalog.pricing.document import Pricing, read_pricing
from connector.catalog.pricing.refusals import UnusablePrice
from connector.catalog.source import Entry
from connector.kernel.money import rounded_to

PRICE_PLACES = 9
BUNDLE_PARTS_MAX = 100
ONE = Decimal(1)
HUNDRED = Decimal(100)


def read_recurring(entry: Entry) -> tuple[Decimal, Pricing | None]:
    """Return the recurring price of one unit and the model that prices more of them, if any.

    Raises:
        BadFile: There are both `mr` and `pricing`, or the model is wrong.
    """
    return _unit_and_model(entry, plain="mr", model="pricing")


def read_once(entry: Entry) -> tuple[Decimal, Pricing | None]:
    """Return the one-time price of one unit and the model that prices more of them, if any.

    Raises:
        BadFile: There are both `nr` and `nr_pricing`, the model is wrong, or names a currency of
            its cost: what is charged once does not follow exchange rates.
    """
    if cost_currency_of(entry, "nr_pricing") is not None:
        raise entry.error(
            "A price that is charged once does not follow exchange rates.",
            remedy="State fx_rate in nr_pricing instead of cost_currency.",
            key="nr_pricing",
        )
    return _unit_and_model(entry, plain="nr", model="nr_pricing")


def _unit_and_model(entry: Entry, *, plain: str, model: str) -> tuple[Decimal, Pricing | None]:
    pricing = _pricing(entry, model)
    if pricing is None:
        return entry.decimal(plain, "0"), None
    if plain in entry:
        raise entry.error(
            f"A price has either {plain} or {model}.",
            remedy=f"Leave {plain} out: the model prices the first unit too.",
            key=plain,
        )
    try:
        _, whole = pricing.unrounded(ONE)
    except UnusablePrice as error:
        raise entry.error(error.message, remedy=error.remedy or "", key=model) from None
    return rounded_to(whole, PRICE_PLACES), pricing


def read_class_price(entry: Entry) -> ClassPriceDraft:
    """Read the price of a usage class."""
    pricing = _pricing(entry)
    if pricing is None:
        raise entry.error(f"{entry.what} needs 'pricing'.")
    draft = ClassPriceDraft(
        usage_class=entry.text("class"),
        pricing=pricing,
        valid_from=entry.day("from"),
        line=entry.line,
        cost_currency=cost_currency_of(entry),
    )
    entry.finish()
    return draft


def read_bundle(product: Entry) -> tuple[PartDraft, ...]:
    """Read the parts of a product that is a bundle; none when it is not.

    Raises:
        BadFile: A part is there twice, or no part has a weight.
    """
    parts: list[PartDraft] = []
    for entry in product.entries("bundle"):
        part = PartDraft(entry.text("product"), entry.decimal("weight"), entry.line)
        entry.finish()
        if any(part.product == known.product for known in parts):
            raise entry.error(f"The part '{part.product}' is there twice.")
        parts.append(part)
    if len(parts) > BUNDLE_PARTS_MAX:
        raise product.error(f"A bundle has at most {BUNDLE_PARTS_MAX} parts.", key="bundle")
    if parts and not any(part.weight for part in parts):
        raise product.error(
            "No part of the bundle has a weight.",
            remedy="Give each part the price it has by itself.",
            key="bundle",
        )
    return tuple(parts)


def read_early_termination(product: Entry) -> dict[str, Any] | None:
    """Read what leaving a term of a product early costs; None when it costs nothing.

    Raises:
        BadFile: The bands do not begin with month 1, or go back.
    """
    entry = product.entry("early_termination")
    if entry is None:
        return None
    bands: list[dict[str, Any]] = []
    for band in entry.entries("bands"):
        percent = band.decimal("percent")
        if percent > HUNDRED:
            raise band.error(f"percent {percent} is more than everything.", key="percent")
        bands.append({"from_month": band.whole("from_month"), "percent": str(percent)})
        band.finish()
    begins = [band["from_month"] for band in bands]
    if not begins or begins[0] != 1 or begins != sorted(set(begins)):
        raise entry.error(
            "The bands do not begin with month 1, or go back.",
            remedy="The first band begins with month 1, each other one later.",
            key="bands",
        )
    kept: dict[str, Any] = {"bands": bands}
    for name in ("flat", "cap"):
        if name in entry:
            kept[name] = str(entry.decimal(name))
    entry.finish()
    return kept


def read_commitment(product: Entry) -> dict[str, Any] | None:
    """Read for how many days seats of a product may be given up; None when always.

    Raises:
        BadFile: A seat could not even be given up on the day of its order.
    """
    entry = product.entry("commitment")
    if entry is None:
        return None
    days = entry.whole("window_days")
    if days < 1:
        raise entry.error("window_days must be one or more: the first day counts.")
    entry.finish()
    return {"window_days": days}


def read_discount(entry: Entry) -> DiscountDraft:
    """Read a discount.

    Raises:
        BadFile: It is not exactly one of percent, amount, price and markup, or its days go back.
    """
    kinds = [name for name in ("percent", "amount", "price", "markup") if name in entry]
    if len(kinds) != 1:
        raise entry.error("A discount is one of percent, amount, price and markup.")
    (kind,) = kinds
    value = entry.decimal(kind)
    if kind == "percent" and value > HUNDRED:
        raise entry.error(f"percent {value} is more than everything.", key="percent")
    cycles = entry.whole("cycles", 0) if "cycles" in entry else None
    if cycles == 0:
        raise entry.error("cycles must be one or more.", key="cycles")
    is_own = kind in ("price", "markup")  # a price of its own, not less of another one
    narrowed = cycles or entry.flag("new_customers_only")
    if is_own and narrowed:
        raise entry.error(f"A {kind} has no cycles, and is not for new customers only.", key=kind)
    if not is_own and "brands" in entry:
        raise entry.error(
            "Resellers have lists of prices or markups; this is neither.",
            remedy="Name the customers, or leave brands out.",
            key="brands",
        )
    if kind == "price" and ("vendor" in entry or "products" not in entry):
        raise entry.error(
            "A price of its own names its products, and no vendor.",
            key="price",
        )
    key = entry.text("key")
    draft = DiscountDraft(
        key=key,
        name=entry.text("name", key),
        percent=value if kind == "percent" else None,
        amount=value if kind == "amount" else None,
        price=value if kind == "price" else None,
        markup=value if kind == "markup" else None,
        currency=entry.currency("currency") if kind in ("amount", "price") else None,
        vendor=entry.optional_text("vendor"),
        products=entry.optional_names("products"),
        customers=entry.optional_names("customers"),
        brands=entry.optional_names("brands"),
        new_customers_only=entry.flag("new_customers_only"),
        cycles=cycles,
        valid_from=entry.day("from"),
        valid_to=entry.optional_day("until"),
        path=entry.path,
        line=entry.line,
    )
    if draft.valid_to is not None and draft.valid_to <= draft.valid_from:
        raise entry.error(f"The discount ends ({draft.valid_to}) before it begins.", key="until")
    entry.finish()
    return draft


def read_vendor_rule(entry: Entry) -> VendorRuleDraft:
    """Read a rule that rewards several services of one vendor."""
    draft = VendorRuleDraft(
        vendor=entry.text("vendor"),
        min_services=entry.whole("min_services"),
        percent=entry.decimal("percent"),
        valid_from=entry.day("from"),
        path=entry.path,
        line=entry.line,
    )
    if draft.min_services < 1 or draft.percent > HUNDRED:
        raise entry.error(
            f"{draft.percent} % for {draft.min_services} services is no rule.",
            remedy="It takes one service or more, and at most 100 percent.",
        )
    entry.finish()
    return draft


def _pricing(entry: Entry, key: str = "pricing") -> Pricing | None:
    document = entry.document(key)
    if document is None:
        return None
    document.pop("cost_currency", None)  # the rates of its days come in once all files are read
    try:
        return read_pricing(document)
    except UnusablePrice as error:
        raise entry.error(error.message, remedy=error.remedy or "", key=key) from None
