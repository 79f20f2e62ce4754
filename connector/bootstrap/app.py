"""The application: opened on its store, closed again, with what runs in the background."""

from contextlib import ExitStack
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

from connector.background.queue import idle
from connector.background.scheduler import Scheduler
from connector.background.worker import Worker
from connector.bootstrap.business import BusinessUseCases
from connector.bootstrap.crm import CrmUseCases
from connector.bootstrap.database import DATABASE, ensure_database
from connector.bootstrap.job_names import APPLY, PUSH, SWEEP
from connector.config import Settings
from connector.kernel.clock import Clock
from connector.ordering.tasks import due_code_tasks
from connector.store.embedded import EmbeddedPostgres
from connector.store.engine import Store
from connector.store.migrate import upgrade
from connector.sync.push.files import files_owed
from connector.sync.push.watch import MarkWatch
from connector.sync.status import sync_waiting

if TYPE_CHECKING:
    from connector.adapters.salesforce.pubsub import PubSubClient
    from connector.sync.capture.listener import EventListener


class App(CrmUseCases, BusinessUseCases):
    """Everything that is wired, and the use-cases that interfaces call."""

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

    def work_waiting(self) -> dict[str, int]:
        """Count what is on its way: nothing waiting means both sides are in step or parked."""
        with self.store.read() as tx:
            counts = sync_waiting(tx=tx) | {"files to send": files_owed(tx, self.mappings)}
            due = due_code_tasks(tx=tx, now=self.clock.now(), limit=1)
        return counts | {"code tasks due": len(due), "jobs": 0 if idle(self.queue) else 1}

    def start_background(self, *, worker: bool = True, scheduler: bool = True) -> None:
        """Start taking jobs and hearing change events, and deferring the jobs that are due."""
        if worker and self._worker is None:
            self._worker = Worker(
                self.queue,
                context=self,
                concurrency=self.settings.jobs.concurrency,
                requeue_running=self._server is not None and self._server.sole_user,
            )
            self.expect_a_look()
            self._worker.start()
            self._watch = MarkWatch(self.store, on_marks=lambda: self.queue.nudge(PUSH))
            self._watch.start()
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
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def check_events(self) -> tuple[str, ...]:
        """Return the topics to follow, once each was found to be there for us.

        Raises:
            EventsRefused: There is no such topic, or we may not hear it.
            OrgUnavailable: The Pub/Sub API cannot be reached.
        """
        from connector.sync.capture.event_topics import topics_to_follow

        topics = topics_to_follow(self.mappings, self.settings.pubsub.topics)
        with self._open_events() as client:
            for topic in topics:
                client.check_topic(topic)
        return topics

    def _open_events(self) -> "PubSubClient":
        # Imported here: gRPC takes a tenth of a second, and its threads would not survive a fork.
        from connector.adapters.salesforce.pubsub import PubSubClient

        pubsub, salesforce = self.settings.pubsub, self.settings.salesforce
        return PubSubClient(
            pubsub.endpoint,
            tokens=self.org.tokens,
            ca_file=salesforce.ca_file,
            timeout_s=salesforce.timeout_s,
        )

    def _event_listener(self) -> "EventListener":
        from connector.sync.capture.event_topics import topics_to_follow
        from connector.sync.capture.listener import EventListener, EventWork

        return EventListener(
            EventWork(
                store=self.store,
                mappings=self.mappings,
                topics=topics_to_follow(self.mappings, self.settings.pubsub.topics),
                open_client=self._open_events,
                on_hints=lambda: self.queue.nudge(APPLY),
                on_sweeps=lambda: self.queue.nudge(SWEEP),
                overlap=timedelta(seconds=self.settings.sync.overlap_s),
            )
        )
