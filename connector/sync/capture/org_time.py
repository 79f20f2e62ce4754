"""What time it is in the org: sync keeps no places by the clock of this machine (design D17).

The difference between the two clocks is asked for once an hour, one counted call; in between the
machine's clock goes on from there. A machine that runs ahead of the org would otherwise keep places
the org has not reached yet, and lose what happens there until it does.
"""

import threading
from datetime import datetime, timedelta

import structlog

from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.errors import OrgRefused
from connector.errors import TransientFailure

log = structlog.get_logger(__name__)

ASK_EVERY = timedelta(hours=1)
NOTABLE = timedelta(seconds=30)


class OrgTime:
    """The org's clock, as near as we know it; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead = timedelta()
        self._asked_at: datetime | None = None

    def now(self, org: OrgClient, *, machine_now: datetime) -> datetime:
        """Return the org's present instant; an org that cannot be asked has the machine's."""
        with self._lock:
            if self._asked_at is None or machine_now - self._asked_at >= ASK_EVERY:
                self._ask(org, machine_now)
            return machine_now + self._ahead

    def _ask(self, org: OrgClient, machine_now: datetime) -> None:
        try:
            self._ahead = org.partner.server_time() - machine_now
        except (OrgRefused, TransientFailure) as error:
            log.warning("sync.org_time_unknown", code=error.code)
            return
        self._asked_at = machine_now
        if abs(self._ahead) > NOTABLE:
            ahead_s = int(self._ahead.total_seconds())
            log.warning("sync.clocks_differ", org_ahead_s=ahead_s)
