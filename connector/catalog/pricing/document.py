"""A price as the catalogue, an order, a service and a charge keep it: a JSON document.

It has the fields that `l2c price` takes but for those that are only known when something is
priced: the currency, the quantity and the billing period.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any

import orjson

from connector.catalog.pricing.discounts import Discount
from connector.catalog.pricing.exact import digits
from connector.catalog.pricing.fields import Fields
from connector.catalog.pricing.policy import PricePolicy
from connector.catalog.pricing.price import Adjustments, Model, unrounded_price
from connector.catalog.pricing.reading import read_calculation
from connector.catalog.pricing.refusals import UnusablePrice
from connector.catalog.pricing.steps import Step

MODELS = (
    "flat", "per_unit", "graduated", "volume", "package", "percentage", "graduated_percentage",
    "stairstep", "resale", "vendor_licence", "vendor_usage",
)  # fmt: skip
_NOT_KEPT = ("currency", "quantity", "cycle", "transactions")
_READ_MAX = 4_096  # prices that a bill run keeps at hand: there are a few hundred in a catalogue


@dataclass(frozen=True, slots=True)
class Pricing:
    """A price model with its bounds and conventions; `document` is what it was read from."""

    model: Model
    adjustments: Adjustments
    policy: PricePolicy
    document: bytes

    @property
    def name(self) -> str:
        """The model's name in the document."""
        return str(self.as_json()["model"])

    @property
    def minimum(self) -> Decimal:
        """What a period costs at least."""
        return self.adjustments.minimum or Decimal(0)

    def as_json(self) -> dict[str, Any]:
        """Return the document."""
        found: dict[str, Any] = orjson.loads(self.document)
        return found

    def unrounded(
        self, quantity: Decimal, *, percent_off: Decimal = Decimal(0)
    ) -> tuple[Sequence[Step], Fraction]:
        """Price a quantity; return the steps and what they sum to, exact.

        A percentage comes off before the bounds count (domain 3.4, golden 16).

        Raises:
            UnusablePrice: The quantity is negative or does not fit the model.
        """
        adjustments = self.adjustments
        if percent_off:
            adjustments = Adjustments(
                discounts=(*adjustments.discounts, Discount(percent=percent_off)),
                minimum=adjustments.minimum,
                maximum=adjustments.maximum,
            )
        steps, whole = unrounded_price(
            model=self.model, quantity=quantity, adjustments=adjustments, policy=self.policy
        )
        return steps, Fraction(whole)


def read_pricing(document: Mapping[str, Any]) -> Pricing:
    """Return the price that a document states, read as `l2c price` reads it.

    Raises:
        UnusablePrice: A field is missing, unknown or wrong; the tiers leave a gap; the model is
            none that a product can have.
    """
    return _read(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))


def discounted_pricing(document: Mapping[str, Any], percent: Decimal) -> dict[str, Any]:
    """Return a price less a percentage that holds for good, as a quote agrees it."""
    off = {"percent": digits(percent.normalize())}
    return dict(document) | {"discounts": [*document.get("discounts", ()), off]}


def optional_pricing(document: Mapping[str, Any] | None) -> Pricing | None:
    """Return the price that a document states, or None when there is none."""
    return None if document is None else read_pricing(document)


@lru_cache(maxsize=_READ_MAX)
def _read(document: bytes) -> Pricing:
    fields: Fields = orjson.loads(document)
    for name in _NOT_KEPT:
        if name in fields:
            raise UnusablePrice(
                field=name,
                problem="a price in the catalogue has none.",
                remedy="It is only known when something is sold or used.",
            )
    if fields.get("model") not in MODELS:
        raise UnusablePrice(
            field="model",
            problem=f"there is no '{fields.get('model')}' for a product.",
            remedy=f"There are {', '.join(MODELS)}.",
        )
    # Neither counts for what is read here; the catalogue has checked the currency by itself.
    asked = read_calculation(dict(fields) | {"currency": "EUR", "quantity": "1"})
    if any(one.cycles is not None for one in asked.adjustments.discounts):
        raise UnusablePrice(
            field="discounts",
            problem="a discount of a price has no cycles.",
            remedy="List it under discounts of the catalogue, with its products.",
        )
    return Pricing(asked.model, asked.adjustments, asked.policy, document)
