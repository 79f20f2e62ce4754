"""A minimum that was promised: what is missing from it is charged as a true-up."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from connector.catalog.pricing.exact import ZERO
from connector.catalog.pricing.policy import PricePolicy
from connector.catalog.pricing.refusals import require_not_negative
from connector.catalog.pricing.steps import Step


@dataclass(frozen=True, slots=True)
class TrueUp:
    """The difference between a commitment and what was spent, once its period has closed."""

    commitment: Decimal

    def __post_init__(self) -> None:
        require_not_negative(commitment=self.commitment)

    def steps(self, quantity: Decimal, policy: PricePolicy) -> Sequence[Step]:  # noqa: ARG002
        """Return what is missing; nothing when the quantity, what was spent, is enough."""
        facts = {"commitment": self.commitment, "spent": quantity}
        return (Step("true_up", max(self.commitment - quantity, ZERO), facts),)
