"""Applies the inbox: attributes into the hub in bulk, asks to their flows (design 4, D4, D15).

One pass at a time: envelopes and pages are taken in chunks, each applied in one transaction that
also marks it applied, so a crash repeats a chunk and repeats nothing else. No call to the org is
made inside a transaction.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import psycopg
import structlog
from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import DBAPIError, OperationalError

from connector.adapters.salesforce.client import OrgClient
from connector.resources import salesforce_dir
from connector.store.engine import Store, try_advisory_lock
from connector.sync.apply.answers import answer_intents
from connector.sync.apply.attributes import write_attributes
from connector.sync.apply.conflicts import settle_conflicts
from connector.sync.apply.foreign_edits import (
    LOOK_AGAIN_S,
    apply_foreign_edits,
    edited_records,
)
from connector.sync.apply.gone import marked_later, note_alive, note_deleted
from connector.sync.apply.intents import (
    Flow,
    have_asked_before,
    keep_intents,
    run_pending,
)
from connector.sync.apply.merges import forget_undone, masters, note_merges
from connector.sync.apply.pulled_values import needs_others
from connector.sync.apply.report import ApplyReport
from connector.sync.apply.rereading import reread_records
from connector.sync.inbox import store as inbox
from connector.sync.inbox.arrivals import (
    OrgRow,
    asks,
    hint_of,
    is_hint,
    newest,
    rules_of,
)
from connector.sync.inbox.envelope import MalformedEnvelope
from connector.sync.inbox.hints import read_hints
from connector.sync.inbox.notifications import Notification, decode
from connector.sync.inbox.wsdl import MessageShape, message_shapes
from connector.sync.mapping.definition import Mappings

log = structlog.get_logger(__name__)

CHUNK = 50  # envelopes or pages a transaction
LIMIT = 10_000  # of them a pass
ROUNDS_MAX = 20
_LOCK = "sync.apply"
_LOCK_WAIT = "2s"

_DATABASE_TIME = text("SELECT clock_timestamp()")
_VERSIONS = text(
    """
    SELECT sfid, max(version) AS version FROM (
        SELECT sfid, system_modstamp AS version FROM crm_record WHERE sfid = ANY(:sfids)
        UNION ALL
        SELECT sfid, CAST(version AS timestamptz) FROM intent WHERE sfid = ANY(:sfids)
    ) AS known GROUP BY sfid
    """
)


def apply_pending(
    *,
    store: Store,
    org: OrgClient,
    mappings: Mappings,
    flows: Mapping[str, Flow],
    now: datetime,
    limit: int = LIMIT,
    shapes: Mapping[str, MessageShape] | None = None,
    may_answer: bool = True,
) -> ApplyReport:
    """Apply what waits in the inbox, run the asks that are due, answer them in the CRM.

    `now` is the business instant the flows work with. `shapes` may be kept between passes. Without
    `may_answer` nothing is written in the CRM; the answers wait for a pass that may.
    """
    report = ApplyReport()
    if shapes is None:
        shapes = message_shapes(mappings, metadata=salesforce_dir())
    applier = _Applier(store, org, mappings, shapes, report)
    with _alone(store) as is_alone:
        if not is_alone:
            report.is_busy = True
            return report
        for _ in range(ROUNDS_MAX):
            while report.envelopes < limit and not report.postponed:
                if not applier.apply_chunk(min(CHUNK, limit - report.envelopes)):
                    break
            report.intents += run_pending(store=store, flows=flows, now=now)
            if may_answer:
                report.answered += answer_intents(store=store, org=org, mappings=mappings)
            with store.transaction() as tx:
                settle_conflicts(tx=tx, mappings=mappings)
            # What came meanwhile has found this pass busy and relies on it.
            if report.postponed or report.envelopes >= limit or not applier.has_more():
                break
    return report


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a chunk of the inbox says, before anything is read again."""

    notifications: dict[str, Notification]
    rows: list[OrgRow]
    source_of: dict[tuple[str, str], set[int]]  # (object, sfid) -> inbox rows that need a re-read
    outcomes: dict[int, str | None]
    hinted: set[tuple[str, str]]  # records that change events told of
    deleted: dict[tuple[str, str], datetime]  # when they were, of those that may be back since
    told_by: dict[tuple[str, str], str]  # (object, sfid) -> source of the inbox
    outdated: set[tuple[str, str]]  # records whose page has no values, or old ones


@dataclass(frozen=True, slots=True)
class _Applier:
    store: Store
    org: OrgClient
    mappings: Mappings
    shapes: Mapping[str, MessageShape]
    report: ApplyReport

    def has_more(self) -> bool:
        """Return whether something waits in the inbox."""
        with self.store.read() as tx:
            return bool(inbox.pending(tx, limit=1))

    def apply_chunk(self, size: int) -> bool:
        """Apply the next rows of the inbox; return False when there are none."""
        with self.store.read() as tx:
            chunk = inbox.pending(tx, limit=size)
        if not chunk:
            return False
        self.report.envelopes += len(chunk)
        try:
            self._apply(chunk)
        except OperationalError:
            raise  # the store is away: nothing is wrong with the rows
        except Exception as error:
            # One of them is poison: each alone, so that the others get through.
            log.warning("inbox.chunk_failed", rows=len(chunk), error=type(error).__name__)
            for row in chunk:
                self._apply_alone(row)
        return True

    def _apply_alone(self, row: Row[Any]) -> None:
        try:
            self._apply([row])
        except OperationalError:
            raise
        except Exception as error:
            log.warning("inbox.row_failed", inbox_id=row.id, error=type(error).__name__)
            problem = f"{type(error).__name__} while applying"
            self.report.problems.append(f"inbox {row.id}: {problem}")
            with self.store.transaction() as tx:
                inbox.finish(tx, {row.id: problem})

    def _apply(self, chunk: Sequence[Row[Any]]) -> None:
        taken = self._take(chunk)
        with self.store.read() as tx:
            taken = _under_masters(tx, taken)
            rows, again = self._sort(tx, taken)
            read_from = tx.execute(_DATABASE_TIME).scalar_one()
        late: set[int] = set()
        reread = reread_records(self.org, self.mappings, again)
        self.report.problems += reread.problems
        rows += [
            replace(row, source=taken.told_by.get(_key(row), row.source)) for row in reread.rows
        ]
        for keys, error in reread.refused:
            # A refused field is repaired in the mapping or the org; the hint waits for it.
            waiting = {number for key in keys for number in taken.source_of[key]}
            late |= waiting
            self.report.postponed += len(waiting)
            log.warning("inbox.postponed", rows=len(waiting), code=error.code)
            with self.store.transaction() as tx:
                inbox.postpone(tx, sorted(waiting), reason=" ".join(error.message.split()))
        organization_id = self.org.identity() if reread.rows else ""
        applied = {key: value for key, value in taken.outcomes.items() if key not in late}
        with self.store.transaction() as tx:
            refused = self._write(tx, rows, alive=reread.alive)
            unread = {key for keys, _ in reread.refused for key in keys}
            found_gone = taken.deleted.keys() - reread.alive - unread
            self._note_gone(tx, {key: taken.deleted[key] for key in found_gone})
            for key, problem in refused.items():
                applied |= dict.fromkeys(taken.source_of[key] - late, problem)
            confirmed = [row for row in newest(rows) if _key(row) in again]
            self._judge_edits(tx, confirmed, read_from=read_from, organization_id=organization_id)
            unheard = refused.keys() | unread
            heard = [
                one.notification_id
                for one in taken.notifications.values()
                if (one.object_name, one.sfid) not in unheard
            ]
            inbox.remember_seen(tx, heard)
            inbox.finish(tx, applied)

    def _take(self, chunk: Sequence[Row[Any]]) -> _Taken:
        taken = _Taken({}, [], {}, {}, set(), {}, {}, set())
        for row in chunk:
            taken.outcomes[row.id] = None
            if row.source == "cdc":
                self._take_hints(row, taken)
                continue
            if row.source != "outbound_message":
                page = inbox.read_page(row.topic, bytes(row.content), source=row.source)
                taken.rows.extend(page)
                for page_row in page:
                    key = _key(page_row)
                    taken.source_of.setdefault(key, set()).add(row.id)
                    taken.told_by[key] = row.source
                    # A page that waited says what was; only of deleted records it is all there is.
                    if is_hint(page_row) or (row.attempts and not page_row.is_deleted):
                        taken.outdated.add(key)
                continue
            try:
                decoded = decode(bytes(row.content), self.shapes)
            except MalformedEnvelope as error:
                taken.outcomes[row.id] = error.message
                self.report.problems.append(f"inbox {row.id}: {error.message}")
                continue
            if decoded.problems:
                taken.outcomes[row.id] = "; ".join(decoded.problems)
                self.report.problems += [f"inbox {row.id}: {one}" for one in decoded.problems]
            for one in decoded.notifications:
                self.report.notifications += 1
                taken.notifications[one.notification_id] = one
                key = (one.object_name, one.sfid)
                taken.source_of.setdefault(key, set()).add(row.id)
                taken.told_by[key] = row.source
        return taken

    def _take_hints(self, row: Row[Any], taken: _Taken) -> None:
        for hint in read_hints(bytes(row.content)):
            if not self.mappings.of_object(hint.object_name):
                continue  # mapped when it was heard, not any more
            key = (hint.object_name, hint.sfid)
            taken.source_of.setdefault(key, set()).add(row.id)
            taken.told_by[key] = row.source
            taken.hinted.add(key)
            if hint.tells_deletion:
                # In whole seconds, as stamps are: one that is back at once has the same.
                taken.deleted[key] = hint.commit_at.replace(microsecond=0)

    def _sort(self, tx: Connection, taken: _Taken) -> tuple[list[OrgRow], set[tuple[str, str]]]:
        """Return the rows that count as they are, and the records to read again."""
        repeated = inbox.seen(tx, list(taken.notifications))
        self.report.repeated += len(repeated)
        hints = [one for key, one in taken.notifications.items() if key not in repeated]
        known = {
            row.sfid: row.version
            for row in tx.execute(_VERSIONS, {"sfids": [one.sfid for one in hints]})
        }
        # A change event has no stamp to compare: its record is always read, once for many events.
        again = set(taken.hinted)
        for one in hints:
            version = known.get(one.sfid)
            # Equal is not older: two changes within a second have the same stamp.
            if one.version is not None and version is not None and one.version < version:
                self.report.stale += 1
            else:
                again.add((one.object_name, one.sfid))
        asking = self._asking_by_field(taken.rows)
        before = have_asked_before(tx, [row.sfid for row in asking]) if asking else set()
        again |= {_key(row) for row in asking if row.sfid in before}
        again |= taken.outdated | self._to_confirm(tx, taken.rows)
        again |= {_key(row) for row in marked_later(tx, taken.rows)}
        # Of a record that is gone, nothing can be read again: what its page says counts.
        rows = [row for row in taken.rows if row.is_deleted or _key(row) not in again]
        return rows, again

    def _to_confirm(self, tx: Connection, rows: Sequence[OrgRow]) -> set[tuple[str, str]]:
        """Return the records whose page says that a field of ours was changed.

        A page may be older than our last write: only a new look tells an edit from that.
        """
        found: set[tuple[str, str]] = set()
        for mapping in self.mappings.pushed:
            of_object = [row for row in rows if row.object_name == mapping.object]
            if of_object:
                edited = edited_records(tx, mapping, of_object)
                found |= {(mapping.object, sfid) for sfid in edited}
        return found

    def _judge_edits(
        self,
        tx: Connection,
        confirmed: Sequence[OrgRow],
        *,
        read_from: datetime,
        organization_id: str,
    ) -> None:
        """Apply the policy of fields that are the hub's and were changed in the CRM."""
        for mapping in self.mappings.pushed:
            of_object = [row for row in confirmed if row.object_name == mapping.object]
            if not of_object:
                continue
            edits = apply_foreign_edits(tx, mapping, self.mappings, of_object, read_from=read_from)
            self.report.repaired += edits.repaired
            self.report.accepted += edits.accepted
            self.report.conflicts += edits.opened
            if edits.look_again:
                inbox.store_page(
                    tx,
                    object_name=mapping.object,
                    organization_id=organization_id,
                    records=[hint_of(row) for row in edits.look_again],
                    pause_s=LOOK_AGAIN_S,
                )

    def _asking_by_field(self, rows: Sequence[OrgRow]) -> list[OrgRow]:
        rules = {
            name: [rule for _, rule in rules_of(self.mappings, name) if rule.when.set]
            for name in {row.object_name for row in rows}
        }
        return [row for row in rows if any(asks(rule, row) for rule in rules[row.object_name])]

    def _note_gone(self, tx: Connection, told: Mapping[tuple[str, str], datetime]) -> None:
        """Note records whose deletion an event told and that could not be read again."""
        by_object: dict[str, dict[str, datetime]] = {}
        for (object_name, sfid), at in sorted(told.items()):
            by_object.setdefault(object_name, {})[sfid] = at
        self._note_deleted(tx, by_object)

    def _write(
        self, tx: Connection, rows: Sequence[OrgRow], *, alive: Set[tuple[str, str]]
    ) -> dict[tuple[str, str], str]:
        """Write the records and keep what they ask; return those the hub refuses, with reasons.

        `alive` are those that were there a moment ago.
        """
        arrived = newest(row for row in rows if not row.is_deleted or _key(row) not in alive)
        gone = {_key(row) for row in arrived if row.is_deleted}
        # Of two deletions of one version only one may name the master.
        merging = [row for row in rows if row.is_deleted and _key(row) in gone]
        self.report.records += len(arrived)
        self.report.restored += note_alive(tx, arrived, seen=alive)
        forget_undone(tx, arrived)
        rows = [row for row in arrived if not row.is_deleted]
        refused: dict[tuple[str, str], str] = {}
        pulled = [mapping for mapping in self.mappings if mapping.pull is not None]
        for mapping in sorted(pulled, key=needs_others):
            of_object = [row for row in rows if row.object_name == mapping.object]
            if of_object:
                written = write_attributes(tx, mapping, of_object)
                self.report.add(written)
                refused |= {(mapping.object, sfid): why for sfid, why in written.problems.items()}
        self.report.asked += keep_intents(tx, self.mappings, rows)
        self._write_deleted(tx, [row for row in arrived if row.is_deleted])
        self.report.merged += note_merges(tx, self.mappings, merging)
        return refused

    def _write_deleted(self, tx: Connection, rows: Sequence[OrgRow]) -> None:
        by_object: dict[str, dict[str, datetime]] = {}
        for row in rows:
            by_object.setdefault(row.object_name, {})[row.sfid] = row.version
        self._note_deleted(tx, by_object)

    def _note_deleted(self, tx: Connection, by_object: Mapping[str, dict[str, datetime]]) -> None:
        for object_name, at in by_object.items():
            gone = note_deleted(tx, object_name, list(at), at=at)
            self.report.deleted += gone.marked
            self.report.made_again += gone.made_again


def _key(row: OrgRow) -> tuple[str, str]:
    return row.object_name, row.sfid


def _under_masters(tx: Connection, taken: _Taken) -> _Taken:
    """Let hints that name an id that was merged away mean the master."""
    named = [one.sfid for one in taken.notifications.values()]
    master_of = masters(tx, [*named, *(sfid for _, sfid in taken.hinted)])
    if not master_of:
        return taken
    hinted: set[tuple[str, str]] = set()
    for object_name, sfid in taken.hinted:
        master = master_of.get(sfid)
        if master is not None:
            rows = taken.source_of[object_name, sfid]
            taken.source_of.setdefault((object_name, master), set()).update(rows)
        hinted.add((object_name, master or sfid))
    notifications: dict[str, Notification] = {}
    for key, one in taken.notifications.items():
        master = master_of.get(one.sfid)
        if master is not None:
            rows = taken.source_of[one.object_name, one.sfid]
            taken.source_of.setdefault((one.object_name, master), set()).update(rows)
            # The versions of another record say nothing about how old this hint is.
            one = replace(one, sfid=master, version=None)
        notifications[key] = one
    return replace(taken, notifications=notifications, hinted=hinted)


def hold_off_passes(tx: Connection) -> bool:
    """Let no pass apply until the transaction ends; return False when one is at it now."""
    return try_advisory_lock(tx, _LOCK)


@contextmanager
def _alone(store: Store) -> Iterator[bool]:
    """Hold the lock of the apply pass on a connection outside any transaction."""
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        try:
            connection.execute(text(f"SET lock_timeout = '{_LOCK_WAIT}'"))
            connection.execute(
                text("SELECT pg_advisory_lock(hashtextextended(:key, 0))"), {"key": _LOCK}
            )
        except DBAPIError as error:
            connection.execute(text("RESET lock_timeout"))
            if isinstance(error.orig, psycopg.errors.LockNotAvailable):
                yield False
                return
            raise
        try:
            yield True
        finally:
            # A lock of the session would outlive the return of the connection to the pool.
            connection.execute(text("RESET lock_timeout"))
            connection.execute(
                text("SELECT pg_advisory_unlock(hashtextextended(:key, 0))"), {"key": _LOCK}
            )
