"""The price of a line of a won deal: the quote's word, then the customer's own, then the list's."""

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from connector.catalog.domain import PriceEntry
from connector.catalog.pricing.document import discounted_pricing, read_pricing
from connector.kernel.money import minor_digits, round_to_currency, rounded_to
from connector.ordering.queries import Target
from connector.ordering.request_types import GOES_ON, Effect, RequestType, request_of
from connector.sync.apply.opportunity import DealLine

PRICE_DIGITS = 9
_PRICE_PLACES = Decimal("1e-9")


class Refused(Exception):
    """A line has a reason against it; carries the sentence."""


@dataclass(frozen=True, slots=True)
class SoldPrice:
    """What one unit costs a month and once; `pricing`, when set, prices all units a month."""

    mr_price: Decimal
    nr_price: Decimal
    mr_cost: Decimal
    pricing: dict[str, Any] | None = None


def sold_price(
    *,
    line: DealLine,
    entry: PriceEntry,
    request_type: RequestType,
    quantity: Decimal,
    currency: str,
    own: Decimal | None,
    target: Target | None,
) -> SoldPrice:
    """Return the price of a line as sold.

    `own` is the customer's own price of the product, which takes the list price's place. A new term
    without a price leaves that of its service as it is.

    Raises:
        Refused: A price is missing or below zero.
    """
    if request_of(request_type).effect is not Effect.CHARGE and entry.nr_pricing is not None:
        entry = replace(entry, nr_price=once_for_each(entry, quantity, currency))
    sold = _sold(line, entry, request_type, quantity, currency, own, target)
    least = min(sold.mr_price, sold.nr_price)
    if least < 0:
        raise Refused(f"its price is below zero ({least.normalize():f})")
    return sold


def _sold(
    line: DealLine,
    entry: PriceEntry,
    request_type: RequestType,
    quantity: Decimal,
    currency: str,
    own: Decimal | None,
    target: Target | None,
) -> SoldPrice:
    effect = request_of(request_type).effect
    if effect is Effect.END:
        return SoldPrice(Decimal(0), entry.nr_price, Decimal(0))
    if effect in GOES_ON and target is not None:
        once = _unit(line, entry.nr_price, currency) if line.unit_price else entry.nr_price
        return SoldPrice(target.mr_price, once, target.mr_cost, target.pricing)
    if effect is Effect.CHARGE:
        if entry.nr_pricing is not None and _is_listed(line, entry.nr_price, currency):
            pricing = entry.nr_pricing
            if line.discount_percent:
                pricing = discounted_pricing(pricing, line.discount_percent)
            each = _once(pricing, quantity, currency)
            return SoldPrice(Decimal(0), each, entry.mr_cost)
        return SoldPrice(Decimal(0), _unit(line, entry.nr_price, currency), entry.mr_cost)
    if line.new_mrr is not None:
        each = (line.new_mrr / quantity).quantize(_PRICE_PLACES)
        return SoldPrice(each, entry.nr_price, entry.mr_cost)
    if request_type is RequestType.RE_RATE:
        raise Refused("RE_RATE needs the new monthly charge")
    if target is not None and request_type is RequestType.RE_TERM and _has_no_price(line, entry):
        return SoldPrice(target.mr_price, entry.nr_price, target.mr_cost, target.pricing)
    if not _is_listed(line, entry.mr_price, currency):
        return SoldPrice(_unit(line, entry.mr_price, currency), entry.nr_price, entry.mr_cost)
    return listed_price(
        entry=entry, quantity=quantity, own=own, discount_percent=line.discount_percent
    )


def listed_price(
    *,
    entry: PriceEntry,
    quantity: Decimal,
    own: Decimal | None,
    discount_percent: Decimal = Decimal(0),
) -> SoldPrice:
    """Return the price by the lists alone: the customer's own, or the catalogue's, less a discount.

    A price model prices the quantity as a whole.
    """
    if own is not None:
        return SoldPrice(_less(own, discount_percent), entry.nr_price, entry.mr_cost)
    if entry.pricing is None:
        return SoldPrice(_less(entry.mr_price, discount_percent), entry.nr_price, entry.mr_cost)
    pricing = entry.pricing
    if discount_percent:
        pricing = discounted_pricing(pricing, discount_percent)
    _, whole = read_pricing(pricing).unrounded(quantity)
    average = rounded_to(whole / Fraction(quantity), PRICE_DIGITS)
    return SoldPrice(average, entry.nr_price, entry.mr_cost, pricing)


def once_for_each(entry: PriceEntry, quantity: Decimal, currency: str) -> Decimal:
    """Return what each of so many units costs once."""
    if entry.nr_pricing is None:
        return entry.nr_price
    return _once(entry.nr_pricing, quantity, currency)


def _once(listed: dict[str, Any], quantity: Decimal, currency: str) -> Decimal:
    """Return what one of many pieces costs; rounded first, so that all of them sum to the cent."""
    _, whole = read_pricing(listed).unrounded(quantity)
    total = rounded_to(whole, minor_digits(currency))
    return rounded_to(Fraction(total) / Fraction(quantity), PRICE_DIGITS)


def _has_no_price(line: DealLine, entry: PriceEntry) -> bool:
    return not line.unit_price and not entry.mr_price and entry.pricing is None


def _unit(line: DealLine, listed: Decimal, currency: str) -> Decimal:
    price = listed
    if line.unit_price is not None and not _is_listed(line, listed, currency):
        price = line.unit_price
    return _less(price, line.discount_percent)


def _is_listed(line: DealLine, listed: Decimal, currency: str) -> bool:
    # The CRM keeps the currency's places; a list price nobody touched keeps its own.
    return line.unit_price is None or line.unit_price == round_to_currency(listed, currency)


def _less(price: Decimal, discount_percent: Decimal) -> Decimal:
    return (price * (100 - discount_percent) / 100).quantize(_PRICE_PLACES)
