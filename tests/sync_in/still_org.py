"""A local org whose time stands still until a test moves it, and who works in it."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from connector.flows.account_merge import merge_flows
from connector.sync.apply.report import ApplyReport
from connector.sync.capture.report import SweepReport
from connector.sync.capture.sweep import sweep
from connector.sync.push.run import PushReport, push_until_quiet


class StillOrg:
    """Moves the org's time; a user of the CRM logs in again after each move."""

    def __init__(self, org: Any, way_in: Any, *, log_in: Callable[[Any], Any]) -> None:
        self.org = org
        self.way_in = way_in
        self._log_in = log_in
        way_in.flows |= merge_flows(store=way_in.store)
        self.pass_time(minutes=5)  # it was founded a while ago

    @property
    def now(self) -> datetime:
        """Return the org's present."""
        return datetime.fromisoformat(self.org.admin("clock", method="GET")["now"]).astimezone(UTC)

    def pass_time(self, **span: int) -> None:
        """Let time pass in the org."""
        seconds = int(timedelta(**span).total_seconds())
        self.org.admin("clock", body={"advance_s": seconds})
        self.user = self._log_in(self.org)

    def sweep(self) -> SweepReport:
        return sweep(
            store=self.way_in.store,
            org=self.way_in.org,
            mappings=self.way_in.mappings,
            now_org=self.now,
        )

    def pull(self) -> ApplyReport:
        """Sweep and apply what was found."""
        self.sweep()
        return self.way_in.apply()

    def push(self) -> PushReport:
        """Send the CRM what it is owed."""
        return push_until_quiet(
            store=self.way_in.store,
            org=self.way_in.org,
            mappings=self.way_in.mappings,
            now=self.now,
            patience_s=0,
        )

    def open_transaction(self, *requests: dict[str, object]) -> str:
        """Run calls whose records are stamped now and become visible at the commit."""
        return self.org.admin("transactions", body={"requests": list(requests)})["id"]

    def commit(self, transaction: str) -> None:
        self.org.admin("transactions/commit", body={"id": transaction})

    def purge(self) -> None:
        """Empty the recycle bin, and the delete log with it."""
        self.org.admin("purge", body={})

    def undelete(self, *sfids: str) -> None:
        done = self.way_in.org.partner.undelete(list(sfids))
        assert not any(done.values()), done

    def merge(self, object_name: str, master: str, losers: Sequence[str]) -> None:
        done = self.way_in.org.partner.merge(object_name, master, losers)
        assert done.errors == (), done


def patch(object_name: str, sfid: str, **fields: object) -> dict[str, object]:
    """Return the call that updates a record, for a transaction."""
    url = f"/services/data/v64.0/sobjects/{object_name}/{sfid}"
    return {"method": "PATCH", "url": url, "body": fields}


def remove(object_name: str, sfid: str) -> dict[str, object]:
    """Return the call that deletes a record, for a transaction."""
    return {"method": "DELETE", "url": f"/services/data/v64.0/sobjects/{object_name}/{sfid}"}
