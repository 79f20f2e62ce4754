"""What a bill is for: the day it goes up to, the periods that are due, the services that ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from connector.billing.draft import BillableCharge
from connector.charging.policy import Timing
from connector.charging.value import periods_of
from connector.kernel.period import Cycle, Period


@dataclass(frozen=True, slots=True)
class Calendar:
    """The day a bill goes up to and the payer's billing periods.

    Recurring charges in advance are billed for what begins before the period around the day
    ends; everything else for what happened before the day, or on it when it is the day of an
    order.
    """

    billed_to: date
    cycle: Cycle
    is_on_order: bool = False

    @property
    def advance(self) -> Period:
        """The billing period that is billed in advance."""
        return self.cycle.period_of(self.billed_to)

    def has_happened(self, on: date) -> bool:
        """Return whether what was sold on the day is due."""
        return on < self.billed_to or (self.is_on_order and on == self.billed_to)


def ended_services(charges: Sequence[BillableCharge], billed_to: date) -> set[int | None]:
    """Return the services that nobody has any more on the day."""
    living = {
        charge.service_id
        for charge in charges
        if charge.kind == "recurring" and (charge.ends_on is None or charge.ends_on > billed_to)
    }
    return {charge.service_id for charge in charges if charge.kind == "recurring"} - living


def due_periods(
    charge: BillableCharge, served: Period, cycle: Cycle, calendar: Calendar
) -> set[Period]:
    """Return the periods that are billed: begun ones in advance, finished ones in arrears."""
    if charge.policy.when is Timing.ADVANCE:
        return set(periods_of(served, until=_end(calendar.advance), cycle=cycle))
    begun = periods_of(served, until=calendar.billed_to, cycle=cycle)
    return {one for one in begun if _end(one.intersection(served) or one) <= calendar.billed_to}


def _end(days: Period) -> date:
    assert days.end is not None
    return days.end
