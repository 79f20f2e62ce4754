"""What comes back to a customer or a vendor's partner for the turnover of a span of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from connector.catalog.pricing.policy import PricePolicy
from connector.catalog.pricing.steps import Step
from connector.catalog.pricing.tiers import Tier, check_tiers, graduated_steps, whole_steps


class AppliesTo(StrEnum):
    """What the rate of a band applies to."""

    BAND = "band"
    TURNOVER = "turnover"


@dataclass(frozen=True, slots=True)
class Rebate:
    """Rates by bands of turnover, each on its own band or the last one on everything.

    3 % up to 10,000 and 7 % above give 650 of 15,000 by band and 1,050 on the whole (domain 3.10).
    """

    bands: tuple[Tier, ...]
    applies_to: AppliesTo = AppliesTo.BAND

    def __post_init__(self) -> None:
        check_tiers(self.bands)

    def steps(self, quantity: Decimal, policy: PricePolicy) -> Sequence[Step]:
        """Return what the turnover, the quantity, earns."""
        shared = graduated_steps if self.applies_to is AppliesTo.BAND else whole_steps
        return list(shared(self.bands, quantity, policy, rate_name="rate"))
