"""Conventions of pricing that sellers choose differently; the defaults are ours."""

from dataclasses import dataclass
from enum import StrEnum


class FlatAtZero(StrEnum):
    """Whether the first tier's flat fee is due when nothing was used."""

    DUE = "due"
    WAIVED = "waived"


class TierBound(StrEnum):
    """Whether a quantity of exactly `up_to` still lies in that tier."""

    INCLUSIVE = "inclusive"
    EXCLUSIVE = "exclusive"


@dataclass(frozen=True, slots=True)
class PricePolicy:
    """How a price is computed where agreements differ (design D9).

    Defaults: a flat fee is paid for having the tier, used or not; "up to 10" includes the tenth.
    """

    flat_at_zero: FlatAtZero = FlatAtZero.DUE
    tier_bound: TierBound = TierBound.INCLUSIVE


DEFAULT_POLICY = PricePolicy()
