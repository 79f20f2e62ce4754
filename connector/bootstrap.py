"""The composition root: settings in, wired application out.

Here, and only here, contexts, flows, sync and adapters are put together. Interfaces (command line,
web, jobs) take an `App` and call its use-cases; a use-case reads the business clock once and passes
it on as `now`.
"""

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import psycopg
from psycopg import sql

from connector.adapters.billing_systems.sql.database import SqlBillingSystem
from connector.adapters.billing_systems.sql.definition import SystemDefinition, load_systems
from connector.adapters.documents.invoice_pdf import InvoicePdf
from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.crm_acts import MergedAccounts, convert_leads, merge_accounts
from connector.adapters.salesforce.ids import to_18
from connector.adapters.salesforce.login import ClientCredentials, Grant, JwtBearer, Login
from connector.adapters.salesforce.results import Converted
from connector.background.queue import JobQueue, idle
from connector.background.registry import load_jobs
from connector.background.scheduler import Scheduler
from connector.background.worker import Worker
from connector.billing.bill_run import BillRunReport, run_cycle, run_due_cycles
from connector.billing.payment_csv import PaymentReport, import_payments_csv
from connector.catalog.load import CatalogReport, load_catalog
from connector.config import SalesforceSettings, Settings
from connector.errors import Misconfigured
from connector.flows.account_merge import merge_flows
from connector.flows.billing_systems import PullReport, pull_each
from connector.flows.code_tasks import CodeTaskReport, run_due_code_tasks
from connector.flows.delivery import delivery_flows
from connector.flows.rules import DeliveryRules, load_delivery_rules
from connector.kernel.clock import Clock, SystemClock
from connector.kernel.period import Period, add_months, local_date
from connector.mediation.feeds import feed_named
from connector.mediation.imports import ImportReport, import_usage_file
from connector.ordering.tasks import due_code_tasks
from connector.parties.billing_accounts import PayerTerms
from connector.parties.merging import Keep, TwoBilledCustomers, billed_customers
from connector.rating.engine import RatingEngine
from connector.rating.result_queries import months_with_new_usage
from connector.rating.run import RatingReport, rate_period
from connector.resources import mappings_dir, salesforce_dir
from connector.store.embedded import EmbeddedPostgres
from connector.store.engine import Store
from connector.store.lake import Lake
from connector.store.migrate import upgrade
from connector.sync.apply.intents import Flow
from connector.sync.apply.merges import decide_merge, open_merges
from connector.sync.apply.opportunity_tree import OpportunityReader
from connector.sync.apply.run import ApplyReport, apply_pending
from connector.sync.capture.org_time import OrgTime
from connector.sync.capture.owed_sweeps import sweep_owed
from connector.sync.capture.report import SweepReport
from connector.sync.capture.sweep import sweep
from connector.sync.inbox.wsdl import MessageShape, message_shapes
from connector.sync.mapping.definition import Mappings, load_mappings
from connector.sync.mapping.describes import refresh_describes
from connector.sync.push.files import FilesReport, files_owed, push_files
from connector.sync.push.pace import Pace
from connector.sync.push.run import PushReport, push_pending
from connector.sync.push.wake import wake_objects
from connector.sync.reconcile.compare import ReconcileReport, reconcile
from connector.sync.status import sync_waiting

if TYPE_CHECKING:
    from connector.sync.capture.listener import EventListener

DATABASE = "l2c"
MAINTENANCE_DATABASE = "postgres"

# jobs, by the names of their modules in jobs/
APPLY = "apply_inbox"
BILLING = "pull_billing"
SWEEP = "sweep"
PUSH = "push_changes"
FILES = "push_files"
DESCRIBE = "describe_org"
TASKS = "run_tasks"


class App:
    """Everything that is wired, and the use-cases that interfaces call."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        server: EmbeddedPostgres | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.wall_clock = SystemClock()
        self.clock: Clock = clock or self.wall_clock
        self.queue = JobQueue(store, load_jobs())
        self.lake = Lake(settings.lake_dir)
        self._server = server
        self._org: OrgClient | None = None
        self._org_lock = threading.Lock()
        self._pace = Pace()
        self._org_time = OrgTime()
        self._worker: Worker | None = None
        self._scheduler: Scheduler | None = None
        self._listener: EventListener | None = None

    @classmethod
    def open(cls, settings: Settings, *, clock: Clock | None = None) -> Self:
        """Open the store, bring it to this release's schema, and wire everything to it.

        Raises:
            Misconfigured: The store cannot be reached, or a newer release has written it.
        """
        with ExitStack() as opened:
            server = None
            if settings.store.url is None:
                server = opened.enter_context(
                    EmbeddedPostgres.start(
                        settings.store.data_dir / "postgres", durable=settings.store.durable
                    )
                )
                ensure_database(server)
                url = server.url_of(DATABASE)
            else:
                url = settings.store.url.get_secret_value()
            store = Store(url, pool_size=settings.store.pool_size)
            opened.callback(store.close)
            upgrade(store, mappings=settings.sync.mappings_dir)
            app = cls(settings=settings, store=store, server=server, clock=clock)
            opened.pop_all()  # from here on the application closes them
        return app

    def close(self) -> None:
        """Stop what runs in the background and close what was opened."""
        self.stop_background()
        self.queue.close()
        if self._org is not None:
            self._org.close()
        for system in self.__dict__.get("billing_systems", {}).values():
            system.close()
        self.store.close()
        if self._server is not None:
            self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def org(self) -> OrgClient:
        """The Salesforce org; nothing is sent before the first call.

        Raises:
            Misconfigured: No org is configured.
        """
        with self._org_lock:
            if self._org is None:
                self._org = OrgClient(
                    login_of(self.settings.salesforce),
                    api_version=self.settings.salesforce.api_version,
                    timeout_s=self.settings.salesforce.timeout_s,
                )
            return self._org

    @cached_property
    def mappings(self) -> Mappings:
        """The mapping files."""
        folder = self.settings.sync.mappings_dir
        return load_mappings(folder / "salesforce" if folder else None)

    @cached_property
    def shapes(self) -> Mapping[str, MessageShape]:
        """The outbound messages the mappings listen to, typed by their WSDL."""
        return message_shapes(self.mappings, metadata=salesforce_dir())

    @cached_property
    def rules(self) -> DeliveryRules:
        """How this operator delivers: templates, policies, number ranges."""
        billing = self.settings.billing
        return load_delivery_rules(
            self.settings.sync.mappings_dir or mappings_dir(),
            payers=PayerTerms(timezone=billing.timezone, payment_days=billing.payment_days),
        )

    @cached_property
    def billing_definitions(self) -> tuple[SystemDefinition, ...]:
        """The mapping files of foreign billing systems."""
        return load_systems(self.settings.sync.mappings_dir or mappings_dir())

    @cached_property
    def billing_systems(self) -> Mapping[str, SqlBillingSystem]:
        """The foreign billing systems that have a mapping file and an address."""
        urls = self.settings.billing.systems
        return {
            one.name: SqlBillingSystem(one, urls[one.name].get_secret_value())
            for one in self.billing_definitions
            if one.name in urls
        }

    @cached_property
    def flows(self) -> Mapping[str, Flow]:
        """The stories that carry out what the CRM asks for."""
        delivery = delivery_flows(
            store=self.store, read_tree=OpportunityReader(self.org), rules=self.rules
        )
        return {**delivery, **merge_flows(store=self.store)}

    @cached_property
    def engine(self) -> RatingEngine:
        """The engine that rates usage."""
        # Imported here: a quarter second that only rating has to wait for.
        from connector.adapters.engine.duckdb import DuckDbRating

        lake = self.settings.lake
        return DuckDbRating(
            lambda: self.lake.session(memory_mib=lake.memory_max_mib, threads=lake.threads)
        )

    @cached_property
    def render(self) -> InvoicePdf:
        """What makes PDFs of invoices."""
        return InvoicePdf()

    # --- use-cases, in the order of the story ---

    def load_catalog(self, folder: Path) -> CatalogReport:
        """Load products, prices and decks from a folder of files."""
        with self.store.transaction() as tx:
            report = load_catalog(tx=tx, folder=folder, now=self.clock.now())
        self.queue.nudge(PUSH)
        return report

    def sweep(self) -> SweepReport:
        """Ask the org for every change since the last sweep and store it in the inbox.

        Records whose change events were lost are found first.
        """
        now_org = self._org_time.now(self.org, machine_now=self.wall_clock.now())
        owed = sweep_owed(store=self.store, org=self.org, mappings=self.mappings, now_org=now_org)
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

    def apply_inbox(self) -> ApplyReport:
        """Apply what the CRM said and run the flows it asked for."""
        report = apply_pending(
            store=self.store,
            org=self.org,
            mappings=self.mappings,
            flows=self.flows,
            now=self.clock.now(),
            shapes=self.shapes,
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

    def push_changes(self) -> PushReport:
        """Send the CRM what it is owed."""
        report = push_pending(
            store=self.store,
            org=self.org,
            mappings=self.mappings,
            now=self.wall_clock.now(),
            bulk_from=self.settings.sync.bulk_from_rows,
            pace=self._pace,
        )
        if report.has_moved and not report.interrupted:
            self.queue.nudge(PUSH)
        if report.created:
            self.queue.nudge(FILES)
        return report

    def push_files(self) -> FilesReport:
        """Send the CRM the files that belong beside its records."""
        report = push_files(
            store=self.store, org=self.org, mappings=self.mappings, now=self.wall_clock.now()
        )
        if report.sent:
            self.queue.nudge(PUSH)
        return report

    def describe_org(self) -> set[str]:
        """Keep what the org says of the mapped objects; return those that have changed.

        Refused records of these are sent again.
        """
        changed = refresh_describes(
            store=self.store,
            org=self.org,
            objects={mapping.object for mapping in self.mappings},
            now=self.wall_clock.now(),
        )
        if changed:
            with self.store.transaction() as tx:
                wake_objects(tx, self.mappings, changed)
            self.queue.nudge(PUSH)
        return changed

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
        reports = run_due_cycles(
            store=self.store, today=self._today(), now=self.clock.now(), render=self.render
        )
        self.queue.nudge(PUSH)
        return reports

    def run_bills(self, billed_to: date) -> BillRunReport:
        """Bill everybody whose billing month begins on the day."""
        report = run_cycle(
            store=self.store, billed_to=billed_to, now=self.clock.now(), render=self.render
        )
        self.queue.nudge(PUSH)
        return report

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

    def reconcile(self, *, repair: bool = False) -> ReconcileReport:
        """Compare hub and CRM record by record."""
        report = reconcile(
            store=self.store,
            org=self.org,
            mappings=self.mappings,
            now=self.clock.now(),
            repair=repair,
        )
        if report.repaired:
            self.queue.nudge(PUSH)
        return report

    def _today(self) -> date:
        return local_date(self.clock.now(), self.settings.billing.timezone)

    def work_waiting(self) -> dict[str, int]:
        """Count what is on its way: nothing waiting means both sides are in step or parked."""
        with self.store.read() as tx:
            counts = sync_waiting(tx=tx) | {"files to send": files_owed(tx, self.mappings)}
            due = due_code_tasks(tx=tx, now=self.clock.now(), limit=1)
        return counts | {"code tasks due": len(due), "jobs": 0 if idle(self.queue) else 1}

    # --- background ---

    def start_background(self, *, worker: bool = True, scheduler: bool = True) -> None:
        """Start taking jobs and hearing change events, and deferring the jobs that are due."""
        if worker and self._worker is None:
            self._worker = Worker(
                self.queue,
                context=self,
                concurrency=self.settings.jobs.concurrency,
                requeue_running=self._server is not None and self._server.sole_user,
            )
            self._worker.start()
            self.queue.nudge(DESCRIBE)
        if worker and self.settings.pubsub.enabled and self._listener is None:
            self._listener = self._event_listener()
            self._listener.start()
        if scheduler and self._scheduler is None:
            self._scheduler = Scheduler(self.queue, schedules=self.settings.jobs.schedules)
            self._scheduler.start()

    def stop_background(self) -> None:
        """Stop deferring and listening, then let the running jobs end."""
        if self._scheduler is not None:
            self._scheduler.stop()
            self._scheduler = None
        if self._listener is not None:
            self._listener.stop()
            self._listener = None
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def _event_listener(self) -> "EventListener":
        # Imported here: gRPC takes a tenth of a second, and its threads would not survive a fork.
        from connector.adapters.salesforce.pubsub import PubSubClient
        from connector.sync.capture.event_topics import topics_to_follow
        from connector.sync.capture.listener import EventListener, EventWork

        pubsub, salesforce = self.settings.pubsub, self.settings.salesforce
        return EventListener(
            EventWork(
                store=self.store,
                mappings=self.mappings,
                topics=topics_to_follow(self.mappings, pubsub.topics),
                open_client=lambda: PubSubClient(
                    pubsub.endpoint,
                    tokens=self.org.tokens,
                    ca_file=salesforce.ca_file,
                    timeout_s=salesforce.timeout_s,
                ),
                on_hints=lambda: self.queue.nudge(APPLY),
                on_sweeps=lambda: self.queue.nudge(SWEEP),
                overlap=timedelta(seconds=self.settings.sync.overlap_s),
            )
        )


def ensure_database(server: EmbeddedPostgres) -> None:
    """Make the hub's database on an embedded server if it is missing."""
    address = server.url_of(MAINTENANCE_DATABASE).replace("+psycopg", "")
    with psycopg.connect(address, autocommit=True) as connection:
        found = connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
        ).fetchone()
        if found is None:
            try:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
            except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                return  # another process was quicker


def login_of(org: SalesforceSettings) -> Login:
    """Return how to log in to the org that the settings name.

    Raises:
        Misconfigured: They name none, or lack what the login needs.
    """
    if org.login_url is None or org.client_id is None:
        raise Misconfigured(
            "No Salesforce org is configured.",
            remedy="Set salesforce.login_url and salesforce.client_id in config.yaml.",
        )
    return Login(
        login_url=org.login_url,
        grant=_grant(org),
        ca_file=org.ca_file,
        organization_id=org.organization_id,
    )


def _grant(org: SalesforceSettings) -> Grant:
    assert org.client_id is not None
    if org.auth == "jwt":
        if org.username is None or org.private_key_file is None:
            raise Misconfigured(
                "The JWT login lacks a user or a key.",
                remedy="Set salesforce.username and salesforce.private_key_file.",
            )
        try:
            key = org.private_key_file.read_text(encoding="utf-8")
        except OSError as error:
            raise Misconfigured(
                f"The key file {org.private_key_file} cannot be read.",
                remedy="Check salesforce.private_key_file and its permissions.",
            ) from error
        return JwtBearer(client_id=org.client_id, username=org.username, private_key_pem=key)
    if org.client_secret is None:
        raise Misconfigured(
            "The login lacks the app's secret.",
            remedy="Set L2C_SALESFORCE__CLIENT_SECRET or the secret file.",
        )
    return ClientCredentials(
        client_id=org.client_id, client_secret=org.client_secret.get_secret_value()
    )
