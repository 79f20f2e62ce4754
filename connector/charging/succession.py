"""How one recurring charge follows another: the rule that bill runs and simulations share."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

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


def _of(standing: Sequence[Standing], charge_id: int) -> Standing:
    return next(one for one in standing if one.charge_id == charge_id)


def _yearly(per_period: Fraction, every: Interval) -> Fraction:
    return per_period * every.per_year
