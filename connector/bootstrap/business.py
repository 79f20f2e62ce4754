"""The use-cases of the business: catalogue, delivery, usage, bills, payments."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from sqlalchemy import Connection

from connector.billing.ask_taxes import ask_taxes
from connector.billing.bill_run import (
    BillRunReport,
    plan_run,
    run_cycle,
    run_due_cycles,
    work_off_one,
)
from connector.billing.documents import render_missing
from connector.billing.finalise_run import finalise_run, plan_finalising
from connector.billing.payment_csv import PaymentReport, import_payments_csv
from connector.billing.run_plan import Mode, Plan, end_run
from connector.billing.tax_answers import choose_provider
from connector.billing.void import credit_lines, void_invoice
from connector.billing.wholesale import charge_resellers
from connector.billing.wholesale_terms import load_wholesale
from connector.billing.write_off import write_off_invoice
from connector.bootstrap.job_names import BILL_CHUNK, BILLING, PUSH, TASKS
from connector.bootstrap.wiring import Wiring
from connector.catalog.diff import Difference, catalog_differences
from connector.catalog.load import CatalogReport, load_catalog
from connector.charging.granted import grant_to_running
from connector.errors import Misconfigured
from connector.flows.billing_systems import PullReport, pull_each
from connector.flows.code_tasks import CodeTaskReport, run_due_code_tasks
from connector.flows.deal_estimate import EstimatedBill, estimate_deal
from connector.flows.renewals import RenewalReport, renew_terms
from connector.kernel.period import Period, add_months
from connector.mediation.feeds import feed_named
from connector.mediation.imports import ImportReport, import_usage_file
from connector.rating.result_queries import months_with_new_usage
from connector.rating.run import RatingReport, rate_period
from connector.resources import mappings_dir
from connector.sync.apply.opportunity_tree import OpportunityReader


class BusinessUseCases(Wiring):
    """What happens in the hub, in the order of the story."""

    def load_catalog(self, folder: Path) -> CatalogReport:
        """Load products, prices and decks from a folder of files."""
        with self.store.transaction() as tx:
            now = self.clock.now()
            report = load_catalog(tx=tx, folder=folder, now=now)
            if report.discounts:
                grant_to_running(tx=tx, on=now.date(), now=now)
        self.queue.nudge(PUSH)
        return report

    def catalog_differences(self, folder: Path) -> tuple[Difference, ...]:
        """Return what loading a folder would change; nothing is loaded."""
        with self.store.transaction() as tx:
            found = catalog_differences(tx=tx, folder=folder, now=self.clock.now())
            tx.rollback()
        return found

    def estimate_deal(
        self, sfid: str, *, is_quote: bool = False, on: date | None = None
    ) -> tuple[EstimatedBill, ...]:
        """Return the first invoices of a deal of the CRM, read now; nothing is kept."""
        reader = OpportunityReader(self.org)
        tree = reader.of_quote(sfid) if is_quote else reader(sfid)
        with self.store.transaction() as tx:
            bills = estimate_deal(tx=tx, tree=tree, rules=self.rules, on=on or self._today())
            tx.rollback()
        return bills

    def run_tasks(self) -> CodeTaskReport:
        """Run the code tasks that are due and apply the changes whose day has come."""
        report = run_due_code_tasks(store=self.store, rules=self.rules, now=self.clock.now())
        if report.completed or report.given_up or report.changes_applied:
            self.queue.nudge(PUSH)
            if self.settings.billing.systems:
                self.queue.nudge(BILLING)
        if report.has_more:
            self.queue.nudge(TASKS)
        return report

    def renew_terms(self) -> RenewalReport:
        """Move on the terms that have ended, and end the services that expire with theirs."""
        report = renew_terms(store=self.store, rules=self.rules, now=self.clock.now())
        if report.renewed or report.expired:
            self.queue.nudge(PUSH)
            if self.settings.billing.systems:
                self.queue.nudge(BILLING)
        return report

    def import_usage(self, path: Path, *, feed: str) -> ImportReport:
        """Import a usage file by the definition of its feed."""
        folder = (self.settings.sync.mappings_dir or mappings_dir()) / "feeds"
        return import_usage_file(
            store=self.store,
            lake=self.lake,
            feed=feed_named(feed, folder=folder),
            path=path,
            now=self.clock.now(),
        )

    def rate_usage(self, month: Period) -> RatingReport:
        """Rate a calendar month of usage and charge it."""
        assert month.end is not None
        report = rate_period(
            store=self.store,
            lake=self.lake,
            engine=self.engine,
            period_start=month.start,
            period_end=month.end,
            now=self.clock.now(),
        )
        self.queue.nudge(PUSH)
        return report

    def rate_due_usage(self) -> list[RatingReport]:
        """Rate the running month, the last one until it is closed, and all with unseen usage.

        A month stays open until a run after its end; one that nobody ran then is made up for.
        """
        running = self._today() - timedelta(days=1)
        first = date(running.year, running.month, 1)
        with self.store.read() as tx:
            unseen = months_with_new_usage(tx)
        months = sorted({first, add_months(first, -1), *unseen})
        return [self.rate_usage(Period(month, add_months(month, 1))) for month in months]

    def run_due_bills(self) -> list[BillRunReport]:
        """Bill today, days nobody ran the bills on, and runs that left somebody out."""
        self._prepare_bills()
        reports = run_due_cycles(
            store=self.store,
            today=self._today(),
            now=self.clock.now(),
            render=self.render,
            provider=self.taxes,
        )
        self.queue.nudge(PUSH)
        return reports

    def run_bills(self, billed_to: date, *, keep_drafts: bool = False) -> BillRunReport:
        """Bill everybody whose billing month begins on the day, or keep drafts for review."""
        self._prepare_bills()
        report = run_cycle(
            store=self.store,
            billed_to=billed_to,
            now=self.clock.now(),
            render=None if keep_drafts else self.render,
            keep_drafts=keep_drafts,
            provider=self.taxes,
        )
        self.queue.nudge(PUSH)
        return report

    def finalise_bills(self, billed_to: date) -> BillRunReport:
        """Finalise the drafts of a day that were reviewed."""
        self._prepare_bills(billed_to)
        report = finalise_run(
            store=self.store, billed_to=billed_to, now=self.clock.now(), render=self.render
        )
        self.queue.nudge(PUSH)
        return report

    def hand_over_bills(self, billed_to: date, *, keep_drafts: bool = False) -> Plan:
        """Plan a bill run and leave it to the workers, a job for each chunk."""
        mode = Mode.DRAFT if keep_drafts else Mode.BILL
        self._prepare_bills(billed_to)
        with self.store.transaction() as tx:
            plan = plan_run(tx, billed_to=billed_to, now=self.clock.now(), mode=mode)
            self._hand_over(tx, plan)
        return plan

    def hand_over_drafts(self, billed_to: date) -> Plan:
        """Leave the finalising of a day's drafts to the workers, a job for each chunk."""
        self._prepare_bills(billed_to)
        with self.store.transaction() as tx:
            plan = plan_finalising(tx, billed_to=billed_to, now=self.clock.now())
            self._hand_over(tx, plan)
        return plan

    def _hand_over(self, tx: Connection, plan: Plan) -> None:
        if not plan.chunks:
            end_run(tx, run_id=plan.run_id, now=self.clock.now())
        for _ in range(plan.chunks):
            self.queue.defer(BILL_CHUNK, tx=tx, arguments={"run_id": plan.run_id})

    def _prepare_bills(self, ask_for: date | None = None) -> None:
        """Charge resellers for what their customers are charged by now, and settle who taxes.

        With a day, the tax provider is asked for it here and not by the run.
        """
        folder = (self.settings.sync.mappings_dir or mappings_dir()) / "policies"
        terms = load_wholesale(folder / "wholesale.yaml")
        now = self.clock.now()
        charge_resellers(store=self.store, terms=terms, now=now)
        if self.taxes is None:
            with self.store.transaction() as tx:
                choose_provider(tx, None)
        elif ask_for is not None:
            ask_taxes(store=self.store, provider=self.taxes, billed_to=ask_for, now=now)

    def bill_chunk(self, run_id: int) -> None:
        """Bill one chunk of a run; with the last one its documents are rendered."""
        now = self.clock.now()
        if work_off_one(store=self.store, run_id=run_id, now=now):
            render_missing(store=self.store, render=self.render, now=now)
            self.queue.nudge(PUSH)

    def void_invoice(self, number: str, *, reason: str) -> str:
        """Give back an invoice by a credit note; return the note's number."""
        now = self.clock.now()
        note = void_invoice(store=self.store, number=number, reason=reason, now=now)
        render_missing(store=self.store, render=self.render, now=now)
        self.queue.nudge(PUSH)
        return note

    def credit_lines(self, number: str, *, lines: Sequence[int], reason: str) -> str:
        """Give back lines of an invoice by a credit note; return the note's number."""
        now = self.clock.now()
        note = credit_lines(store=self.store, number=number, lines=lines, reason=reason, now=now)
        render_missing(store=self.store, render=self.render, now=now)
        self.queue.nudge(PUSH)
        return note

    def write_off_invoice(self, number: str, *, reason: str) -> Decimal:
        """Write off what is open on an invoice; return how much."""
        amount = write_off_invoice(
            store=self.store, number=number, reason=reason, now=self.clock.now()
        )
        self.queue.nudge(PUSH)
        return amount

    def import_payments(self, text: str) -> PaymentReport:
        """Record the payments of a bank file."""
        report = import_payments_csv(store=self.store, text=text, now=self.clock.now())
        self.queue.nudge(PUSH)
        return report

    def pull_billing(
        self, *, only: str | None = None, from_start: bool = False
    ) -> list[PullReport]:
        """Hand foreign billing systems their commands and take in what they say.

        Raises:
            Misconfigured: There is no system with the name `only`, or it has no address.
        """
        if only is not None and only not in self.billing_systems:
            raise Misconfigured(
                f"There is no billing system '{only}' with a mapping file and an address.",
                remedy="`l2c billing systems list` shows what there is and what it lacks.",
            )
        chosen = [one for name, one in self.billing_systems.items() if only in (None, name)]
        reports = pull_each(
            store=self.store, systems=chosen, now=self.clock.now(), from_start=from_start
        )
        if any(report.changed or report.delivered for report in reports):
            self.queue.nudge(PUSH)
        return reports
