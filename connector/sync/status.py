"""How sync stands: what is owed, what failed and why, what waits for a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from connector.sync.budget.lanes import DEFAULT_SHARES, Budget, Hold, Lane
from connector.sync.budget.usage import read_budget
from connector.sync.capture.event_topics import TopicStanding, topic_standings
from connector.sync.mapping.findings import KeptFinding, read_findings
from connector.sync.push.collapse import mark
from connector.sync.push.shadow import ShadowState, shadow_state

_OWED = text("""
    SELECT e.name, count(*) AS owed FROM (
        SELECT entity, key FROM push_queue
        UNION SELECT l.entity, k.key FROM push_log l CROSS JOIN LATERAL unnest(l.keys) AS k (key)
    ) AS o JOIN push_entity e ON e.code = o.entity GROUP BY e.name ORDER BY e.name
""")
_TROUBLE = text("""
    SELECT entity, object, coalesce(error_code, '') AS code, coalesce(remedy, '') AS remedy,
           count(*) AS records, min(error) AS example
      FROM crm_record WHERE status IN ('Error', 'Conflict')
     GROUP BY entity, object, error_code, remedy ORDER BY count(*) DESC, entity, error_code
     LIMIT 100
""")
_INBOX = text("SELECT state, count(*) AS envelopes FROM inbox GROUP BY state")
_STUCK = text("""
    SELECT id, source, state, error FROM inbox WHERE state <> 'applied' AND error IS NOT NULL
     ORDER BY id DESC LIMIT 20
""")
_INTENTS = text("SELECT state, count(*) AS intents FROM intent GROUP BY state")
_PARKED = text("""
    SELECT flow, object, sfid, coalesce(reason, '') AS reason, coalesce(remedy, '') AS remedy
      FROM intent WHERE state IN ('parked', 'failed') ORDER BY id DESC LIMIT 100
""")
_CURSORS = text("""
    SELECT object, position_at FROM sync_cursor WHERE kind = 'changes' ORDER BY object
""")
_GONE = text("""
    SELECT entity, count(*) AS records FROM crm_record
     WHERE deleted_at IS NOT NULL GROUP BY entity ORDER BY entity
""")
_OWED_SWEEPS = text("SELECT object, reason FROM owed_sweep ORDER BY object")
_CALLS = text("SELECT calls, used_today, allowed_today, seen_at FROM api_usage")
_REPORT = text("SELECT made_at, drift FROM reconcile_report ORDER BY id DESC LIMIT 1")
_RECORD = text("""
    SELECT r.sfid, r.object, r.status, r.error, r.error_code, r.remedy, r.synced_at,
           EXISTS (SELECT FROM push_queue q JOIN push_entity e ON e.code = q.entity
                    WHERE e.name = :entity AND q.key = :hub_id)
           OR EXISTS (SELECT FROM push_log l JOIN push_entity e ON e.code = l.entity
                       WHERE e.name = :entity AND l.keys @> ARRAY[CAST(:hub_id AS bigint)])
           AS is_owed
      FROM (SELECT 1) AS one
      LEFT JOIN crm_record r ON r.entity = :entity AND r.hub_id = :hub_id
""")
_DEAD = text("""
    SELECT entity, hub_id, object, sfid, coalesce(error_code, '') AS code,
           coalesce(error, '') AS error, coalesce(remedy, '') AS remedy, attempts,
           next_attempt_at
      FROM crm_record
     WHERE status = 'Error'
       AND (CAST(:entity AS text) IS NULL OR entity = :entity)
       AND (CAST(:hub_id AS bigint) IS NULL OR hub_id = :hub_id)
     ORDER BY entity, hub_id LIMIT :limit
""")
_DEAD_COUNT = text("""
    SELECT count(*) FROM crm_record
     WHERE status = 'Error' AND (CAST(:entity AS text) IS NULL OR entity = :entity)
""")
_WANTED = text("""
    SELECT entity, array_agg(hub_id ORDER BY hub_id) AS keys_found FROM crm_record
     WHERE status IN ('Error', 'Conflict')
       AND (CAST(:entity AS text) IS NULL OR entity = :entity)
       AND (cardinality(CAST(:hub_ids AS bigint[])) = 0
            OR hub_id = ANY (CAST(:hub_ids AS bigint[])))
     GROUP BY entity
""")
_DROP = text("""
    UPDATE crm_record SET status = 'Ignored', next_attempt_at = NULL
     WHERE status = 'Error' AND entity = :entity AND hub_id = ANY (CAST(:hub_ids AS bigint[]))
""")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Records of one entity that failed for the same reason."""

    entity: str
    object: str
    code: str
    remedy: str
    records: int
    example: str


@dataclass(frozen=True, slots=True)
class ParkedIntent:
    """A change in the CRM that could not be carried out."""

    flow: str
    object: str
    sfid: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class StuckEnvelope:
    """Something of the inbox that could not be applied yet; a pending one is tried again soon."""

    id: int
    source: str
    state: str
    error: str


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """What a lane has spent in the last 24 hours, and what is reserved for it."""

    spent: int
    reserved: int
    spendable: int | None


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """How the org's API calls of the last 24 hours stand; unknown before its first answer."""

    used: int | None
    allowed: int | None
    percent_left: int | None
    slowness: float
    forecast_at: datetime | None  # when none will be left if it goes on like this
    held: str  # why no call is made now
    lanes: dict[str, LaneStatus]

    @classmethod
    def of(cls, budget: Budget, *, now: datetime) -> "BudgetStatus":
        """Return what a person wants to know of a budget."""
        is_held = budget.held_for is Hold.DAILY or (
            budget.held_until is not None and budget.held_until > now
        )
        held = budget.leave(Lane.INTERACTIVE, now=now).why_not if is_held else ""
        return cls(
            used=budget.used,
            allowed=budget.allowed,
            percent_left=budget.percent_left,
            slowness=round(budget.slowness, 1),
            forecast_at=budget.forecast_at,
            held=held,
            lanes={
                lane.value: LaneStatus(
                    budget.spent_by(lane), budget.reserved(lane), budget.spendable(lane)
                )
                for lane in Lane
            },
        )


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """The whole picture. Days and instants of cursors are the org's.

    `owed_sweeps` names objects to be read again because their events were lost, and why.
    """

    owed: dict[str, int]
    trouble: tuple[Trouble, ...]
    inbox: dict[str, int]
    stuck: tuple[StuckEnvelope, ...]  # the newest of the inbox
    intents: dict[str, int]
    parked: tuple[ParkedIntent, ...]
    cursors: dict[str, datetime]
    topics: tuple[TopicStanding, ...]
    owed_sweeps: dict[str, str]
    deleted_in_crm: dict[str, int]  # records by entity, those to be made again included
    api_calls: int
    api_used_today: int | None
    api_allowed_today: int | None
    reconciled_at: datetime | None
    drift: int | None
    budget: BudgetStatus
    mapping_findings: tuple[KeptFinding, ...]
    shadow: ShadowState | None = None  # what would have been sent, in shadow mode

    @property
    def halted(self) -> tuple[KeptFinding, ...]:
        """Return the findings for which an object stands still."""
        return tuple(one for one in self.mapping_findings if one.halts)

    @property
    def is_quiet(self) -> bool:
        """Return whether nothing is owed, failed or waiting on either way."""
        return not (
            self.owed
            or self.trouble
            or self.parked
            or self.halted
            or self.inbox.get("pending")
            or self.inbox.get("failed")
            or self.intents.get("pending")
            or self.owed_sweeps
        )


@dataclass(frozen=True, slots=True)
class RecordState:
    """How one record of the hub stands in the CRM; `status` is one of crm_record's, or Unknown."""

    status: str
    object: str | None
    sfid: str | None
    error: str | None
    code: str | None
    remedy: str | None
    synced_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record the CRM refused; it is sent again when it changes, or on request."""

    entity: str
    hub_id: int
    object: str
    sfid: str | None
    code: str
    error: str
    remedy: str
    attempts: int
    next_attempt_at: datetime | None


def sync_status(
    *, tx: Connection, shares: Mapping[Lane, int] = DEFAULT_SHARES, is_shadow: bool = False
) -> SyncStatus:
    """Return how sync stands; in shadow mode with what would have been sent.

    `shares` are the lanes' percent of the day's API calls.
    """
    budget, now = read_budget(tx, shares=shares)
    calls = tx.execute(_CALLS).one_or_none()
    report = tx.execute(_REPORT).one_or_none()
    return SyncStatus(
        owed={row.name: row.owed for row in tx.execute(_OWED)},
        trouble=tuple(Trouble(**row._mapping) for row in tx.execute(_TROUBLE)),
        inbox={row.state: row.envelopes for row in tx.execute(_INBOX)},
        stuck=tuple(StuckEnvelope(**row._mapping) for row in tx.execute(_STUCK)),
        intents={row.state: row.intents for row in tx.execute(_INTENTS)},
        parked=tuple(ParkedIntent(**row._mapping) for row in tx.execute(_PARKED)),
        cursors={row.object: row.position_at for row in tx.execute(_CURSORS)},
        topics=topic_standings(tx),
        owed_sweeps={row.object: row.reason for row in tx.execute(_OWED_SWEEPS)},
        deleted_in_crm={row.entity: row.records for row in tx.execute(_GONE)},
        api_calls=calls.calls if calls else 0,
        api_used_today=calls.used_today if calls else None,
        api_allowed_today=calls.allowed_today if calls else None,
        reconciled_at=report.made_at if report else None,
        drift=report.drift if report else None,
        shadow=shadow_state(tx) if is_shadow else None,
        budget=BudgetStatus.of(budget, now=now),
        mapping_findings=read_findings(tx),
    )


def sync_waiting(*, tx: Connection) -> dict[str, int]:
    """Count what is on its way, upstream first: the few numbers somebody who waits asks for."""
    inbox = {row.state: row.envelopes for row in tx.execute(_INBOX)}
    intents = {row.state: row.intents for row in tx.execute(_INTENTS)}
    return {
        "messages to apply": inbox.get("pending", 0),
        "requests to carry out": intents.get("pending", 0),
        "records to push": sum(row.owed for row in tx.execute(_OWED)),
    }


def record_state(*, tx: Connection, entity: str, hub_id: int) -> RecordState:
    """Return how one record stands: Pending while a newer state of it is owed."""
    row = tx.execute(_RECORD, {"entity": entity, "hub_id": hub_id}).one()
    status = row.status or "Unknown"
    if row.is_owed and status in ("In Sync", "Unknown"):
        status = "Pending"
    return RecordState(
        status=status,
        object=row.object,
        sfid=row.sfid,
        error=row.error,
        code=row.error_code,
        remedy=row.remedy,
        synced_at=row.synced_at,
    )


def dead_letters(
    *,
    tx: Connection,
    entity: str | None = None,
    hub_id: int | None = None,
    limit: int = 500,
) -> tuple[DeadLetter, ...]:
    """Return records the CRM refused: all, those of one entity, or one."""
    rows = tx.execute(_DEAD, {"entity": entity, "hub_id": hub_id, "limit": limit})
    return tuple(DeadLetter(**row._mapping) for row in rows)


def dead_letter_count(*, tx: Connection, entity: str | None = None) -> int:
    """Return how many records the CRM has refused: all, or those of one entity."""
    return int(tx.execute(_DEAD_COUNT, {"entity": entity}).scalar_one())


def retry_dead_letters(
    *, tx: Connection, entity: str | None = None, hub_ids: Sequence[int] = ()
) -> int:
    """Owe the CRM refused records once more, all, one entity's or some of it; return how many."""
    found = tx.execute(_WANTED, {"entity": entity, "hub_ids": list(hub_ids)})
    count = 0
    for row in found.all():
        mark(tx=tx, entity=row.entity, keys=row.keys_found)
        count += len(row.keys_found)
    return count


def drop_dead_letters(*, tx: Connection, entity: str, hub_ids: Sequence[int]) -> int:
    """Give up on refused records until they change; return how many."""
    return int(tx.execute(_DROP, {"entity": entity, "hub_ids": list(hub_ids)}).rowcount)
