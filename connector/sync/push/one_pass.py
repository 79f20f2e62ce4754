"""One pass over the push queue, parents before children.

While the org works on one call, what the last one brought is remembered and the next is prepared;
of Bulk API jobs both at once. Between its batches, and while it waits for a job, a pass looks for
the few records that somebody has changed meanwhile, and sends them first.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event, Lock

from sqlalchemy import Connection

from connector.adapters.salesforce.answers import RowResult
from connector.adapters.salesforce.bulk import Bulk
from connector.adapters.salesforce.client import ROWS_PER_CALL, OrgClient
from connector.adapters.salesforce.errors import OrgLimit, OrgUnavailable
from connector.errors import TransientFailure
from connector.store.engine import Store
from connector.sync.mapping.definition import Mapping, Mappings
from connector.sync.mapping.describes import read_describes, refresh_describes
from connector.sync.mapping.findings import KeptFinding, read_findings
from connector.sync.push import queue
from connector.sync.push.collapse import collapse
from connector.sync.push.delivery import (
    COLLECTIONS_PER_CALL,
    Parcel,
    deliver,
    find_by_key,
    write_fields,
)
from connector.sync.push.fit import refusal_of
from connector.sync.push.in_bulk import JOB_SIZES, BulkDelivery, uploads_of
from connector.sync.push.outcome import Outcomes
from connector.sync.push.pace import Pace
from connector.sync.push.records import claim
from connector.sync.push.removal import Removal, remove, to_remove
from connector.sync.push.report import DOES_NOT_FIT, Halt, PushReport
from connector.sync.push.state import Owed, StateReader, leases_of
from connector.sync.push.urgent import few_marks, take
from connector.sync.push.verdict import Verdict
from connector.sync.push.wake import wake_due, wake_remapped

LEASE_SIZE = 1_000
ROWS_PER_RECORDING = 5_000
LOOK_EVERY_S = 0.5  # for urgent records, while a job is waited for


@dataclass(slots=True)
class PushPass:
    """Sends what is due, up to `budget` rows; used once, by the sole pusher."""

    store: Store
    org: OrgClient
    mappings: Mappings
    now: datetime
    budget: int
    bulk_from: int
    pace: Pace
    outcomes: Outcomes
    due: dict[str, int] = field(default_factory=dict)
    findings: tuple[KeptFinding, ...] = ()
    misfits: dict[str, list[Owed]] = field(default_factory=lambda: defaultdict(list))
    removals: dict[str, list[Removal]] = field(default_factory=lambda: defaultdict(list))
    # One thread: the org never gets two calls at once, so no parent is written in two of them.
    sender: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=1, thread_name_prefix="push")
    )
    under_way: tuple[Sequence[Parcel], Future[list[list[RowResult]]]] | None = None
    # One more, so that what a job brought is kept while the next but one is prepared.
    keeper: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=1, thread_name_prefix="push-keep")
    )
    job_under_way: tuple[Future[list[RowResult]], Future[None]] | None = None
    keeping: Lock = field(default_factory=Lock)  # the outcomes are one thread's at a time
    ending: Event = field(default_factory=Event)

    @property
    def in_bulk(self) -> BulkDelivery:
        """The way for many rows."""
        return BulkDelivery(self.store, Bulk(self.org, sleep=self._wait_for_job))

    def _wait_for_job(self, pause_s: float) -> None:
        if self.ending.wait(pause_s):
            raise OrgUnavailable("The pass was broken off while a bulk job ran.")

    def run(self) -> PushReport:
        """Run the pass; an org that does not answer ends it, and the report says so."""
        calls_before = self.org.calls
        interrupted = limit = None
        with self.store.transaction() as tx:
            wake_due(tx)
            wake_remapped(tx, self.mappings)
            collapse(tx=tx)
            self.outcomes.codes = queue.entity_codes(tx)
            self.due = queue.due(tx)
            self.findings = read_findings(tx)
            self._stand_still()
            objects = [self.mappings.by_entity[name].object for name in self.due]
            reader = StateReader(self.mappings, read_describes(tx, objects))
        try:
            self.in_bulk.end_former_jobs()
            for level in self.mappings.levels:
                wanted = [one for one in level if one.entity in self.due]
                self._run_level(
                    [one for one in wanted if one.entity not in self.outcomes.halts], reader
                )
                self._claim()
            self._remove()
            self._look_again(reader)
            self._tell_the_crm()
        except TransientFailure as failure:
            interrupted = str(failure)
            if isinstance(failure, OrgLimit):
                limit = "daily" if failure.is_daily else "concurrency"
        finally:
            # A call nobody waits for any more may still be carried out: its keys stay queued.
            self.ending.set()
            self.sender.shutdown(wait=True, cancel_futures=True)
            self.keeper.shutdown(wait=True, cancel_futures=True)
        return PushReport(
            written=self.outcomes.counts["written"],
            created=self.outcomes.counts["created"],
            unchanged=self.outcomes.counts["unchanged"],
            waiting=self.outcomes.counts["waiting"],
            retried=self.outcomes.counts["retried"],
            dead=self.outcomes.counts["dead"],
            removed=self.outcomes.counts["removed"],
            api_calls=self.org.calls - calls_before,
            halts=tuple(self.outcomes.halts.values()),
            interrupted=interrupted,
            limit=limit,
        )

    def _stand_still(self) -> None:
        """Leave alone what the mapping check has found not to fit; its rows stay queued."""
        for one in self.findings:
            if one.halts == "push" and one.entity in self.due:
                self.outcomes.halts.setdefault(
                    one.entity,
                    Halt(
                        one.entity,
                        one.object,
                        DOES_NOT_FIT,
                        f"{one.file}:{one.line}: {one.field}: {one.problem}",
                        one.remedy,
                    ),
                )

    def _run_level(self, level: Sequence[Mapping], reader: StateReader) -> None:
        ready: list[Parcel] = []
        for mapping in level:
            if self.due[mapping.entity] >= self.bulk_from:
                self._run_in_bulk(mapping, reader)
                continue
            pool: list[Owed] = []
            for batch in self._batches(mapping, reader):
                pool += batch
                while len(pool) >= self.pace.size_of(mapping.entity):
                    ready.append(self._parcel(mapping, pool))
                while len(ready) >= COLLECTIONS_PER_CALL:
                    self._send(ready[:COLLECTIONS_PER_CALL])
                    del ready[:COLLECTIONS_PER_CALL]
                if mapping.entity in self.outcomes.halts:
                    break
            while pool:
                ready.append(self._parcel(mapping, pool))
        for start in range(0, len(ready), COLLECTIONS_PER_CALL):
            self._send(ready[start : start + COLLECTIONS_PER_CALL])
        self._land()

    def _parcel(self, mapping: Mapping, pool: list[Owed]) -> Parcel:
        """Take the next batch out of the pool."""
        size = self.pace.size_of(mapping.entity)
        parcel = Parcel(mapping, tuple(pool[:size]))
        del pool[:size]
        return parcel

    def _run_in_bulk(self, mapping: Mapping, reader: StateReader) -> None:
        """Send an entity as jobs; it has a budget of its own, so that a backlog takes few jobs.

        The rest of a larger one is left to the next pass, which first sends what changed meanwhile:
        nobody's change waits for a million rows.
        """
        self._land()
        budget, self.budget = self.budget, sum(JOB_SIZES)
        pool: list[Owed] = []
        sizes = iter(JOB_SIZES)
        size = next(sizes)
        for batch in self._batches(mapping, reader):
            pool += batch
            if len(pool) >= size:
                self._send_in_bulk(mapping, pool, reader)
                pool, size = [], next(sizes, size)
            if mapping.entity in self.outcomes.halts:
                break
        if pool:
            self._send_in_bulk(mapping, pool, reader)
        self._land_job(reader)
        self.budget = budget

    def _send_in_bulk(self, mapping: Mapping, rows: Sequence[Owed], reader: StateReader) -> None:
        """Send rows as a job, behind the one under way; return when the org has ended that one."""
        if mapping.entity in self.outcomes.halts:
            return
        contents = uploads_of(mapping, rows)
        job = self.sender.submit(self.in_bulk.deliver, mapping, rows, contents, now=self.now)
        former, self.job_under_way = (
            self.job_under_way,
            (job, self.keeper.submit(self._keep_job, mapping, rows, job)),
        )
        if former is not None:
            self._look_until(former[0], reader)
            former[0].result()

    def _keep_job(
        self, mapping: Mapping, rows: Sequence[Owed], job: Future[list[RowResult]]
    ) -> None:
        answered = list(zip(rows, job.result(), strict=True))
        for start in range(0, len(answered), ROWS_PER_RECORDING):
            with self.keeping, self.store.transaction() as tx:
                self.outcomes.record(tx, mapping, answered[start : start + ROWS_PER_RECORDING])

    def _land_job(self, reader: StateReader) -> None:
        """Wait until the last job has ended and all is kept."""
        if self.job_under_way is not None:
            job, kept = self.job_under_way
            self.job_under_way = None
            self._look_until(job, reader)
            kept.result()

    def _look_until(self, job: Future[list[RowResult]], reader: StateReader) -> None:
        """Wait for the end of a job; what is urgent meanwhile goes beside it."""
        while not wait((job,), timeout=LOOK_EVERY_S).done:
            self._send_urgent(reader)

    def _batches(self, mapping: Mapping, reader: StateReader) -> Iterator[list[Owed]]:
        """Lease and read, until the entity owes nothing or the budget is spent."""
        code = self.outcomes.codes.get(mapping.entity)
        after = -1
        while code is not None and self.budget > 0:
            self._send_urgent(reader)
            with self.store.transaction() as tx:
                leases = queue.lease(tx, code=code, after=after, count=min(LEASE_SIZE, self.budget))
                if not leases:
                    return
                owed = reader.read(tx, mapping, leases, now=self.now)
                to_send = self._sort_out(tx, mapping, owed)
            after = leases[-1].key
            # Keys that wait for a parent come by in every pass: they must not use it up.
            self.budget -= sum(1 for one in owed if not one.waits_for)
            yield to_send

    def _sort_out(self, tx: Connection, mapping: Mapping, owed: list[Owed]) -> list[Owed]:
        removals = to_remove(tx, mapping, [one for one in owed if one.is_absent])
        self.removals[mapping.entity] += removals
        removed = {removal.owed.key for removal in removals}
        waiting = [one for one in owed if not one.is_absent and one.waits_for]
        idle = [
            one
            for one in owed
            if one.key not in removed and (one.is_absent or not (one.waits_for or one.body))
        ]
        code = self.outcomes.codes[mapping.entity]
        if idle:
            queue.settle(tx, code=code, leases=leases_of(idle))
            self.outcomes.counts["unchanged"] += len(idle)
        if waiting:
            queue.postpone(tx, code=code, pauses_s={one.key: 0 for one in waiting})
            self.outcomes.counts["waiting"] += len(waiting)
        misfits = [
            one for one in owed if one.misfit and one.body and not (one.is_absent or one.waits_for)
        ]
        self.misfits[mapping.entity] += misfits
        handled = removed | {one.key for one in (*waiting, *idle, *misfits)}
        return [one for one in owed if one.key not in handled]

    def _send(self, parcels: Sequence[Parcel]) -> None:
        parcels = [one for one in parcels if one.mapping.entity not in self.outcomes.halts]
        if not parcels:
            return
        call = self.sender.submit(deliver, self.org, parcels)
        self._land()
        self.under_way = (parcels, call)

    def _land(self) -> None:
        """Wait for the call that is under way and keep what came of it.

        The next one is on its way by then: the org works while we remember and prepare.
        """
        if self.under_way is None:
            return
        parcels, call = self.under_way
        self.under_way = None
        self._keep(parcels, call.result())

    def _keep(self, parcels: Sequence[Parcel], results: Sequence[Sequence[RowResult]]) -> None:
        answered: dict[str, list[tuple[Owed, RowResult]]] = defaultdict(list)
        for parcel, parcel_results in zip(parcels, results, strict=True):
            answered[parcel.mapping.entity] += zip(parcel.rows, parcel_results, strict=True)
        with self.keeping, self.store.transaction() as tx:
            for entity, rows in answered.items():
                self.outcomes.record(tx, self.mappings.by_entity[entity], rows)
                self.pace.learn(entity, has_met_locks=any(r.is_locked for _, r in rows))

    def _send_urgent(self, reader: StateReader) -> None:
        """Send the few records that were marked since the last look, by calls of their own.

        Each call costs the budget what a full one does, so a stream of changes cannot use more
        calls than the pass was given.
        """
        if self.budget < ROWS_PER_CALL:
            return
        ready: list[Parcel] = []
        with self.store.read() as tx:
            marks = few_marks(tx)
        if not marks:
            return
        with self.store.transaction() as tx:
            mappings = self._urgent_of(tx, marks, reader)
            wanted = {mapping.entity: marks[mapping.entity] for mapping in mappings}
            taken = take(tx, codes=self.outcomes.codes, marks=wanted)
            for mapping, leases in zip(mappings, taken, strict=True):
                owed = reader.read(tx, mapping, leases, now=self.now)
                if rows := self._sort_out(tx, mapping, owed):
                    ready.append(Parcel(mapping, tuple(rows)))
        self._land()
        for start in range(0, len(ready), COLLECTIONS_PER_CALL):
            parcels = ready[start : start + COLLECTIONS_PER_CALL]
            self.budget -= ROWS_PER_CALL
            self._keep(parcels, deliver(self.org, parcels))

    def _urgent_of(
        self, tx: Connection, marks: dict[str, set[int]], reader: StateReader
    ) -> list[Mapping]:
        """Return the mappings of marked entities that do not stand still, parents first."""
        news = [one for one in self.mappings if one.entity in marks and one.entity not in self.due]
        if news:
            self.due |= {one.entity: 0 for one in news}
            self._stand_still()
            reader.learn(read_describes(tx, [one.object for one in news]))
        return [
            mapping
            for level in self.mappings.levels
            for mapping in level
            if mapping.entity in marks and mapping.entity not in self.outcomes.halts
        ]

    def _claim(self) -> None:
        """Learn the ids of records that exist although their answer never came."""
        by_entity: dict[str, list[Owed]] = defaultdict(list)
        for mapping, owed in self.outcomes.unclaimed:
            by_entity[mapping.entity].append(owed)
        self.outcomes.unclaimed.clear()
        for entity, owed_rows in by_entity.items():
            mapping = self.mappings.by_entity[entity]
            found = find_by_key(self.org, mapping, [owed.external_key for owed in owed_rows])
            key_of = {owed.external_key.lower(): owed.key for owed in owed_rows}
            with self.store.transaction() as tx:
                for external_key, sfid, parents in found:
                    claim(tx, mapping, key_of[external_key.lower()], sfid=sfid, known=parents)
                queue.postpone(
                    tx,
                    code=self.outcomes.codes[entity],
                    pauses_s=dict.fromkeys((owed.key for owed in owed_rows), 0),
                )

    def _remove(self) -> None:
        """Take records out of the CRM that the hub has no more, children before parents."""
        for mapping in reversed(self.mappings.pushed):
            removals = self.removals.pop(mapping.entity, [])
            if not removals or mapping.entity in self.outcomes.halts:
                continue
            answered = remove(self.org, removals)
            with self.store.transaction() as tx:
                self.outcomes.record_removals(tx, mapping, answered)

    def _look_again(self, reader: StateReader) -> None:
        """Ask the org anew about objects a value does not seem to fit, then refuse what still does.

        Somebody may have widened a field or added a word since we asked.
        """
        suspects = {entity: rows for entity, rows in self.misfits.items() if rows}
        if not suspects:
            return
        objects = {self.mappings.by_entity[entity].object for entity in suspects}
        refresh_describes(store=self.store, org=self.org, objects=objects, now=self.now)
        with self.store.transaction() as tx:
            reader.learn(read_describes(tx, objects))
            for entity, rows in suspects.items():
                mapping = self.mappings.by_entity[entity]
                seen = reader.read(tx, mapping, leases_of(rows), now=self.now)
                refused = [(one, refusal_of(one.misfit)) for one in seen if one.misfit]
                self.outcomes.keep_refused(tx, mapping, Verdict.DATA, refused)
                fits = {one.key: 0 for one in seen if not one.misfit}
                queue.postpone(tx, code=self.outcomes.codes[entity], pauses_s=fits)
                self.outcomes.counts["retried"] += len(fits)

    def _tell_the_crm(self) -> None:
        """Write cause and remedy on the CRM records themselves; best effort."""
        if self.outcomes.letters:
            write_fields(self.org, self.outcomes.letters)
