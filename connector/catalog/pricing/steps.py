"""How an amount came about: steps that add up to it, and the result that carries them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from connector.catalog.pricing.exact import Exact


@dataclass(frozen=True, slots=True)
class Step:
    """One addend of a price: what it is, its exact amount, and the facts it was made of.

    The amounts of one price are all decimals, or all fractions where a decimal would not end.
    """

    kind: str
    amount: Exact
    facts: Mapping[str, Decimal | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """What a component of a bundle gets of the price, at the currency's scale."""

    name: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Priced:
    """A price: rounded once, exact, and explained by steps whose amounts sum to `unrounded`."""

    currency: str
    amount: Decimal
    unrounded: Exact
    steps: Sequence[Step]
    parts: tuple[Part, ...] = ()
