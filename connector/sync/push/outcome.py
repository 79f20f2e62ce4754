"""What came of sent rows: remembered, tried again, told to a person, or halting their object."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog
from sqlalchemy import Connection

from connector.adapters.salesforce.answers import RowResult
from connector.sync.mapping.definition import FieldType, Mapping, Mappings
from connector.sync.mapping.keys import PREFIX
from connector.sync.push import queue
from connector.sync.push.collapse import mark
from connector.sync.push.duplicates import open_tickets
from connector.sync.push.records import forget, forget_values, remember_refused, remember_written
from connector.sync.push.removal import Removal, forget_removed, is_gone, is_held_by_children
from connector.sync.push.report import Halt
from connector.sync.push.state import Owed, leases_of
from connector.sync.push.verdict import Refusal, Verdict, judge

log = structlog.get_logger(__name__)

LONGEST_PAUSE_S = 300
_MISSING_PARENT = re.compile(r"Foreign key external ID: (\S+) not found", re.IGNORECASE)
_TAKEN = Refusal(
    Verdict.DATA,
    "SFID_TAKEN",
    "The CRM record with this key is already linked to another record of the hub.",
    "Clear the key of one of the two in the CRM, then send this record again.",
)


@dataclass(slots=True)
class Outcomes:
    """Keeps what came of one pass, in the store and in numbers."""

    mappings: Mappings
    now: datetime
    codes: dict[str, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    halts: dict[str, Halt] = field(default_factory=dict)
    letters: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)
    unclaimed: list[tuple[Mapping, Owed]] = field(default_factory=list)

    def record(
        self, tx: Connection, mapping: Mapping, rows: Sequence[tuple[Owed, RowResult]]
    ) -> None:
        """Keep the answers to some rows of one entity."""
        is_upsert = mapping.pushed.is_keyed
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
            self.keep_refused(tx, mapping, verdict, refused_rows)

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
        queue.settle(tx, code=code, leases=leases_of(done))
        self.counts["written"] += len(done)
        if again:
            forget_values(tx, entity=mapping.entity, keys=list(again))
            queue.postpone(tx, code=code, pauses_s=dict.fromkeys(again, 0))
            self.counts["retried"] += len(again)
        taken = [(owed, _TAKEN) for owed, _ in written if owed.key not in kept]
        if taken:
            self.keep_refused(tx, mapping, Verdict.DATA, taken)

    def keep_refused(
        self, tx: Connection, mapping: Mapping, verdict: Verdict, rows: list[tuple[Owed, Refusal]]
    ) -> None:
        """Keep refused rows by what follows from the refusal."""
        if not rows:
            return
        code = self.codes[mapping.entity]
        keys = [owed.key for owed, _ in rows]
        if verdict is Verdict.DATA:
            remember_refused(tx, mapping, rows, status="Error")
            open_tickets(tx, mapping, rows)
            queue.settle(tx, code=code, leases=leases_of([owed for owed, _ in rows]))
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

    def record_removals(
        self, tx: Connection, mapping: Mapping, answered: Sequence[tuple[Removal, RowResult]]
    ) -> None:
        """Keep what came of records that were to be deleted."""
        code = self.codes[mapping.entity]
        gone = [one.owed for one, result in answered if is_gone(result)]
        if gone:
            forget_removed(tx, mapping, [one.key for one in gone])
            queue.settle(tx, code=code, leases=leases_of(gone))
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
            self.keep_refused(tx, mapping, verdict, rows)
