"""Who may spend the API calls of a day: lanes with reservations, and when they slow down.

All of it is arithmetic on what the org says is left and on what each lane has spent in the last 24
hours; nothing here asks anybody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

FULL_SPEED_ABOVE_PERCENT = 30  # of the day's calls left: sweeps keep their promise (design 4)
SLOWEST = 20


class Lane(StrEnum):
    """What calls are for."""

    INTERACTIVE = "interactive"  # asks and their answers, changes of a few records
    PUSH = "push"
    SWEEP = "sweep"
    RECONCILE = "reconcile"  # comparisons, descriptions of the schema
    OTHERS = "others"  # every other system that uses the org


# Percent of the day's calls; what is reserved for nobody is everybody's.
DEFAULT_SHARES: Mapping[Lane, int] = {
    Lane.INTERACTIVE: 10,
    Lane.PUSH: 35,
    Lane.SWEEP: 10,
    Lane.RECONCILE: 5,
    Lane.OTHERS: 20,
}
# How far apart two uses of a lane are once it slows down; times the factor of slowness.
_PACE = {Lane.SWEEP: timedelta(seconds=60), Lane.PUSH: timedelta(seconds=20)}


def shares_of(named: Mapping[str, int]) -> Mapping[Lane, int]:
    """Return the percent of each lane as the settings name them."""
    return {Lane(name): percent for name, percent in named.items()}


class Hold(StrEnum):
    """Why no call is made at all."""

    DAILY = "daily"  # the rolling day's calls are used up: hours
    CONCURRENCY = "concurrency"  # too many at once: seconds


@dataclass(frozen=True, slots=True)
class Leave:
    """Whether a lane may call now; `calls_max` is None when nothing is known of the org's limit."""

    calls_max: int | None = None
    why_not: str = ""

    @property
    def is_given(self) -> bool:
        """Return whether the lane may call."""
        return not self.why_not


@dataclass(frozen=True, slots=True)
class Budget:
    """The calls of the last 24 hours, as the org counts them and as we do.

    `used` and `allowed` are the org's and None before its first answer. `last_call_at` and
    `forecast_at` (when nothing is left, if it goes on like this) are on the store's clock.
    """

    used: int | None = None
    allowed: int | None = None
    spent: Mapping[Lane, int] = field(default_factory=dict)
    last_call_at: Mapping[Lane, datetime] = field(default_factory=dict)
    shares: Mapping[Lane, int] = field(default_factory=lambda: DEFAULT_SHARES)
    forecast_at: datetime | None = None
    held_for: Hold | None = None
    held_until: datetime | None = None

    @property
    def left(self) -> int | None:
        """Return the calls that are left."""
        if self.used is None or self.allowed is None:
            return None
        return max(0, self.allowed - self.used)

    @property
    def percent_left(self) -> int | None:
        """Return the whole percent of the day's calls that are left."""
        if self.left is None or not self.allowed:
            return None
        return self.left * 100 // self.allowed

    @property
    def slowness(self) -> float:
        """Return by what factor sweeps and pushes stretch: 1 above 30 % left, then more."""
        if self.left is None or not self.allowed:
            return 1.0
        return min(
            max(1.0, FULL_SPEED_ABOVE_PERCENT * self.allowed / 100 / max(self.left, 1)),
            float(SLOWEST),
        )

    def reserved(self, lane: Lane) -> int:
        """Return the calls of a day nobody else may take."""
        return (self.allowed or 0) * self.shares.get(lane, 0) // 100

    def spent_by(self, lane: Lane) -> int:
        """Return what a lane has used; what the org counted and we did not is the others'."""
        if lane is Lane.OTHERS:
            ours = sum(calls for one, calls in self.spent.items() if one is not Lane.OTHERS)
            return max(0, (self.used or 0) - ours)
        return self.spent.get(lane, 0)

    def spendable(self, lane: Lane) -> int | None:
        """Return the calls a lane may make without touching what is reserved for another.

        When less is left than is still reserved, because somebody took more than his, each lane
        has its share of it: no reservation is worth nothing.
        """
        if self.left is None:
            return None
        unspent = {one: max(0, self.reserved(one) - self.spent_by(one)) for one in Lane}
        promised = sum(unspent.values())
        if promised > self.left:
            return self.left * unspent[lane] // promised
        return self.left - (promised - unspent[lane])

    def leave(self, lane: Lane, *, now: datetime) -> Leave:
        """Decide whether a lane may call now: it is slowed before it is stopped."""
        if self.held_for is not None and self.held_until is not None and now < self.held_until:
            return Leave(0, _HELD[self.held_for].format(until=_clock(self.held_until)))
        calls = self.spendable(lane)
        if calls == 0:
            return Leave(
                0, f"{self.left} API calls are left, reserved for others than {lane.value}."
            )
        last_at = self.last_call_at.get(lane)
        if self.slowness > 1 and lane in _PACE and last_at is not None:
            again_at = last_at + _PACE[lane] * self.slowness
            if now < again_at:
                return Leave(
                    0,
                    f"Slowed down, {self.percent_left} % of the API calls are left: "
                    f"{lane.value} goes on at {_clock(again_at)}.",
                )
        return Leave(calls)


_HELD = {
    Hold.DAILY: "The API calls of the day are used up; nothing is sent but a probe at {until}.",
    Hold.CONCURRENCY: "The org has too many calls at once; nothing is sent until {until}.",
}


def _clock(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%H:%M:%S} UTC"
