"""Plays a scenario day by day: events, bills on bill days, bills on order, payments."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from connector.billing.compose import compose
from connector.billing.draft import DocumentDraft
from connector.billing.vendor_discounts import (
    Earned,
    VendorDiscount,
    best_earned,
    with_vendor_discounts,
)
from connector.charging.policy import Partials
from connector.errors import ConnectorError, InvalidInput
from connector.simulation.acts import act
from connector.simulation.events import Draft, Event
from connector.simulation.parts import day_of
from connector.simulation.script import Script
from connector.simulation.world import Document, Ledger, World

BILL_DAYS_MAX = 1_200  # a century of months
WORK_MAX = 2_000_000  # charges × bill days²: about a minute


class EventRefused(InvalidInput):
    """An event does not fit what happened before it."""

    code = "simulation.event_refused"

    def __init__(self, index: int, cause: ConnectorError) -> None:
        super().__init__(f"{cause.message} ({cause.code})", remedy=cause.remedy)
        self.index = index
        self.cause = cause


class TooMuchToPlay(InvalidInput):
    """The scenario has more charges and bill days than a simulation plays."""

    code = "simulation.too_much"
    remedy = "Let it end earlier, or split it into several."


@dataclass(frozen=True, slots=True)
class Played:
    """What came out of a scenario."""

    world: World
    drafts: tuple[Document, ...]

    @property
    def documents(self) -> list[Document]:
        """Invoices and credit notes, in the order in which they were made."""
        return self.world.documents


def play(script: Script) -> Played:
    """Play a scenario; touch nothing but memory.

    Events are heard of on `reported`, or else on their own day, in the order of these days and
    of the file. Bills of a day come after its events. What is heard of after the last bill day
    still happens.

    Raises:
        EventRefused: An event does not fit; it has the event's place in the file.
        ForeignChargeCurrency: A price is in another currency than the account's.
        NoTaxRate: A tax rate is missing.
        TooMuchToPlay: It would take too long.
    """
    return _Play(script).run()


class _Play:
    def __init__(self, script: Script) -> None:
        self.script = script
        self.world = World(script)
        self.drafts: list[Document] = []
        self.until = day_of(self.world, script.until)
        self.rules = [VendorDiscount(r.vendor, r.min_services, r.percent) for r in script.rules]
        # What an account earned in which of its periods: decided once (golden 14).
        self.earned: dict[str, list[Earned]] = {name: [] for name in self.world.ledgers}
        self.decided: set[tuple[str, date]] = set()

    def run(self) -> Played:
        heard = sorted(
            (
                (day_of(self.world, event.reported or event.at), index, event)
                for index, event in enumerate(self.script.events)
            ),
            key=lambda one: one[:2],
        )
        if not heard:
            return Played(self.world, ())
        bill_days = {
            name: set(self._bill_days(ledger, heard[0][0]))
            for name, ledger in self.world.ledgers.items()
        }
        self._bound(max(len(days) for days in bill_days.values()))
        days = sorted({day for days in bill_days.values() for day in days} | {h[0] for h in heard})
        for day in days:
            for _, index, event in (one for one in heard if one[0] == day):
                self._perform(index, event)
            for name, ledger in self.world.ledgers.items():
                if day in bill_days[name]:
                    on_order = self._invoices_on_order(ledger)
                    self.world.book(ledger, self._compose(ledger, day, on_order=on_order))
                elif ledger.is_touched and day <= self.until and self._invoices_on_order(ledger):
                    self.world.book(ledger, self._compose(ledger, day, on_order=True))
        return Played(self.world, tuple(self.drafts))

    def _perform(self, index: int, event: Event) -> None:
        try:
            if isinstance(event, Draft):
                self._draft(day_of(self.world, event.draft))
            else:
                act(event, self.world)
        except ConnectorError as error:
            raise EventRefused(index, error) from error

    def _bound(self, bills: int) -> None:
        charges = sum(map(self._charges_of, self.script.events))
        if charges * bills * bills > WORK_MAX:
            raise TooMuchToPlay(f"{charges} charges and {bills} bill days are too many together.")

    def _charges_of(self, event: Event) -> int:
        """Return how many charges an event can make."""
        plan = self.script.catalogue.get(getattr(event, "plan", None) or "")
        parts = len(plan.parts or ()) if plan else 0
        return max(1, parts) * (1 + len(getattr(event, "steps", ())))

    def _bill_days(self, ledger: Ledger, first: date) -> Iterator[date]:
        cycle = ledger.payer.cycle
        day = cycle.boundary_from(first)
        for _ in range(BILL_DAYS_MAX):
            if day > self.until:
                return
            yield day
            end = cycle.period_of(day).end
            assert end is not None
            day = end
        raise TooMuchToPlay(f"There are more than {BILL_DAYS_MAX} bill days before {self.until}.")

    def _compose(
        self, ledger: Ledger, day: date, *, on_order: bool = False
    ) -> tuple[DocumentDraft, ...]:
        earned = self._earned(ledger, day)
        charges = [with_vendor_discounts(one, earned) for one in ledger.charges.values()]
        return compose(
            ledger.payer, charges, ledger.booked, self.world.taxes, day, on_order=on_order
        )

    def _earned(self, ledger: Ledger, day: date) -> list[Earned]:
        earned = self.earned[ledger.name]
        period = ledger.payer.cycle.period_of(day)
        if (ledger.name, period.start) not in self.decided:
            earned += best_earned(self.rules, tuple(ledger.charges.values()), period)
            self.decided.add((ledger.name, period.start))
        return earned

    def _invoices_on_order(self, ledger: Ledger) -> bool:
        return any(
            charge.policy.invoice_partials_on is Partials.ON_ORDER
            for charge in ledger.charges.values()
        )

    def _draft(self, day: date) -> None:
        for ledger in self.world.ledgers.values():
            touched = ledger.is_touched
            for draft in self._compose(ledger, day):
                self.drafts.append(Document("", ledger.name, draft, draft.total))
            ledger.is_touched = touched
        # A draft decides nothing: who has how many services is counted when the bill is made.
        self.decided = {one for one in self.decided if one[1] < day}
        for earned in self.earned.values():
            earned[:] = [one for one in earned if one.period.start < day]
