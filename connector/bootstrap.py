"""The composition root: settings in, wired application out.

Here, and only here, contexts, flows, sync and adapters are put together. Interfaces (command line,
web, jobs) take an `App` and call its use-cases; a use-case reads the business clock once and passes
it on as `now`.
"""

import threading
from functools import cached_property
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.login import ClientCredentials, Grant, JwtBearer, Login
from connector.background.queue import JobQueue
from connector.background.registry import load_jobs
from connector.background.scheduler import Scheduler
from connector.background.worker import Worker
from connector.config import SalesforceSettings, Settings
from connector.errors import Misconfigured
from connector.kernel.clock import Clock, SystemClock
from connector.store.embedded import EmbeddedPostgres
from connector.store.engine import Store
from connector.store.lake import Lake
from connector.store.migrate import upgrade
from connector.sync.mapping import Mappings, load_mappings

DATABASE = "l2c"
MAINTENANCE_DATABASE = "postgres"


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
        self._worker: Worker | None = None
        self._scheduler: Scheduler | None = None

    @classmethod
    def open(cls, settings: Settings, *, clock: Clock | None = None) -> Self:
        """Open the store, bring it to this release's schema, and wire everything to it.

        Raises:
            Misconfigured: The store cannot be reached, or a newer release has written it.
        """
        server = None
        if settings.store.url is None:
            server = EmbeddedPostgres.start(
                settings.store.data_dir / "postgres", durable=settings.store.durable
            )
            _ensure_database(server)
            url = server.url_of(DATABASE)
        else:
            url = settings.store.url.get_secret_value()
        store = Store(url, pool_size=settings.store.pool_size)
        try:
            upgrade(store)
        except BaseException:
            store.close()
            if server is not None:
                server.close()
            raise
        return cls(settings=settings, store=store, server=server, clock=clock)

    def close(self) -> None:
        """Stop what runs in the background and close what was opened."""
        self.stop_background()
        self.queue.close()
        if self._org is not None:
            self._org.close()
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
                    _login(self.settings.salesforce),
                    api_version=self.settings.salesforce.api_version,
                    timeout_s=self.settings.salesforce.timeout_s,
                )
            return self._org

    @cached_property
    def mappings(self) -> Mappings:
        """The mapping files."""
        return load_mappings(self.settings.sync.mappings_dir)

    def start_background(self, *, worker: bool = True, scheduler: bool = True) -> None:
        """Start taking jobs, and deferring those that are due."""
        if worker and self._worker is None:
            self._worker = Worker(
                self.queue,
                context=self,
                concurrency=self.settings.jobs.concurrency,
                requeue_running=self._server is not None and self._server.sole_user,
            )
            self._worker.start()
        if scheduler and self._scheduler is None:
            self._scheduler = Scheduler(self.queue, schedules=self.settings.jobs.schedules)
            self._scheduler.start()

    def stop_background(self) -> None:
        """Stop deferring, then let the running jobs end."""
        if self._scheduler is not None:
            self._scheduler.stop()
            self._scheduler = None
        if self._worker is not None:
            self._worker.stop()
            self._worker = None


def _ensure_database(server: EmbeddedPostgres) -> None:
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


def _login(org: SalesforceSettings) -> Login:
    if org.login_url is None or org.client_id is None:
        raise Misconfigured(
            "No Salesforce org is configured.",
            remedy="Set salesforce.login_url and salesforce.client_id in config.yaml.",
        )
    return Login(login_url=org.login_url, grant=_grant(org), ca_file=org.ca_file)


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
