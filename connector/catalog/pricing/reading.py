"""Reads a price calculation from a JSON object.

By hand rather than by a model library: a calculation has to be read in a few microseconds, and a
refusal names the field as its writer knows it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from connector.catalog.pricing.bundles import Bundle, Component
from connector.catalog.pricing.commitments import TrueUp
from connector.catalog.pricing.discounts import Discount
from connector.catalog.pricing.exact import ZERO
from connector.catalog.pricing.fields import (
    Fields,
    as_number,
    as_object,
    items,
    number,
    optional_number,
    optional_whole,
    refuse_unknown,
    text,
    word,
)
from connector.catalog.pricing.percentage import Percentage
from connector.catalog.pricing.policy import DEFAULT_POLICY, PricePolicy
from connector.catalog.pricing.price import NO_ADJUSTMENTS, Adjustments, Model, price
from connector.catalog.pricing.rebates import AppliesTo, Rebate
from connector.catalog.pricing.refusals import UnusablePrice
from connector.catalog.pricing.resale import Resale
from connector.catalog.pricing.rule_discounts import VendorLine, VendorLines, VendorRule
from connector.catalog.pricing.steps import Priced
from connector.catalog.pricing.tiers import Graduated, GraduatedPercentage, Stairstep, Tier, Volume
from connector.catalog.pricing.units import Flat, Package, PerUnit
from connector.catalog.pricing.vendor_rounding import VendorLicence, VendorUsage

# With these and the digits of a number, no result needs the digits of exact.DIGITS_MAX.
TIERS_MAX = 1_000
DISCOUNTS_MAX = 50
TRANSACTIONS_MAX = 10_000
COMPONENTS_MAX = 1_000
LINES_MAX = 1_000
RULES_MAX = 100

ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Calculation:
    """Everything that one call of the pricing function needs."""

    model: Model
    quantity: Decimal
    currency: str
    adjustments: Adjustments
    policy: PricePolicy

    def result(self) -> Priced:
        """Price it.

        Raises:
            UnusablePrice: The quantity is negative or does not fit the model.
            UnknownCurrency: The code is not in ISO 4217.
        """
        return price(
            model=self.model,
            quantity=self.quantity,
            currency=self.currency,
            adjustments=self.adjustments,
            policy=self.policy,
        )


def read_calculation(value: object) -> Calculation:
    """Return the calculation that a decoded JSON object asks for.

    Raises:
        UnknownPriceField: A field is not one of the model's.
        TierGap: The tiers leave a gap.
        UnusablePrice: A field is missing, no text, or no number within the limits.
    """
    if not isinstance(value, dict):
        raise UnusablePrice(field="line", problem="it is no JSON object.")
    name = text(value, "model")
    if name not in MODELS:
        raise UnusablePrice(
            field="model",
            problem=f"there is no '{name}'.",
            remedy=f"There are {', '.join(MODELS)}.",
        )
    known, read_model = MODELS[name]
    if not value.keys() <= known:
        refuse_unknown(value, known)
    model = read_model(value)
    return Calculation(
        model,
        _quantity(value, model),
        text(value, "currency"),
        _adjustments(value),
        _policy(value["policy"]) if "policy" in value else DEFAULT_POLICY,
    )


def _quantity(fields: Fields, model: Model) -> Decimal:
    if "quantity" not in fields:
        if isinstance(model, Flat | Bundle | VendorLines):
            return ONE
        if isinstance(model, Percentage) and model.transactions is not None:
            return Decimal(len(model.transactions))
    return number(fields, "quantity")


def _adjustments(fields: Fields) -> Adjustments:
    if fields.keys().isdisjoint(("discounts", "cycle", "minimum", "maximum")):
        return NO_ADJUSTMENTS
    cycle = optional_whole(fields, "cycle")
    if cycle == 0:
        raise UnusablePrice(field="cycle", problem="the first billing period is 1.")
    has_discounts = fields.get("discounts") is not None
    return Adjustments(
        discounts=items(fields, "discounts", _discount, DISCOUNTS_MAX) if has_discounts else (),
        cycle=cycle or 1,
        minimum=optional_number(fields, "minimum"),
        maximum=optional_number(fields, "maximum"),
    )


def _policy(value: object) -> PricePolicy:
    fields = as_object(value, _POLICY, "policy")
    return PricePolicy(
        flat_at_zero=word(fields, "flat_at_zero", DEFAULT_POLICY.flat_at_zero, "policy"),
        tier_bound=word(fields, "tier_bound", DEFAULT_POLICY.tier_bound, "policy"),
    )


def _package(fields: Fields) -> Package:
    return Package(
        number(fields, "package_size"),
        number(fields, "package_price"),
        optional_number(fields, "free_units") or ZERO,
    )


def _percentage(fields: Fields) -> Percentage:
    has_list = fields.get("transactions") is not None
    return Percentage(
        rate=number(fields, "rate"),
        fixed_amount=optional_number(fields, "fixed_amount") or ZERO,
        free_units=optional_number(fields, "free_units"),
        free_amount=optional_number(fields, "free_amount"),
        min_amount=optional_number(fields, "min_amount"),
        max_amount=optional_number(fields, "max_amount"),
        transactions=(
            items(fields, "transactions", as_number, TRANSACTIONS_MAX) if has_list else None
        ),
    )


def _resale(fields: Fields) -> Resale:
    return Resale(
        unit_cost=number(fields, "unit_cost"),
        fx_rate=_fx_rate(fields),
        markup=optional_number(fields, "markup"),
        margin=optional_number(fields, "margin"),
        override_price=optional_number(fields, "override_price"),
    )


def _fx_rate(fields: Fields) -> Decimal:
    return number(fields, "fx_rate") if "fx_rate" in fields else ONE


def _tier(value: object, where: str, *, price_name: str, known: frozenset[str]) -> Tier:
    fields = as_object(value, known, where)
    unit_price = optional_number(fields, price_name, where)
    flat = optional_number(fields, "flat", where)
    if "up_to" not in fields:
        raise UnusablePrice(
            field=f"{where}.up_to", problem="it is missing.", remedy="The open end is null."
        )
    if unit_price is None and flat is None:
        raise UnusablePrice(field=f"{where}.{price_name}", problem="the tier has no price.")
    return Tier(optional_number(fields, "up_to", where), unit_price or ZERO, flat or ZERO)


_unit_tier = partial(
    _tier, price_name="unit_price", known=frozenset({"up_to", "unit_price", "flat"})
)
_rate_tier = partial(_tier, price_name="rate", known=frozenset({"up_to", "rate", "flat"}))


def _unit_tiers(fields: Fields) -> tuple[Tier, ...]:
    return items(fields, "tiers", _unit_tier, TIERS_MAX)


def _discount(value: object, where: str) -> Discount:
    fields = as_object(value, _DISCOUNT, where)
    return Discount(
        optional_number(fields, "percent", where),
        optional_number(fields, "amount", where),
        optional_whole(fields, "cycles", where),
    )


def _component(value: object, where: str) -> Component:
    fields = as_object(value, _COMPONENT, where)
    return Component(text(fields, "name", where), number(fields, "list_price", where))


def _vendor_line(value: object, where: str) -> VendorLine:
    fields = as_object(value, _VENDOR_LINE, where)
    return VendorLine(text(fields, "vendor", where), number(fields, "amount", where))


def _vendor_rule(value: object, where: str) -> VendorRule:
    fields = as_object(value, _VENDOR_RULE, where)
    return VendorRule(
        vendor=text(fields, "vendor", where),
        percent=number(fields, "percent", where),
        min_services=optional_whole(fields, "min_services", where),
        min_spend=optional_number(fields, "min_spend", where),
    )


_DISCOUNT = frozenset({"percent", "amount", "cycles"})
_COMPONENT = frozenset({"name", "list_price"})
_VENDOR_LINE = frozenset({"vendor", "amount"})
_VENDOR_RULE = frozenset({"vendor", "percent", "min_services", "min_spend"})
_POLICY = frozenset({"flat_at_zero", "tier_bound"})
_ALWAYS = "currency model discounts cycle minimum maximum policy"


def _model(
    fields: str, read: Callable[[Fields], Model]
) -> tuple[frozenset[str], Callable[[Fields], Model]]:
    return frozenset(f"{_ALWAYS} {fields}".split()), read


# What each model has beside the fields that all have, and what reads it.
MODELS: dict[str, tuple[frozenset[str], Callable[[Fields], Model]]] = {
    "flat": _model("quantity amount", lambda f: Flat(number(f, "amount"))),
    "per_unit": _model("quantity unit_price", lambda f: PerUnit(number(f, "unit_price"))),
    "graduated": _model("quantity tiers", lambda f: Graduated(_unit_tiers(f))),
    "volume": _model("quantity tiers", lambda f: Volume(_unit_tiers(f))),
    "package": _model("quantity package_size package_price free_units", _package),
    "percentage": _model(
        "quantity rate fixed_amount free_units free_amount min_amount max_amount transactions",
        _percentage,
    ),
    "graduated_percentage": _model(
        "quantity tiers",
        lambda f: GraduatedPercentage(items(f, "tiers", _rate_tier, TIERS_MAX)),
    ),
    "stairstep": _model("quantity tiers", lambda f: Stairstep(_unit_tiers(f))),
    "bundle": _model(
        "quantity amount components",
        lambda f: Bundle(
            number(f, "amount"), items(f, "components", _component, COMPONENTS_MAX)
        ),
    ),
    "vendor_lines": _model(
        "lines rules",
        lambda f: VendorLines(
            items(f, "lines", _vendor_line, LINES_MAX), items(f, "rules", _vendor_rule, RULES_MAX)
        ),
    ),
    "resale": _model("quantity unit_cost fx_rate markup margin override_price", _resale),
    "vendor_licence": _model(
        "quantity unit_cost fx_rate",
        lambda f: VendorLicence(number(f, "unit_cost"), _fx_rate(f)),
    ),
    "vendor_usage": _model(
        "quantity unit_cost fx_rate", lambda f: VendorUsage(number(f, "unit_cost"), _fx_rate(f))
    ),
    "true_up": _model("quantity commitment", lambda f: TrueUp(number(f, "commitment"))),
    "rebate": _model(
        "quantity bands applies_to",
        lambda f: Rebate(
            items(f, "bands", _rate_tier, TIERS_MAX), word(f, "applies_to", AppliesTo.BAND)
        ),
    ),
}  # fmt: skip
