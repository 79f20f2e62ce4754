"""Settings in, everything wired: contexts, flows, sync and adapters are put together here."""

import threading
from collections.abc import Mapping
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

from connector.adapters.billing_systems.sql.database import SqlBillingSystem
from connector.adapters.billing_systems.sql.definition import SystemDefinition, load_systems
from connector.adapters.documents.invoice_pdf import InvoicePdf
from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.configured import login_of
from connector.adapters.tax.http import HttpTaxProvider
from connector.background.queue import JobQueue
from connector.background.registry import load_jobs
from connector.background.scheduler import Scheduler
from connector.background.worker import Worker
from connector.billing.wholesale_terms import load_wholesale
from connector.charging.policy import load_policies
from connector.config import Settings
from connector.errors import Misconfigured
from connector.flows.account_merge import merge_flows
from connector.flows.delivery import delivery_flows
from connector.flows.rules import DeliveryRules, load_delivery_rules
from connector.kernel.clock import Clock, SystemClock
from connector.kernel.period import local_date
from connector.parties.billing_accounts import PayerTerms
from connector.rating.engine import RatingEngine
from connector.resources import mappings_dir, salesforce_dir
from connector.store.embedded import EmbeddedPostgres
from connector.store.engine import Store
from connector.store.lake import Lake
from connector.sync.apply.intents import Flow
from connector.sync.apply.opportunity_tree import OpportunityReader
from connector.sync.budget.governor import Governor
from connector.sync.budget.lanes import shares_of
from connector.sync.capture.org_time import OrgTime
from connector.sync.inbox.wsdl import MessageShape, message_shapes
from connector.sync.mapping.definition import Mappings
from connector.sync.mapping.loading import load_mappings
from connector.sync.push.pace import Pace
from connector.sync.push.watch import MarkWatch

if TYPE_CHECKING:
    from connector.sync.capture.listener import EventListener


class Wiring:
    """Settings, store, clocks, and everything made from them when it is first needed."""

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
        store.use_mappings(settings.sync.mappings_dir)
        self.wall_clock = SystemClock()
        self.clock: Clock = clock or self.wall_clock
        self.queue = JobQueue(store, load_jobs())
        self.lake = Lake(settings.lake_dir)
        self._server = server
        self._org: OrgClient | None = None
        self._org_lock = threading.Lock()
        self._pace = Pace()
        self._org_time = OrgTime()
        self._must_look = False
        self._look_lock = threading.Lock()
        self._worker: Worker | None = None
        self._scheduler: Scheduler | None = None
        self._listener: EventListener | None = None
        self._watch: MarkWatch | None = None

    @cached_property
    def taxes(self) -> HttpTaxProvider | None:
        """Who is asked for taxes; None: the catalogue's table has them.

        Raises:
            Misconfigured: The provider has no address.
        """
        billing = self.settings.billing
        if billing.tax_source == "table":
            return None
        if not billing.tax_url:
            raise Misconfigured(
                "Taxes come from a provider, and nobody said where it is.",
                remedy="Set billing.tax_url, or billing.tax_source: table.",
            )
        token = billing.tax_token.get_secret_value() if billing.tax_token else None
        return HttpTaxProvider(billing.tax_url, token=token, timeout_s=billing.tax_timeout_s)

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
    def governor(self) -> Governor:
        """What gives leave to call the org."""
        return Governor(
            self.store,
            lambda: self.org,
            shares=shares_of(self.settings.sync.budget),
        )

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

    def check_policies(self) -> tuple[str, ...]:
        """Return the names of the operator's policy files, once they were understood.

        Raises:
            ConnectorError: One of them is not.
        """
        folder = (self.settings.sync.mappings_dir or mappings_dir()) / "policies"
        _ = self.rules  # reads how it delivers
        load_policies(folder / "proration.yaml")
        load_wholesale(folder / "wholesale.yaml")
        return tuple(sorted(path.stem for path in folder.glob("*.yaml")))

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

    def _today(self) -> date:
        return local_date(self.clock.now(), self.settings.billing.timezone)
