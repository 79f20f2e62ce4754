"""How one recurring charge follows another: the rule that bill runs and simulations share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

from connector.charging.policy import ProrationPolicy
from connector.charging.segments import (
    Cut,
    Segment,
    change_day,
    first_billed_day,
    plan_change,
    plan_end,
)
from connector.kernel.period import Cycle, Interval


@dataclass(frozen=True, slots=True)
class Standing:
    """A recurring charge as it stands; `per_period` is what a whole period of it costs."""

    charge_id: int
    starts_on: date
    ends_on: date | None
    per_period: Fraction
    policy: ProrationPolicy

    @property
    def segment(self) -> Segment:
        """Its days."""
        return Segment(self.charge_id, self.starts_on, self.ends_on)


@dataclass(frozen=True, slots=True)
class Opening:
    """The days of a charge to be made and the policy it is made under."""

    starts_on: date
    ends_on: date | None
    policy: ProrationPolicy


@dataclass(frozen=True, slots=True)
class Succession:
    """The charge to cut and the one that takes over."""

    cut: Cut
    opening: Opening


def plan_first(*, on: date, policy: ProrationPolicy) -> Opening:
    """Return the first charge of a service that started on a day."""
    first = first_billed_day(started_on=on, policy=policy)
    return Opening(first, None, policy.opened(on=first, before=None))


def plan_succession(
    standing: Sequence[Standing],
    *,
    on: date,
    per_period: Fraction,
    policy: ProrationPolicy,
    payer: Cycle,
) -> Succession:
    """Return how a price takes over from a day on.

    A price is lower when it is lower by the year: the new plan may have another interval. What
    waits for a period to end waits for that of the charge in force.

    Raises:
        NothingToBill: Billing never started.
        BeforeBillingStart: The day lies before the first billed day.
        BillingAlreadyEnded: The day lies after the end.
    """
    segments = tuple(one.segment for one in standing)
    before = _of(standing, plan_change(segments, on=on).cut.charge_id)
    effective_on = change_day(
        on=on,
        policy=policy,
        is_decrease=_yearly(per_period, policy.every)
        < _yearly(before.per_period, before.policy.every),
        cycle=before.policy.cycle(payer),
    )
    plan = plan_change(segments, on=effective_on)
    before = _of(standing, plan.cut.charge_id)
    opened = policy.opened(on=plan.starts_on, before=before.policy)
    return Succession(plan.cut, Opening(plan.starts_on, plan.ends_on, opened))


def plan_stop(standing: Sequence[Standing], *, on: date, payer: Cycle) -> tuple[Cut, ...]:
    """Return the cuts that end billing on a day, under the policy of the latest charge.

    Raises:
        NothingToBill: Billing never started.
        BillingAlreadyEnded: Billing ended on an earlier day.
    """
    policy = standing[-1].policy if standing else ProrationPolicy()
    return plan_end(
        tuple(one.segment for one in standing), on=on, policy=policy, cycle=policy.cycle(payer)
    )


@dataclass(frozen=True, slots=True)
class GoingOn:
    """A charge that is cut, and the days on which it goes on in another one on the same terms."""

    cut: Cut
    starts_on: date
    ends_on: date | None


def plan_going_on(standing: Sequence[Standing], *, on: date, payer: Cycle) -> tuple[GoingOn, ...]:
    """Return how everything goes on from a day, at another place or on another account.

    Each day is in one charge or the other, never in both (domain 3.4, golden 13). Prices that are
    agreed for later days go along.

    Raises:
        NothingToBill: Billing never started.
        BeforeBillingStart: The day lies before the first billed day.
        BillingAlreadyEnded: The day lies after the end.
    """
    segments = tuple(one.segment for one in standing)
    policy = _of(standing, plan_change(segments, on=on).cut.charge_id).policy
    day = change_day(on=on, policy=policy, is_decrease=False, cycle=policy.cycle(payer))
    plan_change(segments, on=day)
    return tuple(
        GoingOn(Cut(one.charge_id, starts_on), starts_on, one.ends_on)
        for one in standing
        if not one.segment.is_empty and (one.ends_on is None or one.ends_on > day)
        for starts_on in (max(one.starts_on, day),)
    )


@dataclass(frozen=True, slots=True)
class Pause:
    """A charge that is cut for as long as its service is suspended, and how far it went."""

    charge_id: int
    on: date
    starts_on: date
    until: date | None

    def as_json(self) -> dict[str, Any]:
        """Return it as a charge keeps it."""
        until = None if self.until is None else str(self.until)
        return {"on": str(self.on), "from": str(self.starts_on), "until": until}

    @classmethod
    def from_json(cls, charge_id: int, kept: Mapping[str, Any]) -> "Pause":
        """Return it as it was kept."""
        until = kept["until"]
        return cls(
            charge_id,
            date.fromisoformat(kept["on"]),
            date.fromisoformat(kept["from"]),
            None if until is None else date.fromisoformat(until),
        )


def plan_pause(
    standing: Sequence[Standing], *, on: date, payer: Cycle
) -> tuple[tuple[Cut, Pause], ...]:
    """Return the cuts that pause billing on a day, each with what it takes to go on.

    Raises:
        NothingToBill: Billing never started.
        BillingAlreadyEnded: Billing ended on an earlier day.
    """
    return tuple(
        (cut, Pause(cut.charge_id, on, max(before.starts_on, cut.ends_on), before.ends_on))
        for cut in plan_stop(standing, on=on, payer=payer)
        for before in (_of(standing, cut.charge_id),)
    )


def plan_resume(pauses: Sequence[Pause], *, on: date) -> tuple[tuple[int, date, date | None], ...]:
    """Return which charges go on from a day, each with its days; what has run out does not."""
    return tuple(
        (one.charge_id, starts_on, one.until)
        for one in pauses
        for starts_on in (max(on, one.starts_on),)
        if one.until is None or one.until > starts_on
    )


def _of(standing: Sequence[Standing], charge_id: int) -> Standing:
    return next(one for one in standing if one.charge_id == charge_id)


def _yearly(per_period: Fraction, every: Interval) -> Fraction:
    return per_period * every.per_year
