"""What a vendor lets nobody give up inside a term, but for a few days (mission row B24).

Seats that were ordered together are a batch. A batch may be given up within the vendor's window of
days, counted from the day it was ordered or, later, from the day the running term began; then it
is paid for until the term ends (domain 3.4, 3.10).
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from sqlalchemy import Connection, text

from connector.errors import StateConflict


class Committed(StateConflict):
    """Seats are to be given up that are paid for until their term ends."""

    code = "inventory.committed"


@dataclass(frozen=True, slots=True)
class Batch:
    """Seats that were ordered together."""

    since: date
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Commitment:
    """The seats of a service and what binds them; `renews_on` is the first day of the next term."""

    window_days: int
    term_from: date
    renews_on: date
    batches: tuple[Batch, ...]

    @property
    def quantity(self) -> Decimal:
        """How many seats there are."""
        return sum((batch.quantity for batch in self.batches), Decimal(0))

    def open_on(self, on: date) -> Decimal:
        """Return how many seats may be given up on a day: those whose window is open."""
        if on >= self.renews_on:
            return self.quantity
        opened_after = on - timedelta(days=self.window_days)
        return sum(
            (
                batch.quantity
                for batch in self.batches
                if max(batch.since, self.term_from) > opened_after
            ),
            Decimal(0),
        )

    def check(self, *, service: str, on: date, quantity: Decimal) -> None:
        """Refuse to let a service have fewer seats from a day on than it is bound to.

        Raises:
            Committed: More would be given up than the open windows allow; offers the renewal.
        """
        given_up, may_go = self.quantity - quantity, self.open_on(on)
        if given_up <= may_go:
            return
        raise Committed(
            f"{_plain(given_up)} of {_plain(self.quantity)} seats of {service} cannot be given up "
            f"on {on}: the vendor takes seats back within {self.window_days} days of their order, "
            f"which on that day are {_plain(may_go)}; at renewal, on {self.renews_on}, all may go",
            remedy=f"Date it {self.renews_on}.",
        )


def batches_of(first: Batch, quantities: Iterable[tuple[date, Decimal]]) -> tuple[Batch, ...]:
    """Return the batches behind a history of quantities, oldest first.

    What is given up is taken from the latest batches: only their windows can be open.
    """
    batches = [first]
    for on, quantity in quantities:
        more = quantity - sum((batch.quantity for batch in batches), Decimal(0))
        if more > 0:
            batches.append(Batch(on, more))
        while more < 0:
            last = batches.pop()
            if last.quantity + more > 0:
                batches.append(Batch(last.since, last.quantity + more))
            more = min(last.quantity + more, Decimal(0))
    return tuple(batches)


_COMMITTED = text("""
    SELECT s.id, (p.commitment ->> 'window_days')::int AS window_days, s.service_start_on,
           s.current_term_start_on, s.current_term_end_on + 1 AS renews_on, s.quantity,
           coalesce(history.before, '[]') AS before, coalesce(history.after, '[]') AS after
      FROM service s
      JOIN product p ON p.id = s.product_id
      LEFT JOIN LATERAL (
        SELECT jsonb_agg(c.old ->> 'quantity' ORDER BY c.effective_on, c.id) AS before,
               jsonb_agg(jsonb_build_array(c.effective_on, c.new ->> 'quantity')
                         ORDER BY c.effective_on, c.id) AS after
          FROM service_change c
         WHERE c.service_id = s.id AND c.state = 'Applied' AND c.new ? 'quantity') history ON true
     WHERE s.id = ANY(:ids) AND p.commitment IS NOT NULL
       AND s.service_start_on IS NOT NULL AND s.current_term_end_on IS NOT NULL
""")


def commitments_of(*, tx: Connection, ids: Collection[int]) -> dict[int, Commitment]:
    """Return what binds these services; one without a term, or of a product without, is free."""
    found: dict[int, Commitment] = {}
    for row in tx.execute(_COMMITTED, {"ids": list(ids)}):
        first = Decimal(row.before[0]) if row.before else row.quantity
        history = [(date.fromisoformat(day), Decimal(many)) for day, many in row.after]
        found[row.id] = Commitment(
            window_days=row.window_days,
            term_from=row.current_term_start_on or row.service_start_on,
            renews_on=row.renews_on,
            batches=batches_of(Batch(row.service_start_on, first), history),
        )
    return found


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"
