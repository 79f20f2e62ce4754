"""The discounts inside the amounts of lines, by the names people know them by (domain 3.10)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class NamedDiscount:
    """What a discount takes off: "10 % off: 3 services of V or more"; the amount is below zero."""

    name: str
    amount: Decimal


def discounts_in(explanation: Mapping[str, Any]) -> tuple[NamedDiscount, ...]:
    """Return the discounts in the amount of a line, from its stored explanation.

    A line that corrects or gives back what was booked before has none of its own: they are in the
    lines it names. Where the price contains the tax, so do these amounts.
    """
    parts = explanation.get("parts", ())
    if "credits" in explanation or any("booked" in part for part in parts):
        return ()
    return tuple(
        NamedDiscount(str(part["discount"]), Decimal(str(part["amount"])))
        for part in parts
        if "discount" in part
    )


def discounts_by_name(explanations: Iterable[Mapping[str, Any]]) -> tuple[NamedDiscount, ...]:
    """Return the discounts in the amounts of lines, summed by name, in the order of the lines."""
    sums: dict[str, Decimal] = {}
    for explanation in explanations:
        for one in discounts_in(explanation):
            sums[one.name] = sums.get(one.name, Decimal(0)) + one.amount
    return tuple(NamedDiscount(name, amount) for name, amount in sums.items())
