"""The leaves of an amount: what it adds up from, each a text and an amount, to the last coin."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from connector.billing.draft import BillableCharge
from connector.catalog.pricing.exact import digits
from connector.catalog.pricing.steps import Step
from connector.charging.value import Discount, exact_text, rounded, share_of_period
from connector.kernel.period import Cycle, Period


class Leaf(NamedTuple):
    """A part of an amount; `discount` is what people call a discount that takes it off."""

    text: str
    amount: Decimal
    discount: str = ""

    def as_json(self) -> dict[str, str]:
        """Return it as an explanation keeps it."""
        part = {"text": self.text, "amount": str(self.amount)}
        return part | {"discount": self.discount} if self.discount else part


Leaves = tuple[Leaf, ...]


class _Addend(NamedTuple):
    text: str
    amount: Fraction
    discount: str = ""


def model_text(charge: BillableCharge) -> str:
    """Return how a price model prices the quantity, in words; nothing without a model."""
    if charge.pricing is None:
        return ""
    return f"by the price model {charge.pricing.name.replace('_', ' ')}"


def leaves_of(
    charge: BillableCharge, *, period: Period, served: Period, cycle: Cycle, worth: Decimal
) -> Leaves:
    """Return what the worth of a recurring charge in a period adds up from.

    The steps of its price model for the days served, each dated discount, and what a minimum adds.
    Nothing for a charge that is only a quantity at a price: its own text says it all.
    """
    price = charge.price
    if price.pricing is None and not price.discounts:
        return ()
    basis = charge.policy.basis
    share = share_of_period(period, served, basis, cycle)
    steps, whole = price.priced()
    addends = [_Addend(_step_text(step), Fraction(step.amount) * share) for step in steps]
    for discount in price.discounts:
        days = served.intersection(discount.window)
        if days is not None:
            off = discount.off(whole, share_of_period(period, days, basis, cycle))
            addends.append(_Addend(_discount_text(discount), -off, _called(discount)))
    return _rounded(charge, addends, worth)


def once_leaves(charge: BillableCharge, worth: Decimal) -> Leaves:
    """Return what the worth of usage under a price model adds up from; else nothing."""
    if charge.pricing is None:
        return ()
    steps, _ = charge.price.priced()
    return _rounded(charge, [_Addend(_step_text(s), Fraction(s.amount)) for s in steps], worth)


def _rounded(charge: BillableCharge, addends: list[_Addend], worth: Decimal) -> Leaves:
    leaves = tuple(_by_running_sum(charge, [one for one in addends if one.amount]))
    rest = worth - sum((leaf.amount for leaf in leaves), Decimal(0))
    if rest:
        leaves += (Leaf("raised to what a period costs at least", rest),)
    # A single leaf says nothing that its line does not say, unless a model made it.
    return leaves if charge.pricing is not None or len(leaves) > 1 else ()


def _by_running_sum(charge: BillableCharge, addends: list[_Addend]) -> Iterator[Leaf]:
    """Yield addends rounded so that what was yielded is always the rounded sum so far."""
    exact, given = Fraction(0), Decimal(0)
    for addend in addends:
        exact += addend.amount
        so_far = rounded(exact, charge.currency, charge.policy.rounding)
        yield Leaf(addend.text, so_far - given, addend.discount)
        given = so_far


def _called(discount: Discount) -> str:
    return f"{_off(discount)} off" + (f": {discount.name}" if discount.name else "")


def _off(discount: Discount) -> str:
    off = f"{digits(discount.percent.normalize())} %" if discount.percent else ""
    return off or exact_text(Fraction(discount.amount))


def _discount_text(discount: Discount) -> str:
    off = _off(discount)
    end = f"to before {discount.window.end}" if discount.window.end else "with no end"
    name = f" ({discount.name})" if discount.name else ""
    return f"less {off} from {discount.window.start} {end}{name}"


def _step_text(step: Step) -> str:
    facts = ", ".join(
        f"{name.replace('_', ' ')} {digits(fact) if isinstance(fact, Decimal) else fact}"
        for name, fact in step.facts.items()
    )
    return f"{step.kind.replace('_', ' ')}: {facts}" if facts else step.kind.replace("_", " ")
