"""The use-cases that speak to the CRM. Each asks the governor for leave to call it."""

from collections.abc import Sequence
from datetime import timedelta

from connector.adapters.salesforce.crm_acts import MergedAccounts, convert_leads, merge_accounts
from connector.adapters.salesforce.ids import to_18
from connector.adapters.salesforce.results import Converted
from connector.bootstrap.job_names import APPLY, FILES, PUSH, TASKS
from connector.bootstrap.wiring import Wiring
from connector.errors import StateConflict
from connector.parties.merging import Keep, TwoBilledCustomers, billed_customers
from connector.sync.apply.merges import decide_merge, open_merges
from connector.sync.apply.report import ApplyReport
from connector.sync.apply.run import apply_pending
from connector.sync.budget.governor import CallsHeld
from connector.sync.budget.lanes import Lane, Leave
from connector.sync.capture.full_load import FullLoadReport, load_fully
from connector.sync.capture.owed_sweeps import sweep_owed
from connector.sync.capture.report import SweepReport
from connector.sync.capture.sweep import sweep
from connector.sync.mapping.findings import halted
from connector.sync.mapping.validate import validate
from connector.sync.push.files import FilesReport, push_files
from connector.sync.push.queue import is_small
from connector.sync.push.run import PushReport, push_pending, push_until_quiet, rows_within
from connector.sync.push.shadow import shadow_push
from connector.sync.push.wake import wake_objects
from connector.sync.reconcile.compare import reconcile
from connector.sync.reconcile.report import ReconcileReport

BY_HAND_PATIENCE_S = 30


class CrmUseCases(Wiring):
    """In, out, and both sides compared."""

    def sweep(self) -> SweepReport:
        """Ask the org for every change since the last sweep and store it in the inbox.

        Records whose change events were lost are found first.
        """
        self._look_first()
        leave = self.governor.leave(Lane.SWEEP)
        if not leave.is_given:
            return SweepReport(held=leave.why_not)
        with self.governor.spending(Lane.SWEEP):
            now_org = self._org_time.now(self.org, machine_now=self.wall_clock.now())
            owed = sweep_owed(
                store=self.store, org=self.org, mappings=self.mappings, now_org=now_org
            )
            report = sweep(
                store=self.store,
                org=self.org,
                mappings=self.mappings,
                now_org=now_org,
                overlap=timedelta(seconds=self.settings.sync.overlap_s),
            )
        if report.stored_total or owed.found_total:
            self.queue.nudge(APPLY)
        return report

    def load_fully(self, objects: Sequence[str] = ()) -> FullLoadReport:
        """Take everything the mappings pull into the inbox, or what they pull of some objects."""
        with self.governor.allowed(Lane.SWEEP):
            report = load_fully(
                store=self.store,
                org=self.org,
                mappings=self.mappings,
                now_org=self._org_time.now(self.org, machine_now=self.wall_clock.now()),
                objects=objects,
                overlap=timedelta(seconds=self.settings.sync.overlap_s),
            )
        self.queue.nudge(APPLY)
        return report

    def apply_inbox(self) -> ApplyReport:
        """Apply what the CRM said and run the flows it asked for."""
        self._look_first()
        with self.governor.allowed(Lane.INTERACTIVE):
            report = apply_pending(
                store=self.store,
                org=self.org,
                mappings=self.mappings,
                flows=self.flows,
                now=self.clock.now(),
                shapes=self.shapes,
                may_answer=not self.settings.sync.shadow,
            )
        self.queue.nudge(TASKS)
        self.queue.nudge(PUSH)
        return report

    def decide_merge(self, sfid: str, keep: Keep) -> ApplyReport:
        """Say whose billing account leads after a merge in the CRM, and follow the merge.

        Raises:
            NoSuchMerge: No merge of this account waits.
        """
        with self.store.transaction() as tx:
            decide_merge(tx=tx, sfid=sfid, keep=keep)
        return self.apply_inbox()

    def convert_leads(
        self, lead_ids: Sequence[str], *, without_opportunity: bool = False
    ) -> list[Converted]:
        """Convert leads in the CRM; those converted before come back with the same ids."""
        return convert_leads(self.org, lead_ids, without_opportunity=without_opportunity)

    def merge_accounts(
        self, master: str, losers: Sequence[str], *, keep: Keep | None = None
    ) -> MergedAccounts:
        """Merge accounts in the CRM and let the hub follow; what is merged already stays so.

        Raises:
            TwoBilledCustomers: More than one of them is billed and nobody has chosen; nothing is
                merged then.
        """
        sfids = [to_18(sfid) for sfid in (master, *losers)]
        with self.store.read() as tx:
            billed = billed_customers(tx=tx, sfids=sfids)
        if len(billed) > 1 and keep is None:
            numbers = ", ".join(number for found in billed.values() for number in found)
            raise TwoBilledCustomers(
                f"More than one of the accounts is billed ({numbers}).",
                remedy="Choose whose billing account takes new deals: --keep master or loser.",
            )
        merged = merge_accounts(self.org, master=sfids[0], losers=sfids[1:])
        self.sweep()
        self.apply_inbox()
        if keep is not None:
            self._decide_for(sfids[1:], keep)
        return merged

    def _decide_for(self, losers: Sequence[str], keep: Keep) -> None:
        with self.store.transaction() as tx:
            waiting = [one.sfid for one in open_merges(tx=tx) if one.sfid in losers]
            for sfid in waiting:
                decide_merge(tx=tx, sfid=sfid, keep=keep)
        if waiting:
            self.apply_inbox()

    def push_changes(self) -> PushReport:
        """Send the CRM what it is owed; in shadow mode, only find out what that would be."""
        if self.settings.sync.shadow:
            shadow_push(
                store=self.store,
                mappings=self.mappings,
                now=self.wall_clock.now(),
                bulk_from=self.settings.sync.bulk_from_rows,
            )
            return PushReport()
        self._look_first()
        lane, leave = self._leave_to_push()
        if not leave.is_given:
            return PushReport(interrupted=leave.why_not)
        with self.governor.spending(lane):
            report = push_pending(
                store=self.store,
                org=self.org,
                mappings=self.mappings,
                now=self.wall_clock.now(),
                limit=rows_within(leave.calls_max),
                bulk_from=self.settings.sync.bulk_from_rows,
                pace=self._pace,
            )
        if report.has_moved and not report.interrupted:
            self.queue.nudge(PUSH)
        if report.created:
            self.queue.nudge(FILES)
        return report

    def push_by_hand(self) -> PushReport:
        """Send the CRM what it is owed until nothing can go any more; a person waits for it.

        Raises:
            CallsHeld: The calls that are left are kept for something else.
        """
        with self.governor.allowed(Lane.INTERACTIVE):
            return push_until_quiet(
                store=self.store,
                org=self.org,
                mappings=self.mappings,
                now=self.clock.now(),
                patience_s=BY_HAND_PATIENCE_S,
                bulk_from=self.settings.sync.bulk_from_rows,
            )

    def _leave_to_push(self) -> tuple[Lane, Leave]:
        """Somebody waits for a small change: it has a lane of its own before the backlog's."""
        with self.store.read() as tx:
            small = is_small(tx)
        if small and (leave := self.governor.leave(Lane.INTERACTIVE)).is_given:
            return Lane.INTERACTIVE, leave
        return Lane.PUSH, self.governor.leave(Lane.PUSH)

    def push_files(self) -> FilesReport:
        """Send the CRM the files that belong beside its records."""
        leave = self.governor.leave(Lane.PUSH)
        if not leave.is_given or self.settings.sync.shadow:
            return FilesReport(interrupted=leave.why_not or None)
        with self.governor.spending(Lane.PUSH):
            report = push_files(
                store=self.store, org=self.org, mappings=self.mappings, now=self.wall_clock.now()
            )
        if report.sent:
            self.queue.nudge(PUSH)
        return report

    def describe_org(self) -> set[str]:
        """Keep what the org says of the mapped objects; return those that have changed.

        The mappings are held against it: what does not fit halts its entity alone. Refused records
        of changed objects are sent again.
        """
        return self._validate(None)

    def recheck_halted(self) -> None:
        """Look again at the entities that stand still because their mapping did not fit."""
        with self.store.read() as tx:
            still = halted(tx, "push") | halted(tx, "pull")
        if still:
            self._validate(still)

    def _validate(self, only: frozenset[str] | None, *, lane: Lane = Lane.RECONCILE) -> set[str]:
        with self.governor.allowed(lane):
            seen = validate(
                store=self.store,
                org=self.org,
                mappings=self.mappings,
                now=self.wall_clock.now(),
                only=only,
                flows=self.flows,
            )
        if seen.changed:
            with self.store.transaction() as tx:
                wake_objects(tx, self.mappings, seen.changed)
        if seen.changed or only is not None:
            self.queue.nudge(PUSH)
        return set(seen.changed)

    def expect_a_look(self) -> None:
        """Let nothing move before the mappings were held against hub and org."""
        self._must_look = True

    def _look_first(self) -> None:
        """Check the mappings before the first record that this worker moves."""
        with self._look_lock:
            if self._must_look:
                try:
                    self._validate(None, lane=Lane.INTERACTIVE)
                except CallsHeld:
                    return  # what was found before counts until there are calls again
                self._must_look = False

    def reconcile(self, *, repair: bool = False, delete_extra: bool = False) -> ReconcileReport:
        """Compare hub and CRM record by record.

        Raises:
            StateConflict: Something is to be deleted in the CRM, but this is the shadow mode.
        """
        if delete_extra and self.settings.sync.shadow:
            raise StateConflict(
                "In shadow mode nothing is deleted in the CRM.",
                remedy="Set sync.shadow to false, or leave --delete-extra out.",
            )
        with self.governor.allowed(Lane.RECONCILE):
            report = reconcile(
                store=self.store,
                org=self.org,
                mappings=self.mappings,
                now=self.clock.now(),
                repair=repair,
                delete_extra=delete_extra,
                bulk_from=self.settings.sync.snapshot_from_rows,
            )
        if report.repaired:
            self.queue.nudge(PUSH)
        return report
