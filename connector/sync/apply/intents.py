"""Changes in the CRM that ask for an act: kept, handed to their flow, answered (design D15).

An intent is one ask: a record that shows what a rule waits for. It stays one however often the
record arrives: while it waits its facts follow the record, a parked one is tried again when the
record comes again, and one that is done is not repeated by a record that still shows the same ask.
"""

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, Row, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from connector.errors import ConnectorError, StateConflict, TransientFailure
from connector.store.engine import Store
from connector.sync.inbox.arrivals import OrgRow, asks, rules_of
from connector.sync.mapping.definition import IntentRule, Mappings

log = structlog.get_logger(__name__)

RUNS_PER_PASS_MAX = 500
_REASON_MAX = 2_000
_BUG_REMEDY = "This is a fault of the connector: the log of this moment has the details; report it."


@dataclass(frozen=True, slots=True)
class IntentRequest:
    """An ask handed to a flow. `facts` are the record's values as text, absent ones None."""

    flow: str
    object: str
    sfid: str
    facts: Mapping[str, str | None]
    now: datetime


Flow = Callable[[IntentRequest], None]


@dataclass(frozen=True, slots=True)
class IntentsRun:
    """What became of the intents of one pass."""

    done: int = 0
    parked: int = 0
    waiting: int = 0
    failed: int = 0

    def __add__(self, other: "IntentsRun") -> "IntentsRun":
        """Return the sum of both."""
        return IntentsRun(
            self.done + other.done,
            self.parked + other.parked,
            self.waiting + other.waiting,
            self.failed + other.failed,
        )


_LATEST = text(
    """
    SELECT DISTINCT ON (flow, sfid) id, flow, sfid, version, facts, state, cleared_at
      FROM intent WHERE sfid = ANY(:sfids) ORDER BY flow, sfid, id DESC
    """
)
_KEEP = text(
    """
    INSERT INTO intent (flow, object, sfid, version, facts, state, created_at)
    SELECT n.flow, n.object, n.sfid, n.version, n.facts, 'pending', now()
      FROM jsonb_to_recordset(:rows)
           AS n(flow text, object text, sfid text, version text, facts jsonb)
     ORDER BY n.sfid, n.flow
        ON CONFLICT (flow, sfid, version) DO UPDATE
       SET facts = excluded.facts, state = 'pending', reason = NULL, remedy = NULL,
           attempts = 0, next_attempt_at = NULL, done_at = NULL, cleared_at = NULL
    """
).bindparams(bindparam("rows", type_=JSONB))
_REFRESH = text(
    """
    UPDATE intent i SET version = n.version, facts = n.facts, state = 'pending',
           attempts = 0, next_attempt_at = NULL
      FROM jsonb_to_recordset(:rows) AS n(id bigint, version text, facts jsonb) WHERE i.id = n.id
    """
).bindparams(bindparam("rows", type_=JSONB))
_DUE = text(
    """
    SELECT id, flow, object, sfid, facts, attempts, reason FROM intent
     WHERE (state = 'pending' AND (next_attempt_at IS NULL OR next_attempt_at <= now())
            OR state = 'parked' AND next_attempt_at <= now())
       AND id > :after
     ORDER BY id LIMIT 1
    """
)
_BEGIN = text(
    """
    UPDATE intent SET state = 'pending', attempts = attempts + 1, reason = NULL,
           next_attempt_at = NULL
     WHERE id = :id
    """
)
_DONE = text(
    """
    UPDATE intent SET state = 'done', done_at = now(), next_attempt_at = NULL, remedy = NULL,
           reason = :reason WHERE id = :id
    """
)
# A parked ask is tried again by itself, ever more rarely: each try may cost a call.
_PARK = text(
    """
    UPDATE intent SET state = :state, reason = :reason, remedy = :remedy,
           next_attempt_at = now() + least(interval '6 hours',
                                           interval '5 min' * power(2, least(attempts, 10)))
     WHERE id = :id
    """
)
_LATER = text(
    """
    UPDATE intent SET reason = :reason, remedy = :remedy,
           next_attempt_at =
               now() + least(interval '1 hour', interval '2 s' * power(2, least(attempts, 15)))
     WHERE id = :id
    """
)
_RETRY = text(
    """
    UPDATE intent SET state = 'pending', attempts = 0, next_attempt_at = NULL
     WHERE state IN ('parked', 'failed') AND (CAST(:flow AS text) IS NULL OR flow = :flow)
    """
)


def retry_parked(*, tx: Connection, flow: str | None = None) -> int:
    """Let parked and failed intents run again, as after a repair; return how many."""
    count: int = tx.execute(_RETRY, {"flow": flow}).rowcount
    if count:
        log.info("intent.retried", count=count, flow=flow)
    return count


def new_asks(tx: Connection, mappings: Mappings, rows: Sequence[OrgRow]) -> list[OrgRow]:
    """Return the records that ask for something that is not known as the same ask already."""
    fresh, again = _sorted_out(tx, mappings, rows)
    sfids = {ask["sfid"] for ask in (*fresh, *again)}
    return [row for row in rows if row.sfid in sfids]


def have_asked_before(tx: Connection, sfids: Sequence[str]) -> set[str]:
    """Return the records that have asked before.

    What a sweep saw of them may be older than the answer: they are read again first.
    """
    return {row.sfid for row in tx.execute(_LATEST, {"sfids": list(sfids)})}


def keep_intents(tx: Connection, mappings: Mappings, rows: Sequence[OrgRow]) -> int:
    """Store what the records ask for; return how many asks are new or to be tried again."""
    fresh, again = _sorted_out(tx, mappings, rows)
    if fresh:
        tx.execute(_KEEP, {"rows": fresh})
    if again:
        tx.execute(_REFRESH, {"rows": again})
    return len(fresh) + len(again)


def _sorted_out(
    tx: Connection, mappings: Mappings, rows: Sequence[OrgRow]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rules = {name: rules_of(mappings, name) for name in {row.object_name for row in rows}}
    asking = [
        (row, rule)
        for row in rows
        for _, rule in rules[row.object_name]
        if asks(rule, row) and not row.is_deleted
    ]
    if not asking:
        return [], []
    found = tx.execute(_LATEST, {"sfids": sorted({row.sfid for row, _ in asking})})
    latest = {(known.flow, known.sfid): known for known in found}
    fresh: list[dict[str, Any]] = []
    again: list[dict[str, Any]] = []
    for row, rule in asking:
        ask = {
            "flow": rule.flow,
            "object": row.object_name,
            "sfid": row.sfid,
            "version": _version_text(row.version),
            "facts": _facts(rule, row),
        }
        known = latest.get((rule.flow, row.sfid))
        if known is None:
            fresh.append(ask)
        elif known.state == "done":
            if _is_new_ask(rule, known, ask):
                fresh.append(ask)
        elif ask["version"] >= known.version and (
            ask["version"] != known.version or ask["facts"] != known.facts
        ):
            again.append(ask | {"id": known.id})
    return fresh, again


def _is_new_ask(rule: IntentRule, done: Row[Any], ask: Mapping[str, Any]) -> bool:
    if not rule.when.set:
        return False  # it became so once, and that was carried out
    if ask["facts"] != done.facts:
        return bool(ask["version"] >= done.version)
    # The same words: new only if the field has been emptied since and the record is newer.
    return bool(done.cleared_at is not None and ask["version"] > done.version)


def _facts(rule: IntentRule, row: OrgRow) -> dict[str, str | None]:
    return {name: _fact(row.values.get(name)) for name in (rule.when.field, *rule.facts)}


def _fact(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _version_text(version: datetime) -> str:
    return version.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def run_pending(
    *, store: Store, flows: Mapping[str, Flow], now: datetime, limit: int = RUNS_PER_PASS_MAX
) -> IntentsRun:
    """Hand every due intent to its flow, one after the other, oldest first."""
    counts = {"done": 0, "parked": 0, "waiting": 0, "failed": 0}
    after = 0
    for _ in range(limit):
        with store.transaction() as tx:
            due = tx.execute(_DUE, {"after": after}).one_or_none()
            if due is None:
                break
            tx.execute(_BEGIN, {"id": due.id})
        after = due.id
        counts[_run(store, flows, due, now)] += 1
    return IntentsRun(**counts)


def _run(store: Store, flows: Mapping[str, Flow], due: Row[Any], now: datetime) -> str:
    flow = flows.get(due.flow)
    request = IntentRequest(due.flow, due.object, due.sfid, due.facts, now)
    # Begun, and neither reason nor end: the process died while the flow ran.
    was_interrupted = due.attempts > 0 and due.reason is None
    try:
        if flow is None:
            raise StateConflict(
                f"No flow is called {due.flow!r}.", remedy="Correct the mapping's `intents`."
            )
        flow(request)
    except TransientFailure as error:
        _settle(store, _LATER, due, reason=error.message, remedy=error.remedy)
        log.warning("intent.later", intent_id=due.id, flow=due.flow, code=error.code)
        return "waiting"
    except ConnectorError as error:
        if was_interrupted and isinstance(error, StateConflict):
            _settle(store, _DONE, due, reason=f"Carried out before a restart: {error.message}")
            return "done"
        _settle(store, _PARK, due, state="parked", reason=error.message, remedy=error.remedy)
        log.warning("intent.parked", intent_id=due.id, flow=due.flow, code=error.code)
        return "parked"
    except Exception as error:
        reason = f"{type(error).__name__} in flow {due.flow}"
        _settle(store, _PARK, due, state="failed", reason=reason, remedy=_BUG_REMEDY)
        # Without the traceback's values: they hold customers' data.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        log.error("intent.failed", intent_id=due.id, flow=due.flow, reason=reason, place=place)
        return "failed"
    _settle(store, _DONE, due, reason=None)
    log.info("intent.done", intent_id=due.id, flow=due.flow, sfid=due.sfid)
    return "done"


def _settle(store: Store, statement: Any, due: Row[Any], **values: str | None) -> None:
    if values.get("reason"):
        values["reason"] = str(values["reason"])[:_REASON_MAX]
    with store.transaction() as tx:
        tx.execute(statement, {"id": due.id} | values)
