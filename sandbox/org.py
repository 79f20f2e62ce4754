"""The org as a whole: schema, records, users, automation, and transactions over them."""

import json
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import clock
from .auth.access import Access
from .bulk.jobs import BulkJobs
from .events.org_events import OrgEvents
from .faults import Faults
from .formula.formulas import Formulas
from .ids import make_id, make_ids, number_of
from .late import LateCommits
from .limits import DEFAULT_PROFILE, PROFILES, LongCalls, Meter
from .outbound.queue import OutboundQueue
from .records import delete_log, recycle
from .records.audit import Noted
from .records.locks import LockTable
from .records.record_types import plant_record_types
from .records.room import Room
from .records.save import Writer
from .records.transaction import Actor, Course, Transaction
from .schema.automation import Automation, read_automation
from .schema.currencies import CURRENCY_TYPE, adopt_currency
from .schema.currencies import SELECT as SELECT_CURRENCIES
from .schema.definitions import DEFINITIONS, write_definitions
from .schema.metadata import build_schema
from .schema.model import ObjectType, Schema
from .schema.permissions import read_permission_sets
from .seed import built_in_seed, plant, read_seed
from .sessions import ADMIN, INTEGRATION, Sessions
from .soql.execute import QueryEngine
from .storage.database import Database
from .storage.tables import create_tables, quoted

AUDIT_LENGTH = 10_000


@dataclass(frozen=True, slots=True)
class OrgSettings:
    """Where an org finds its schema and data."""

    schema: Path | None = None
    data: Path | None = None
    seed: Path | None = None
    profile: str = DEFAULT_PROFILE
    manual_clock: bool = False
    soap_login: bool = False
    multi_currency: bool = False
    person_accounts: bool = True


class Org:
    """One local org."""

    def __init__(self, settings: OrgSettings) -> None:
        self._settings = settings
        if settings.manual_clock:
            clock.stand_still()
        self.database = Database(settings.data)
        prefixes = self._stored_prefixes()
        self.schema: Schema = build_schema(
            settings.schema,
            prefixes=prefixes,
            multi_currency=settings.multi_currency,
            person_accounts=settings.person_accounts,
        )
        self.automation: Automation = read_automation(settings.schema, self.schema)
        self.formulas = Formulas(self.schema, settings.schema)
        self.formulas.read_conditions(self.automation)
        self.database.compute = self.formulas.stored_value
        self._local = threading.local()
        self.ids = _IdCounters()
        self.faults = Faults()
        self.locks = LockTable()
        self.audit: deque[Noted] = deque(maxlen=AUDIT_LENGTH)
        self.queries = QueryEngine(self.schema, self.database)
        access = Access(
            schema=self.schema,
            database=self.database,
            permission_sets=read_permission_sets(settings.schema),
        )
        self.sessions = Sessions(self.database, access)
        self.profile = PROFILES[settings.profile]
        self.meter = Meter(self.profile.daily_calls)
        self.long_calls = LongCalls(self.profile.long_calls)
        self.room = Room(
            self.schema,
            data_mb=self.profile.limits["DataStorageMB"],
            file_mb=self.profile.limits["FileStorageMB"],
        )
        self.late = LateCommits(self)
        self.events = OrgEvents(
            schema=self.schema,
            database=self.database,
            folder=settings.schema,
            limits=self.profile.limits,
        )
        with self.database.write() as connection:
            create_tables(connection, self.schema)
            self.events.prepare(connection)
            sql = "INSERT OR REPLACE INTO sandbox_meta (key, value) VALUES ('prefixes', ?)"
            connection.execute(sql, (json.dumps(prefixes),))
            empty = connection.execute('SELECT 1 FROM "Organization"').fetchone() is None
            if empty:
                self._plant()
            else:
                with self.transaction(self._system(), request_id="start") as writer:
                    self._plant_currencies(writer)
                    plant_record_types(writer)
                    access.plant(writer, integration=None)
            user_id = self._system().user_id
            write_definitions(connection, self.schema, now_s=clock.epoch_s(), user_id=user_id)
        self.outbound = OutboundQueue(
            schema=self.schema,
            automation=self.automation,
            database=self.database,
            organization_id=self.organization_id,
            faults=self.faults,
        )
        self.bulk = BulkJobs(self)

    @property
    def organization_id(self) -> str:
        """The 18-character id of the organization."""
        with self.database.read() as connection:
            row = connection.execute('SELECT "Id" FROM "Organization"').fetchone()
        return str(row[0])

    @property
    def multi_currency(self) -> bool:
        """Whether records have a currency of their own."""
        return self._settings.multi_currency

    @property
    def soap_login(self) -> bool:
        """Whether user name and password are accepted by SOAP."""
        return self._settings.soap_login

    def expire_recycle_bin(self) -> None:
        """Remove what was deleted more than fifteen days ago."""
        now_s = clock.epoch_s()
        with self.database.read() as connection:
            if not recycle.has_expired(connection, now_s=now_s):
                return
        with self.database.write() as connection:
            recycle.expire(connection, self.schema, now_s=now_s)

    @property
    def in_transaction(self) -> bool:
        """Whether the present thread is inside a transaction."""
        return getattr(self._local, "transaction", None) is not None

    @contextmanager
    def transaction(
        self, actor: Actor, *, request_id: str, course: Course | None = None
    ) -> Iterator[Writer]:
        """Write in one transaction; inside another one, join it.

        All records get the stamp of the outermost one, which is its beginning or its course's.
        Audit entries and outbound messages take effect when the outermost one commits.
        """
        outer: Transaction | None = getattr(self._local, "transaction", None)
        with self.database.write() as connection:
            if outer is not None:
                course = outer.course
            now_s = outer.now_s if outer is not None else clock.epoch_s()
            tx = Transaction(
                schema=self.schema,
                automation=self.automation,
                database=self.database,
                connection=connection,
                actor=actor,
                now_s=course.now_s if course is not None else now_s,
                request_id=request_id,
                ids=course.ids if course is not None else self.ids,
                faults=self.faults,
                locks=self.locks,
                course=course,
                formulas=self.formulas,
                room=self.room,
                events=self.events,
            )
            self._local.transaction = tx
            try:
                yield Writer(tx)
                if outer is None:
                    self.events.commit(tx)
            finally:
                self._local.transaction = outer
        if outer is not None:
            outer.audit += tx.audit
            outer.messages |= tx.messages
            outer.created += tx.created
            return
        self.audit.extend(tx.audit)
        self.events.bus.wake()
        if tx.messages:
            self.outbound.wake()

    def reset(self) -> None:
        """Restore the seed: all records, queued messages, faults and locators go."""
        self.late.forget()
        with self.database.write() as connection:
            self.events.pause(connection)
            for item in self.schema:
                if item.name not in DEFINITIONS:
                    connection.execute(f"DELETE FROM {quoted(item.name)}")
            connection.execute("DELETE FROM sandbox_counter")
            connection.execute("DELETE FROM sandbox_notification")
            delete_log.forget(connection)
            recycle.clear(connection)
            self.bulk.forget()
            self.ids.forget()
            self._plant()
            self.events.start_over(connection)
        self.faults.clear()
        self.queries.forget_cursors()
        self.audit.clear()
        self.meter.set(most=self.profile.daily_calls, used=0)
        self.room.set(
            data_mb=self.profile.limits["DataStorageMB"],
            file_mb=self.profile.limits["FileStorageMB"],
        )

    def keep_audit(self, *, full: bool) -> None:
        """Remember every write from now on, or the last ones only."""
        self.audit = deque(self.audit, maxlen=None if full else AUDIT_LENGTH)

    def close(self) -> None:
        """Stop sending and close the database."""
        self.bulk.close()
        self.outbound.close()
        self.database.close()
        if self._settings.manual_clock:
            clock.run()

    def _system(self) -> Actor:
        admin_id = make_id(prefix=self.schema.get("User").prefix, number=1)
        return Actor(
            user_id=admin_id, username=ADMIN, sends_outbound_messages=False, is_system=True
        )

    def _plant(self) -> None:
        with self.transaction(self._system(), request_id="seed") as writer:
            own = read_seed(self._settings.seed) if self._settings.seed is not None else {}
            built_in = built_in_seed()
            if not self.multi_currency:
                del built_in[CURRENCY_TYPE]
            if not self._settings.person_accounts:
                del built_in["RecordType"]
            # There is one organization and one corporate currency: a seed that names them replaces
            # the built-in ones.
            for name in {"Organization", CURRENCY_TYPE} & built_in.keys() & own.keys():
                built_in[name] = own.pop(name)
            plant(writer, built_in, source="built-in seed")
            plant_record_types(writer)
            plant(writer, own, source=str(self._settings.seed))
            self.sessions.access.plant(writer, integration=INTEGRATION)

    def _plant_currencies(self, writer: Writer) -> None:
        """Give data from before several currencies were switched on the built-in ones."""
        connection = writer.tx.connection
        if not self.multi_currency or connection.execute(SELECT_CURRENCIES).fetchone():
            return
        plant(writer, {CURRENCY_TYPE: built_in_seed()[CURRENCY_TYPE]}, source="built-in seed")
        corporate = connection.execute(SELECT_CURRENCIES).fetchone()[0]
        adopt_currency(connection, self.schema, code=corporate)

    def _stored_prefixes(self) -> dict[str, str]:
        """Return the id prefixes given to custom objects when this data was first written."""
        with self.database.read() as connection:
            try:
                row = connection.execute(
                    "SELECT value FROM sandbox_meta WHERE key = 'prefixes'"
                ).fetchone()
            except sqlite3.OperationalError:
                return {}
        return dict(json.loads(row[0])) if row else {}


class _IdCounters:
    """Hands out ids; called within the writer's transaction only."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def take(self, connection: sqlite3.Connection, item: ObjectType, count: int) -> list[str]:
        """Return the next ids of an object."""
        first = self._next.get(item.name)
        if first is None:
            sql = f'SELECT MAX("Id") FROM {quoted(item.name)}'
            (last,) = connection.execute(sql).fetchone()
            removed = recycle.last_removed(connection, item.name)
            first = 1 + max((number_of(known) for known in (last, removed) if known), default=0)
        self._next[item.name] = first + count
        return make_ids(prefix=item.prefix, first=first, count=count)

    def forget(self) -> None:
        """Begin again at one."""
        self._next.clear()
