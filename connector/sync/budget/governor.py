"""Gives use-cases leave to call the org, and notices when the org refuses calls.

Many processes share one governor through the store: a refusal that one of them met holds all. After
a refusal for the day only a probe is made, by one process, every five minutes; the rolling window
frees calls by and by. After one for too many calls at once all wait some seconds, longer each time.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import structlog
from sqlalchemy import text

from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.errors import OrgLimit
from connector.errors import TransientFailure
from connector.store.engine import Store
from connector.sync.budget.lanes import DEFAULT_SHARES, Hold, Lane, Leave
from connector.sync.budget.usage import read_budget, spend

log = structlog.get_logger(__name__)

PROBE_EVERY_S = 300
LONGEST_PAUSE_S = 60

_HOLD = text("""
    INSERT INTO api_usage AS u (id, held_for, held_until, holds)
    VALUES (1, :held_for, now() + make_interval(secs => :first_s), 1)
    ON CONFLICT (id) DO UPDATE
       SET held_for = excluded.held_for, holds = u.holds + 1,
           held_until = CASE excluded.held_for WHEN 'daily' THEN excluded.held_until
               ELSE now() + make_interval(
                   secs => least(:longest_s, :first_s * power(2, least(u.holds, 10)))) END
""")
_MAY_PROBE = text("""
    UPDATE api_usage SET held_until = now() + make_interval(secs => :pause_s)
     WHERE held_for = 'daily' AND held_until <= now() RETURNING id
""")
_RELEASE = text("""
    UPDATE api_usage SET held_for = NULL, held_until = NULL, holds = 0
     WHERE held_for = ANY (CAST(:kinds AS text[]))
""")


class CallsHeld(TransientFailure):
    """The API calls that are left are kept for something else."""

    code = "org.calls_held"
    remedy = "It goes on by itself; `l2c sync status` shows how the calls of the day stand."


class Governor:
    """The gate before every use-case that calls the org."""

    def __init__(
        self,
        store: Store,
        org: Callable[[], OrgClient],
        *,
        shares: Mapping[Lane, int] = DEFAULT_SHARES,
    ) -> None:
        self._store = store
        self._org = org
        self.shares = shares

    def leave(self, lane: Lane) -> Leave:
        """Return whether the lane may call now; makes the probe when one is due."""
        with self._store.read() as tx:
            budget, now = read_budget(tx, shares=self.shares)
        is_over = budget.held_until is not None and budget.held_until <= now
        if budget.held_for is Hold.DAILY and is_over:
            if not self._probe():
                return Leave(0, "The API calls of the day are used up; a probe was refused.")
            with self._store.read() as tx:
                budget, now = read_budget(tx, shares=self.shares)
        return budget.leave(lane, now=now)

    @contextmanager
    def spending(self, lane: Lane) -> Iterator[None]:
        """Book the calls made inside on the lane, failed ones too.

        Calls that another job makes meanwhile through the same client are booked twice.
        """
        org = self._org()
        calls_before = org.calls
        org.take_limit_refusal()  # one of long ago concerns nobody
        try:
            yield
        finally:
            refusal = org.take_limit_refusal()
            calls = org.calls - calls_before
            if calls:
                with self._store.transaction() as tx:
                    spend(tx=tx, lane=lane, calls=calls, limit=org.limit_info)
                    if refusal is None:
                        tx.execute(_RELEASE, {"kinds": [Hold.CONCURRENCY.value]})
            if refusal is not None:
                self._hold(refusal)

    @contextmanager
    def allowed(self, lane: Lane) -> Iterator[None]:
        """Spend on the lane.

        Raises:
            CallsHeld: The lane may not call now.
        """
        leave = self.leave(lane)
        if not leave.is_given:
            raise CallsHeld(leave.why_not)
        with self.spending(lane):
            yield

    def _probe(self) -> bool:
        """Ask the org once whether it takes calls again; one process at a time does."""
        with self._store.transaction() as tx:
            if tx.execute(_MAY_PROBE, {"pause_s": PROBE_EVERY_S}).one_or_none() is None:
                return False
        org = self._org()
        try:
            org.call("GET", "limits")
        except TransientFailure as error:
            log.info("budget.probe_refused", code=error.code)
            return False
        with self._store.transaction() as tx:
            tx.execute(_RELEASE, {"kinds": [Hold.DAILY.value]})
            spend(tx=tx, lane=Lane.INTERACTIVE, calls=1, limit=org.limit_info)
        log.info("budget.released")
        return True

    def _hold(self, refusal: OrgLimit) -> None:
        kind = Hold.DAILY if refusal.is_daily else Hold.CONCURRENCY
        with self._store.transaction() as tx:
            tx.execute(
                _HOLD,
                {
                    "held_for": kind.value,
                    "first_s": PROBE_EVERY_S if refusal.is_daily else 2,
                    "longest_s": LONGEST_PAUSE_S,
                },
            )
        log.warning("budget.held", kind=kind.value)
