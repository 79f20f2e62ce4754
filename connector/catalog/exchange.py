"""Dated exchange rates of the catalogue files, and the prices that are bought in another currency.

A price with a `cost_currency` is converted while the files are read (mission row G14): it becomes
one dated price for each rate in force in its time, so that everything after the files knows prices
only. What was agreed with a customer keeps the rate of its day.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

from connector.catalog.drafts import (
    ClassPriceDraft,
    FxRateDraft,
    PlanDraft,
    PriceDraft,
    ProductDraft,
)
from connector.catalog.pricing.document import Pricing, read_pricing
from connector.catalog.pricing.exact import digits
from connector.catalog.source import BadFile, Entry
from connector.kernel.money import rounded_to

PRICE_PLACES = 9
RESOLD = frozenset({"resale", "vendor_licence", "vendor_usage"})  # models that begin with a cost


class FxRates:
    """The rates of all files, by pair of currencies, in the order of their days."""

    def __init__(self, drafts: Iterable[FxRateDraft]) -> None:
        self._rates: dict[tuple[str, str], list[FxRateDraft]] = defaultdict(list)
        for draft in sorted(drafts, key=lambda one: one.valid_from):
            self._rates[draft.base, draft.quote].append(draft)

    def product(self, draft: ProductDraft, findings: list[BadFile]) -> ProductDraft:
        """Return a product whose prices are at the rates of their days; add what has no rate."""
        if not any(price.cost_currency for price in draft.prices):
            return draft
        prices: list[PriceDraft] = []
        for price in draft.prices:
            following = min(
                (o.valid_from for o in draft.prices
                 if (o.request_type, o.term_months, o.currency)
                 == (price.request_type, price.term_months, price.currency)
                 and o.valid_from > price.valid_from),
                default=date.max,
            )  # fmt: skip
            until = min(price.valid_to or date.max, following)
            if price.cost_currency is None or price.pricing is None:
                prices.append(price)
                continue
            rates = self._in_force(price.cost_currency, price.currency, price.valid_from, until)
            if not rates:
                pair = (price.cost_currency, price.currency)
                findings.append(_no_rate(pair, price.valid_from, draft.path, price.line))
            ends = [*(rate.valid_from for rate in rates[1:]), price.valid_to]
            for rate, valid_to in zip(rates, ends, strict=False):
                pricing = _at(price.pricing, rate.rate)
                _, whole = pricing.unrounded(Decimal(1))
                prices.append(
                    replace(
                        price,
                        pricing=pricing,
                        mr_price=rounded_to(whole, PRICE_PLACES),
                        valid_from=max(rate.valid_from, price.valid_from),
                        valid_to=valid_to,
                    )
                )
        return replace(draft, prices=tuple(prices))

    def plan(self, draft: PlanDraft, findings: list[BadFile]) -> PlanDraft:
        """Return a rate plan whose class prices are at the rates of their days."""
        if not any(price.cost_currency for price in draft.class_prices):
            return draft
        prices: list[ClassPriceDraft] = []
        for price in draft.class_prices:
            until = min(
                (o.valid_from for o in draft.class_prices
                 if o.usage_class == price.usage_class and o.valid_from > price.valid_from),
                default=date.max,
            )  # fmt: skip
            if price.cost_currency is None:
                prices.append(price)
                continue
            rates = self._in_force(price.cost_currency, draft.currency, price.valid_from, until)
            if not rates:
                pair = (price.cost_currency, draft.currency)
                findings.append(_no_rate(pair, price.valid_from, draft.path, price.line))
            prices += [
                replace(
                    price,
                    pricing=_at(price.pricing, rate.rate),
                    valid_from=max(rate.valid_from, price.valid_from),
                )
                for rate in rates
            ]
        return replace(draft, class_prices=tuple(prices))

    def _in_force(
        self, base: str, quote: str, valid_from: date, until: date
    ) -> tuple[FxRateDraft, ...]:
        """Return the rate of the first day and each later one before the end; none without it."""
        rates = self._rates.get((base, quote), [])
        first = [one for one in rates if one.valid_from <= valid_from][-1:]
        later = [one for one in rates if valid_from < one.valid_from < until]
        return (*first, *later) if first else ()


def read_fx_rate(entry: Entry) -> FxRateDraft:
    """Read what one unit of `base` costs in `quote`.

    Raises:
        BadFile: The rate is zero, or both are one currency.
    """
    draft = FxRateDraft(
        base=entry.currency("base"),
        quote=entry.currency("quote"),
        rate=entry.decimal("rate"),
        valid_from=entry.day("from"),
        path=entry.path,
        line=entry.line,
    )
    if not draft.rate or draft.base == draft.quote:
        raise entry.error(
            f"{draft.base} in {draft.quote} at {draft.rate} is no rate.",
            remedy="Write rate: what one unit of base costs in quote, such as USD in EUR at 0.92.",
        )
    entry.finish()
    return draft


def cost_currency_of(entry: Entry, key: str = "pricing") -> str | None:
    """Return the currency in which the model under a key has its cost, when it names one.

    Raises:
        BadFile: The model has no cost, has a rate of its own, or the currency is unknown.
    """
    document = entry.document(key) or {}
    if "cost_currency" not in document:
        return None
    if document.get("model") not in RESOLD or "fx_rate" in document:
        raise entry.error(
            "A cost_currency is for models that begin with a cost and have no fx_rate.",
            remedy=f"These are {', '.join(sorted(RESOLD))}; the rates stand in fx_rates.",
            key=key,
        )
    return entry.currency_code(str(document["cost_currency"]), key=key)


def _no_rate(pair: tuple[str, str], day: date, path: Path, line: int) -> BadFile:
    base, quote = pair
    return BadFile(
        path=path,
        line=line,
        problem=f"There is no rate of {base} in {quote} on {day}.",
        remedy="Add it to fx_rates, from that day on or before.",
    )


def _at(pricing: Pricing, rate: Decimal) -> Pricing:
    return read_pricing(pricing.as_json() | {"fx_rate": digits(rate.normalize())})
