"""How an amount came about: steps that add up to it, and the result that carries them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

from connector.catalog.pricing.exact import Exact

NO_FACTS: Mapping[str, Decimal | str] = MappingProxyType({})


# A tuple and no dataclass, as a tier is: several are made for every price, and this is quicker.
class Step(NamedTuple):
    """One addend of a price: what it is, its exact amount, and the facts it was made of.

    The amounts of one price are all decimals, or all fractions where a decimal would not end.
    """

    kind: str
    amount: Exact
    facts: Mapping[str, Decimal | str] = NO_FACTS


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
