"""One pass over the push queue, parents before children.

While the org works on one call, what the last one brought is remembered and the next is prepared.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog
from sqlalchemy import Connection

from connector.adapters.salesforce.answers import RowResult
from connector.adapters.salesforce.bulk import Bulk
from connector.adapters.salesforce.client import OrgClient
from connector.errors import TransientFailure
from connector.store.engine import Store
from connector.sync.mapping.definition import FieldType, Mapping, Mappings
from connector.sync.mapping.keys import PREFIX
from connector.sync.push import queue
from connector.sync.push.collapse import collapse, mark
from connector.sync.push.delivery import (
    COLLECTIONS_PER_CALL,
    ROWS_PER_COLLECTION,
    Parcel,
    deliver,
    find_by_key,
    write_fields,
)
from connector.sync.push.in_bulk import ROWS_PER_JOB, BulkDelivery
from connector.sync.push.records import (
    claim,
    forget,
    forget_values,
    remember_refused,
    remember_written,
)
from connector.sync.push.removal import (
    Removal,
    forget_removed,
    is_gone,
    is_held_by_children,
    remove,
    to_remove,
)
from connector.sync.push.report import Halt, PushReport
from connector.sync.push.state import Lease, Owed, StateReader
from connector.sync.push.verdict import Refusal, Verdict, judge

log = structlog.get_logger(__name__)

LEASE_SIZE = 1_000
ROWS_PER_RECORDING = 5_000
LONGEST_PAUSE_S = 300
_MISSING_PARENT = re.compile(r"Foreign key external ID: (\S+) not found", re.IGNORECASE)
_TAKEN = Refusal(
    Verdict.DATA,
    "SFID_TAKEN",
    "The CRM record with this key is already linked to another record of the hub.",
    "Clear the key of one of the two in the CRM, then send this record again.",
)


@dataclass(slots=True)
class PushPass:
    """Sends what is due, up to `budget` rows; used once, by the sole pusher."""

    store: Store
    org: OrgClient
    mappings: Mappings
    now: datetime
    budget: int
    bulk_from: int
    due: dict[str, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    halts: dict[str, Halt] = field(default_factory=dict)
    letters: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)
    removals: dict[str, list[Removal]] = field(default_factory=lambda: defaultdict(list))
    unclaimed: list[tuple[Mapping, Owed]] = field(default_factory=list)
    # One thread: the org never gets two calls at once, so no parent is written in two of them.
    sender: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=1, thread_name_prefix="push")
    )
    under_way: tuple[Sequence[Parcel], Future[list[list[RowResult]]]] | None = None

    @property
    def in_bulk(self) -> BulkDelivery:
        """The way for many rows."""
        return BulkDelivery(self.store, Bulk(self.org))

    def run(self) -> PushReport:
        """Run the pass; an org that does not answer ends it, and the report says so."""
        calls_before = self.org.calls
        interrupted = None
        with self.store.transaction() as tx:
            collapse(tx=tx)
            self.codes = queue.entity_codes(tx)
            self.due = queue.due(tx)
        reader = StateReader(self.mappings)
        try:
            self.in_bulk.end_former_jobs()
            for level in self.mappings.levels:
                self._run_level([one for one in level if one.entity in self.due], reader)
                self._claim()
            self._remove()
            self._tell_the_crm()
        except TransientFailure as failure:
            interrupted = str(failure)
        finally:
            # A call nobody waits for any more may still be carried out: its keys stay queued.
            self.sender.shutdown(wait=True, cancel_futures=True)
        return PushReport(
            written=self.counts["written"],
            created=self.counts["created"],
            unchanged=self.counts["unchanged"],
            waiting=self.counts["waiting"],
            retried=self.counts["retried"],
            dead=self.counts["dead"],
            removed=self.counts["removed"],
            api_calls=self.org.calls - calls_before,
            halts=tuple(self.halts.values()),
            interrupted=interrupted,
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
                while len(pool) >= ROWS_PER_COLLECTION:
                    ready.append(Parcel(mapping, tuple(pool[:ROWS_PER_COLLECTION])))
                    del pool[:ROWS_PER_COLLECTION]
                while len(ready) >= COLLECTIONS_PER_CALL:
                    self._send(ready[:COLLECTIONS_PER_CALL])
                    del ready[:COLLECTIONS_PER_CALL]
                if mapping.entity in self.halts:
                    break
            if pool:
                ready.append(Parcel(mapping, tuple(pool)))
        for start in range(0, len(ready), COLLECTIONS_PER_CALL):
            self._send(ready[start : start + COLLECTIONS_PER_CALL])
        self._land()

    def _run_in_bulk(self, mapping: Mapping, reader: StateReader) -> None:
        """Send an entity as jobs; it has a budget of its own, so that a backlog takes few jobs."""
        self._land()
        budget, self.budget = self.budget, max(self.budget, self.due[mapping.entity])
        pool: list[Owed] = []
        for batch in self._batches(mapping, reader):
            pool += batch
            if len(pool) >= ROWS_PER_JOB:
                self._deliver_in_bulk(mapping, pool)
                pool = []
            if mapping.entity in self.halts:
                break
        if pool:
            self._deliver_in_bulk(mapping, pool)
        self.budget = budget

    def _deliver_in_bulk(self, mapping: Mapping, rows: Sequence[Owed]) -> None:
        if mapping.entity in self.halts:
            return
        results = self.in_bulk.deliver(mapping, rows, now=self.now)
        answered = list(zip(rows, results, strict=True))
        for start in range(0, len(answered), ROWS_PER_RECORDING):
            with self.store.transaction() as tx:
                self._record(tx, mapping, answered[start : start + ROWS_PER_RECORDING])

    def _batches(self, mapping: Mapping, reader: StateReader) -> Iterator[list[Owed]]:
        """Lease and read, until the entity owes nothing or the budget is spent."""
        code = self.codes.get(mapping.entity)
        after = -1
        while code is not None and self.budget > 0:
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
        code = self.codes[mapping.entity]
        if idle:
            queue.settle(tx, code=code, leases=_leases(idle))
            self.counts["unchanged"] += len(idle)
        if waiting:
            queue.postpone(tx, code=code, pauses_s={one.key: 0 for one in waiting})
            self.counts["waiting"] += len(waiting)
        handled = {one.key for one in waiting} | {one.key for one in idle} | removed
        return [one for one in owed if one.key not in handled]

    def _send(self, parcels: Sequence[Parcel]) -> None:
        parcels = [one for one in parcels if one.mapping.entity not in self.halts]
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
        results = call.result()
        answered: dict[str, list[tuple[Owed, RowResult]]] = defaultdict(list)
        for parcel, parcel_results in zip(parcels, results, strict=True):
            answered[parcel.mapping.entity] += zip(parcel.rows, parcel_results, strict=True)
        with self.store.transaction() as tx:
            for entity, rows in answered.items():
                self._record(tx, self.mappings.by_entity[entity], rows)

    def _record(
        self, tx: Connection, mapping: Mapping, rows: Sequence[tuple[Owed, RowResult]]
    ) -> None:
        is_upsert = mapping.pushed.verb == "upsert"
        written: list[tuple[Owed, str]] = []
        made_again: list[Owed] = []
        refused: dict[Verdict, list[tuple[Owed, Refusal]]] = defaultdict(list)
        for owed, result in rows:
            sfid = result.sfid or owed.sfid
            if result.success and sfid:
                written.append((owed, sfid))
                self.counts["created"] += result.created
                if result.created and not owed.is_first:
                    made_again.append(owed)  # it was deleted there: only the changes were sent
            else:
                refusal = judge(
                    result.errors,
                    is_update=is_upsert and not owed.is_first,
                    parents=self._parents_of(mapping),
                )
                refused[refusal.verdict].append((owed, refusal))
        self._keep_written(tx, mapping, written, made_again)
        for verdict, refused_rows in refused.items():
            self._keep_refused(tx, mapping, verdict, refused_rows)

    def _keep_written(
        self,
        tx: Connection,
        mapping: Mapping,
        written: list[tuple[Owed, str]],
        made_again: list[Owed],
    ) -> None:
        if not written:
            return
        kept = remember_written(tx, mapping, written, now=self.now)
        again = {one.key for one in made_again}
        code = self.codes[mapping.entity]
        done = [owed for owed, _ in written if owed.key in kept and owed.key not in again]
        queue.settle(tx, code=code, leases=_leases(done))
        self.counts["written"] += len(done)
        if again:
            forget_values(tx, entity=mapping.entity, keys=list(again))
            queue.postpone(tx, code=code, pauses_s=dict.fromkeys(again, 0))
            self.counts["retried"] += len(again)
        taken = [(owed, _TAKEN) for owed, _ in written if owed.key not in kept]
        if taken:
            self._keep_refused(tx, mapping, Verdict.DATA, taken)

    def _keep_refused(
        self, tx: Connection, mapping: Mapping, verdict: Verdict, rows: list[tuple[Owed, Refusal]]
    ) -> None:
        code = self.codes[mapping.entity]
        keys = [owed.key for owed, _ in rows]
        if verdict is Verdict.DATA:
            remember_refused(tx, mapping, rows, status="Error")
            queue.settle(tx, code=code, leases=_leases([owed for owed, _ in rows]))
            self._write_letters(mapping, rows)
            return
        if verdict is Verdict.CONFIGURATION:
            self._halt(tx, mapping, rows)
            return
        attempts = remember_refused(tx, mapping, rows, status="Pending")
        if verdict is Verdict.EXISTS:
            self.unclaimed += [(mapping, owed) for owed, _ in rows]
        if verdict is Verdict.RECORD_GONE:
            forget(tx, entity=mapping.entity, keys=keys)
        if verdict is Verdict.PARENT_GONE:
            self._send_parents_again(tx, [refusal for _, refusal in rows])
        pauses_s = {key: min(2 ** (attempts[key] - 1), LONGEST_PAUSE_S) for key in keys}
        queue.postpone(tx, code=code, pauses_s=pauses_s)
        self.counts["retried"] += len(rows)

    def _write_letters(self, mapping: Mapping, rows: list[tuple[Owed, Refusal]]) -> None:
        self.counts["dead"] += len(rows)
        stamps = mapping.pushed.stamps
        for owed, refusal in rows:
            log.warning(
                "push.dead_letter",
                entity=mapping.entity,
                hub_id=owed.key,
                code=refusal.code,
                remedy=refusal.remedy,
            )
            if stamps is not None and owed.sfid is not None:
                text = f"{refusal.code}: {refusal.message}\n{refusal.remedy}"[:4000]
                self.letters.append(
                    (mapping.object, owed.sfid, {stamps.status: "Error", stamps.error: text})
                )

    def _halt(self, tx: Connection, mapping: Mapping, rows: list[tuple[Owed, Refusal]]) -> None:
        """Stop this entity for the pass: its rows stay queued, one of them carries the finding."""
        owed, refusal = rows[0]
        remember_refused(tx, mapping, [(owed, refusal)], status="Error")
        self.halts[mapping.entity] = Halt(
            entity=mapping.entity,
            object=mapping.object,
            code=refusal.code,
            message=refusal.message,
            remedy=refusal.remedy,
        )
        log.error(
            "push.object_halted", object=mapping.object, code=refusal.code, remedy=refusal.remedy
        )

    def _send_parents_again(self, tx: Connection, refusals: list[Refusal]) -> None:
        for name in {m.group(1) for r in refusals if (m := _MISSING_PARENT.search(r.message))}:
            prefix, _, rest = name.partition(":")
            entity, _, number = rest.partition(":")
            if prefix == PREFIX and entity in self.mappings.by_entity and number.isdigit():
                forget(tx, entity=entity, keys=[int(number)])
                mark(tx=tx, entity=entity, keys=[int(number)])

    def _parents_of(self, mapping: Mapping) -> frozenset[str]:
        references = {n for n, f in mapping.fields.items() if f.type is FieldType.REFERENCE}
        return frozenset(mapping.parents) | references

    def _claim(self) -> None:
        """Learn the ids of records that exist although their answer never came."""
        by_entity: dict[str, list[Owed]] = defaultdict(list)
        for mapping, owed in self.unclaimed:
            by_entity[mapping.entity].append(owed)
        self.unclaimed.clear()
        for entity, owed_rows in by_entity.items():
            mapping = self.mappings.by_entity[entity]
            found = find_by_key(self.org, mapping, [owed.external_key for owed in owed_rows])
            key_of = {owed.external_key.lower(): owed.key for owed in owed_rows}
            with self.store.transaction() as tx:
                for external_key, sfid, parents in found:
                    claim(tx, mapping, key_of[external_key.lower()], sfid=sfid, known=parents)
                queue.postpone(
                    tx,
                    code=self.codes[entity],
                    pauses_s=dict.fromkeys((owed.key for owed in owed_rows), 0),
                )

    def _remove(self) -> None:
        """Take records out of the CRM that the hub has no more, children before parents."""
        for mapping in reversed(self.mappings.pushed):
            removals = self.removals.pop(mapping.entity, [])
            if not removals or mapping.entity in self.halts:
                continue
            answered = remove(self.org, removals)
            with self.store.transaction() as tx:
                self._record_removals(tx, mapping, answered)

    def _record_removals(
        self, tx: Connection, mapping: Mapping, answered: Sequence[tuple[Removal, RowResult]]
    ) -> None:
        code = self.codes[mapping.entity]
        gone = [one.owed for one, result in answered if is_gone(result)]
        if gone:
            forget_removed(tx, mapping, [one.key for one in gone])
            queue.settle(tx, code=code, leases=_leases(gone))
            self.counts["removed"] += len(gone)
        refused: dict[Verdict, list[tuple[Owed, Refusal]]] = defaultdict(list)
        for one, result in answered:
            if is_gone(result):
                continue
            refusal = judge(result.errors, is_update=False)
            if is_held_by_children(result):
                refusal = replace(refusal, verdict=Verdict.RETRY)
            refused[refusal.verdict].append((one.owed, refusal))
        for verdict, rows in refused.items():
            self._keep_refused(tx, mapping, verdict, rows)

    def _tell_the_crm(self) -> None:
        """Write cause and remedy on the CRM records themselves; best effort."""
        if self.letters:
            write_fields(self.org, self.letters)


def _leases(owed: Sequence[Owed]) -> list[Lease]:
    return [Lease(one.key, one.version) for one in owed]
