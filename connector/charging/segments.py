"""Dated segments of a recurring charge: pure rules of starting, changing and ending.

The segments of a service follow each other without gap or overlap. A change closes the segment in
force and opens a new one that takes over its end; an end cuts every segment back to its day. What
was billed too much falls out of the arithmetic: the cut segment is worth less than it has booked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from connector.charging.policy import Basis, Credit, ProrationPolicy
from connector.errors import StateConflict
from connector.kernel.period import Cycle

ONE_DAY = timedelta(days=1)


class NothingToBill(StateConflict):
    """The service has no recurring charge that could be changed or ended."""

    code = "charging.nothing_to_bill"
    remedy = "Start its billing first."


class BillingAlreadyStarted(StateConflict):
    """Billing of the service began already, and exactly once is enough."""

    code = "charging.already_started"
    remedy = "Change or end the billing of the service instead."


class BillingAlreadyEnded(StateConflict):
    """The billing of the service has ended before the wanted day."""

    code = "charging.already_ended"
    remedy = "Give a day before the end, or order the service anew."


class BillingPaused(StateConflict):
    """The service is suspended, and nothing of it is billed meanwhile."""

    code = "charging.paused"
    remedy = "Resume the service first."


class BeforeBillingStart(StateConflict):
    """The wanted day lies before the first billed day."""

    code = "charging.before_start"
    remedy = "Give a day on or after the billing start."


@dataclass(frozen=True, slots=True)
class Segment:
    """A recurring charge between two days; an end of None is open."""

    charge_id: int
    starts_on: date
    ends_on: date | None

    @property
    def is_empty(self) -> bool:
        """Whether no day is left in it."""
        return self.ends_on == self.starts_on


@dataclass(frozen=True, slots=True)
class Cut:
    """A segment and its new end."""

    charge_id: int
    ends_on: date


@dataclass(frozen=True, slots=True)
class Change:
    """The segment to close, and the days of the segment that follows it."""

    cut: Cut
    starts_on: date
    ends_on: date | None


def first_billed_day(*, started_on: date, policy: ProrationPolicy) -> date:
    """Return the day from which a service that started is billed."""
    return started_on if policy.bill_first_day else started_on + ONE_DAY


def change_day(*, on: date, policy: ProrationPolicy, is_decrease: bool, cycle: Cycle) -> date:
    """Return the day on which a change shows in the price.

    A basis that knows only whole periods, and a decrease that is not credited, wait for the next
    billing period.
    """
    waits = policy.basis in (Basis.FULL, Basis.NONE) or (
        is_decrease and policy.credit_on_decrease is Credit.NONE
    )
    return cycle.boundary_from(on) if waits else on


def plan_change(segments: Sequence[Segment], *, on: date) -> Change:
    """Close the segment in force on the day and open one that takes over its end.

    On a day between two segments, when the service was suspended, the later one is taken over as a
    whole: nothing is billed for the days between.

    Raises:
        NothingToBill: There is no segment.
        BeforeBillingStart: The day lies before the first segment.
        BillingAlreadyEnded: The day lies after the last one.
    """
    live = _live(segments)
    if on < live[0].starts_on:
        raise BeforeBillingStart(f"A change on {on} lies before the start on {live[0].starts_on}.")
    for segment in live:
        if segment.ends_on is None or on < segment.ends_on:
            starts_on = max(on, segment.starts_on)
            return Change(Cut(segment.charge_id, starts_on), starts_on, segment.ends_on)
    raise BillingAlreadyEnded(f"Billing ended on {live[-1].ends_on}; no change on {on}.")


def plan_end(
    segments: Sequence[Segment], *, on: date, policy: ProrationPolicy, cycle: Cycle
) -> tuple[Cut, ...]:
    """Cut every segment back to the day; nothing when billing ends on that day already.

    A day before the start leaves nothing to bill (domain 3.4, golden 5).

    Raises:
        NothingToBill: There is no segment.
        BillingAlreadyEnded: Billing ended earlier.
    """
    live = _live(segments)
    until = _billed_until(live[0].starts_on, on=on, policy=policy, cycle=cycle)
    ended = live[-1].ends_on
    if ended is not None and ended < until:
        raise BillingAlreadyEnded(f"Billing ended on {ended} already; it cannot end on {until}.")
    return tuple(
        Cut(segment.charge_id, max(segment.starts_on, until))
        for segment in live
        if segment.ends_on is None or segment.ends_on > until
    )


def _billed_until(first: date, *, on: date, policy: ProrationPolicy, cycle: Cycle) -> date:
    """Return the first day that is not billed any more."""
    if on < first or (on == first and not policy.bill_last_day):
        return on
    until = on + ONE_DAY if policy.bill_last_day else on
    until = max(until, first + policy.min_charge_days * ONE_DAY)
    if policy.basis is Basis.NONE:
        return cycle.period_of(until).start
    if policy.basis is Basis.FULL or policy.credit_on_cancel is Credit.NONE:
        return cycle.boundary_from(until)
    return until


def _live(segments: Sequence[Segment]) -> list[Segment]:
    live = sorted(
        (segment for segment in segments if not segment.is_empty),
        key=lambda segment: segment.starts_on,
    )
    if not live:
        raise NothingToBill("The service has no day that is billed.")
    return live
