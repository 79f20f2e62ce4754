"""The conflict inbox: one open conflict per record and field, until both agree or a person decides.

While it is open the push leaves the field alone (`crm_record.in_conflict`), and the CRM record
says so itself.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import structlog
from sqlalchemy import Connection, text

from connector.errors import InvalidInput, StateConflict
from connector.sync.apply.accepting import can_take_theirs, take_theirs
from connector.sync.mapping.definition import Mapping, Mappings
from connector.sync.mapping.state_sql import one_by_one_source, state_sql

log = structlog.get_logger(__name__)

Side = Literal["theirs", "ours"]
SHOWN_MAX = 500
_SETTLED_MAX = 10_000  # of an entity, a pass

_COLUMNS = """
    id, kind, entity, hub_id, object, sfid, field, theirs, ours, agreed, seen_at, opened_at,
    decided_at, decision, decided_by
"""
_LIST = text(
    f"""
    SELECT {_COLUMNS} FROM conflict
     WHERE (:with_decided OR decided_at IS NULL)
       AND (CAST(:entity AS text) IS NULL OR entity = :entity)
       AND (CAST(:sfid AS text) IS NULL OR sfid = :sfid)
     ORDER BY decided_at IS NOT NULL, id DESC LIMIT :limit
    """  # noqa: S608 - constants
)
_ONE = text(f"SELECT {_COLUMNS} FROM conflict WHERE id = :id FOR UPDATE")  # noqa: S608 - constants
_ENTITIES = text("SELECT DISTINCT entity FROM conflict WHERE decided_at IS NULL")
_DECIDE = text(
    """
    UPDATE conflict SET decided_at = now(), decision = :decision, decided_by = :decided_by
     WHERE id = :id
    """
)
# The record keeps its status: the push then tells the CRM that it is in step again.
_RELEASE = text(
    """
    UPDATE crm_record r
       SET in_conflict = (SELECT array_agg(c.field ORDER BY c.field) FROM conflict c
                           WHERE c.entity = r.entity AND c.hub_id = r.hub_id
                             AND c.decided_at IS NULL),
           repairs = nullif(r.repairs - CAST(:fields AS text[]), '{}')
     WHERE r.entity = :entity AND r.hub_id = ANY (:ids)
    """
)
_OWE = text(
    """
    INSERT INTO push_log (entity, keys)
    SELECT code, CAST(:ids AS bigint[]) FROM push_entity WHERE name = :entity
    """
)

_FORGET = text("DELETE FROM conflict WHERE decided_at < now() - interval '1 year'")


class ConflictUnknown(InvalidInput):
    """There is no conflict with this number."""

    code = "conflict.unknown"
    remedy = "See `l2c sync conflicts list --all`."


class ConflictDecided(StateConflict):
    """Somebody has decided it, or both sides agree by themselves."""

    code = "conflict.decided"
    remedy = "Nothing is left to decide; `l2c sync conflicts show` tells who decided what."


class ConflictOnlyOurs(InvalidInput):
    """The hub cannot take the CRM's value: rules hang on the field, or it is derived."""

    code = "conflict.only_ours"
    remedy = "Change it in the hub by its own command and the conflict ends, or --take ours."


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field both sides say differently. `agreed` is what both had before; times are UTC."""

    id: int
    kind: str
    entity: str
    hub_id: int
    object: str
    sfid: str
    field: str
    theirs: Any
    ours: Any
    agreed: Any
    seen_at: datetime
    opened_at: datetime
    decided_at: datetime | None
    decision: str | None
    decided_by: str | None


def conflicts(
    *,
    tx: Connection,
    entity: str | None = None,
    sfid: str | None = None,
    with_decided: bool = False,
    limit: int = SHOWN_MAX,
) -> tuple[Conflict, ...]:
    """Return open conflicts, the newest first, with `with_decided` the others behind them."""
    rows = tx.execute(
        _LIST, {"entity": entity, "sfid": sfid, "with_decided": with_decided, "limit": limit}
    )
    return tuple(Conflict(**row._mapping) for row in rows)


def conflict_of(*, tx: Connection, conflict_id: int) -> Conflict:
    """Return one conflict, open or not, and hold it until the transaction ends.

    Raises:
        ConflictUnknown: There is none.
    """
    row = tx.execute(_ONE, {"id": conflict_id}).one_or_none()
    if row is None:
        raise ConflictUnknown(f"There is no conflict {conflict_id}.")
    return Conflict(**row._mapping)


def decide(
    *, tx: Connection, mappings: Mappings, conflict_id: int, take: Side, decided_by: str
) -> Conflict:
    """End a conflict: the hub takes the CRM's value, or sends its own again.

    Raises:
        ConflictUnknown: There is none with this number.
        ConflictDecided: It is over already.
        ConflictOnlyOurs: `theirs` cannot be taken: no column of the hub may be written from there.
    """
    found = conflict_of(tx=tx, conflict_id=conflict_id)
    if found.decided_at is not None:
        raise ConflictDecided(f"Conflict {conflict_id} is over: {found.decision}.")
    mapping = mappings.by_entity.get(found.entity)
    if take == "theirs" and not (
        mapping
        and can_take_theirs(mapping, found.field)
        and not take_theirs(tx, mapping, found.field, {found.hub_id: found.theirs})
    ):
        raise ConflictOnlyOurs(f"The hub cannot take {found.object}.{found.field} from the CRM.")
    tx.execute(_DECIDE, {"id": conflict_id, "decision": take, "decided_by": decided_by})
    _release(tx, found.entity, {found.hub_id}, {found.field})
    log.info("conflict.decided", conflict_id=conflict_id, decision=take)
    return conflict_of(tx=tx, conflict_id=conflict_id)


def settle_conflicts(*, tx: Connection, mappings: Mappings) -> int:
    """End the conflicts in which both sides say the same by now; return how many.

    Keeps what the hub says up to date in the others. Two statements for each entity with conflicts.
    """
    settled = 0
    for entity in tx.scalars(_ENTITIES).all():
        mapping = mappings.by_entity.get(entity)
        if mapping is None or mapping.push is None:
            continue  # its mapping file was taken away: only a person can end it
        rows = tx.execute(
            text(_settling(mapping, mappings)), {"entity": entity, "limit": _SETTLED_MAX}
        ).all()
        over = [row for row in rows if row.is_over]
        if over:
            _release(tx, entity, {row.hub_id for row in over}, {row.field for row in over})
            settled += len(over)
    return settled


def forget_decided(tx: Connection) -> None:
    """Delete conflicts that ended a year ago."""
    tx.execute(_FORGET)


def _settling(mapping: Mapping, mappings: Mappings) -> str:
    keys = (
        "(SELECT DISTINCT hub_id AS key FROM (SELECT hub_id FROM conflict WHERE entity = :entity "
        "AND decided_at IS NULL ORDER BY hub_id LIMIT :limit) o) AS q"
    )
    state = state_sql(mapping, mappings, source=one_by_one_source(mapping, keys), by_key=True)
    return f"""
    WITH hub AS MATERIALIZED (SELECT q.key, {state}),
    compared AS (
        SELECT c.id, hub.state -> c.field AS ours,
               hub.is_absent OR hub.known -> c.field IS NOT DISTINCT FROM hub.state -> c.field
               AS is_over
          FROM conflict c JOIN hub ON hub.key = c.hub_id
         WHERE c.entity = :entity AND c.decided_at IS NULL)
    UPDATE conflict c
       SET ours = coalesce(n.ours, 'null'),
           decided_at = CASE WHEN n.is_over THEN now() END,
           decision = CASE WHEN n.is_over THEN 'agreed' END,
           decided_by = CASE WHEN n.is_over THEN 'sync' END
      FROM compared n
     WHERE c.id = n.id AND (n.is_over OR c.ours IS DISTINCT FROM coalesce(n.ours, 'null'))
    RETURNING c.hub_id, c.field, n.is_over"""  # noqa: S608 - names come from checked mappings


def _release(tx: Connection, entity: str, ids: set[int], fields: set[str]) -> None:
    tx.execute(_RELEASE, {"entity": entity, "ids": sorted(ids), "fields": sorted(fields)})
    tx.execute(_OWE, {"entity": entity, "ids": sorted(ids)})
