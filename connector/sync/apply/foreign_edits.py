"""Finds fields that belong to the hub and were changed in the CRM, and applies their policy.

Three ways in SQL, for all records at once: what the CRM shows now, what it showed when both sides
last agreed (`crm_record.known`), what the hub has now, through the push view. `known` then says
what the CRM shows, whatever the policy: a repair is nothing but the push sending what differs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import structlog
from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from connector.adapters.salesforce.ids import to_18
from connector.sync.apply.accepting import take_theirs
from connector.sync.inbox.arrivals import OrgRow, heard_from
from connector.sync.mapping.definition import FieldType, ForeignEdit, Mappings
from connector.sync.mapping.definition import Mapping as EntityMapping
from connector.sync.mapping.state_sql import (
    CONFLICT_REMEDY,
    conflict_words,
    one_by_one_source,
    state_sql,
)
from connector.sync.mapping.transforms import crm_value, literal

log = structlog.get_logger(__name__)

# More repairs of one field within the window are a loop: something in the CRM undoes our value.
REPAIRS_MAX = 3
REPAIRS_WINDOW = timedelta(hours=1)
LOOK_AGAIN_S = 10

# A lease that has not ended: a delivery may be under way, and what we read may be its work.
_EDITED = """
    FROM jsonb_to_recordset(:rows) AS n(sfid text, version timestamptz, shown jsonb)
    JOIN crm_record r ON r.sfid = n.sfid AND r.entity = :entity
   CROSS JOIN LATERAL jsonb_each(n.shown) AS f
   WHERE (r.system_modstamp IS NULL OR r.system_modstamp <= n.version)
     AND (r.known ? f.key OR f.key = ANY (r.in_conflict))
     AND r.known -> f.key IS DISTINCT FROM f.value
"""
_MET = text("SELECT sfid FROM crm_record WHERE entity = :entity AND sfid = ANY (:sfids)")
_WHICH = text(f"SELECT DISTINCT n.sfid {_EDITED}").bindparams(bindparam("rows", type_=JSONB))
_EDITS = text(
    f"""
    SELECT r.hub_id, n.sfid, n.version, f.key AS field, f.value AS theirs,
           coalesce(r.known -> f.key, 'null') AS agreed,
           coalesce(f.key = ANY (r.in_conflict), false) AS is_open, r.repairs -> f.key AS repairs,
           coalesce(r.pushed_at >= :read_from, false)
           OR EXISTS (SELECT FROM push_queue q JOIN push_entity e ON e.code = q.entity
                       WHERE e.name = :entity AND q.key = r.hub_id
                         AND q.lease_until > now() - CAST(:sent_within AS interval))
           AS is_moving
    {_EDITED} ORDER BY r.hub_id, f.key
    """  # noqa: S608 - constants
).bindparams(bindparam("rows", type_=JSONB))
# A record whose pause is over is sent within seconds; until then the CRM may show what a killed
# process sent without our knowing, which is nobody's edit.
_SENT_WITHIN = "30 seconds"
_LOCK = text(
    "SELECT FROM crm_record WHERE entity = :entity AND hub_id = ANY (:ids) "
    "ORDER BY hub_id FOR UPDATE"
)
_REMEMBER = text(
    f"""
    UPDATE crm_record r
       SET known = r.known || n.known, known_from = r.known_from || n.known_from,
           system_modstamp = greatest(r.system_modstamp, n.version),
           repairs = nullif(coalesce(r.repairs, '{{}}') || n.repairs, '{{}}'),
           in_conflict = n.in_conflict,
           status = CASE WHEN n.is_opened THEN 'Conflict' ELSE r.status END,
           error = CASE WHEN n.is_opened THEN {conflict_words("n.in_conflict")} ELSE r.error END,
           error_code = CASE WHEN n.is_opened THEN 'sync.conflict' ELSE r.error_code END,
           remedy = CASE WHEN n.is_opened THEN {literal(CONFLICT_REMEDY)} ELSE r.remedy END
      FROM (SELECT n.hub_id, n.version, n.known, n.known_from, n.repairs,
                   n.opened IS NOT NULL AS is_opened,
                   CASE WHEN n.opened IS NULL THEN k.in_conflict
                        ELSE ARRAY(SELECT unnest(k.in_conflict) UNION SELECT unnest(n.opened)
                                    ORDER BY 1) END AS in_conflict
              FROM jsonb_to_recordset(:rows)
                   AS n(hub_id bigint, version timestamptz, known jsonb, known_from jsonb,
                        repairs jsonb, opened text[])
              JOIN crm_record k ON k.entity = :entity AND k.hub_id = n.hub_id) AS n
     WHERE r.entity = :entity AND r.hub_id = n.hub_id
    """  # noqa: S608 - constants
).bindparams(bindparam("rows", type_=JSONB))
_OPEN = text(
    """
    INSERT INTO conflict AS c
           (kind, entity, hub_id, object, sfid, field, theirs, ours, agreed, seen_at, opened_at)
    SELECT n.kind, :entity, n.hub_id, :object, n.sfid, n.field, coalesce(n.theirs, 'null'),
           coalesce(n.ours, 'null'), coalesce(n.agreed, 'null'), n.version, now()
      FROM jsonb_to_recordset(:rows)
           AS n(kind text, hub_id bigint, sfid text, field text, theirs jsonb, ours jsonb,
                agreed jsonb, version timestamptz)
        ON CONFLICT (entity, hub_id, field) WHERE decided_at IS NULL DO UPDATE
       SET theirs = excluded.theirs, ours = excluded.ours, seen_at = excluded.seen_at
    """
).bindparams(bindparam("rows", type_=JSONB))
_OWE = text(
    """
    INSERT INTO push_log (entity, keys)
    SELECT code, CAST(:ids AS bigint[]) FROM push_entity WHERE name = :entity
    """
)


class Outcome(StrEnum):
    """What became of an edit."""

    AGREED = "agreed"  # both sides say the same now
    REPAIRED = "repaired"  # the push sends the hub's value again
    ACCEPTED = "accepted"
    OPENED = "opened"
    STILL_OPEN = "still open"
    ABSENT = "absent"  # the hub shows no such record any more


@dataclass(frozen=True, slots=True)
class ForeignEdits:
    """What became of the edits of some records; `look_again` could not be judged yet."""

    agreed: int = 0
    repaired: int = 0
    accepted: int = 0
    opened: int = 0
    look_again: tuple[OrgRow, ...] = ()


@dataclass(frozen=True, slots=True)
class _Edit:
    hub_id: int
    sfid: str
    version: datetime
    field: str
    theirs: Any
    agreed: Any
    ours: Any
    is_open: bool
    repairs: Mapping[str, Any] | None
    is_absent: bool

    @property
    def repairs_now(self) -> dict[str, Any]:
        """Return the count with one more repair, a new one when the window is over."""
        if self.repairs is not None:
            since = datetime.fromisoformat(self.repairs["since"])
            if self.version - since <= REPAIRS_WINDOW:
                return {"times": self.repairs["times"] + 1, "since": self.repairs["since"]}
        return {"times": 1, "since": self.version.isoformat()}


def edited_records(tx: Connection, mapping: EntityMapping, rows: Sequence[OrgRow]) -> set[str]:
    """Return the Salesforce ids of records in which a field of the hub is not as last known."""
    shown = _shown(mapping, _met(tx, mapping, rows))
    if not shown:
        return set()
    return set(tx.scalars(_WHICH, {"entity": mapping.entity, "rows": shown}))


def apply_foreign_edits(
    tx: Connection,
    mapping: EntityMapping,
    mappings: Mappings,
    rows: Sequence[OrgRow],
    *,
    read_from: datetime,
) -> ForeignEdits:
    """Apply the policy of each field that somebody in the CRM changed; a few statements in all.

    `read_from` is the database's time before the records were read: one that was pushed since, or
    is being pushed, shows perhaps our own work and is to be looked at again.
    """
    shown = _shown(mapping, rows)
    if not shown:
        return ForeignEdits()
    found = tx.execute(
        _EDITS,
        {
            "entity": mapping.entity,
            "rows": shown,
            "read_from": read_from,
            "sent_within": _SENT_WITHIN,
        },
    ).all()
    moving = {row.sfid for row in found if row.is_moving}
    edits = [row for row in found if row.sfid not in moving]
    look_again = tuple(row for row in rows if row.sfid in moving)
    if not edits:
        return ForeignEdits(look_again=look_again)
    ids = sorted({row.hub_id for row in edits})
    tx.execute(_LOCK, {"entity": mapping.entity, "ids": ids})
    ours = _ours(tx, mapping, mappings, ids)
    judged = [_judge(mapping, _edit(row, ours.get(row.hub_id))) for row in edits]
    judged = _accept(tx, mapping, judged)
    _remember(tx, mapping, judged, {row.sfid: row for row in rows})
    counts = {outcome: sum(1 for _, its in judged if its is outcome) for outcome in Outcome}
    log.info(
        "sync.foreign_edits",
        entity=mapping.entity,
        **{outcome.name.lower(): count for outcome, count in counts.items() if count},
    )
    return ForeignEdits(
        agreed=counts[Outcome.AGREED],
        repaired=counts[Outcome.REPAIRED],
        accepted=counts[Outcome.ACCEPTED],
        opened=counts[Outcome.OPENED],
        look_again=look_again,
    )


def _met(tx: Connection, mapping: EntityMapping, rows: Sequence[OrgRow]) -> list[OrgRow]:
    """Leave out records sync has not met: there is nothing to compare them with."""
    sfids = [row.sfid for row in rows]
    met = set(tx.scalars(_MET, {"entity": mapping.entity, "sfids": sfids}))
    return [row for row in rows if row.sfid in met]


def _shown(mapping: EntityMapping, rows: Sequence[OrgRow]) -> list[dict[str, Any]]:
    names = mapping.compared_names
    return [
        {
            "sfid": row.sfid,
            "version": row.version,
            "shown": {
                name: _canonical(mapping, name, row.values[name])
                for name in names
                if name in row.values
            },
        }
        for row in rows
        if names and not row.is_deleted
    ]


def _canonical(mapping: EntityMapping, name: str, value: Any) -> Any:
    field = mapping.fields.get(name)
    if field is None or field.type is FieldType.REFERENCE:
        return to_18(str(value)) if value else None
    return crm_value(field, value)


def _ours(
    tx: Connection, mapping: EntityMapping, mappings: Mappings, ids: list[int]
) -> dict[int, Mapping[str, Any]]:
    source = one_by_one_source(mapping, "unnest(CAST(:ids AS bigint[])) AS q (key)")
    state = state_sql(mapping, mappings, source=source, by_key=True)
    statement = text(f"SELECT key, state FROM (SELECT q.key, {state}) s WHERE NOT is_absent")  # noqa: S608
    return {row.key: row.state for row in tx.execute(statement, {"ids": ids})}


def _edit(row: Any, state: Mapping[str, Any] | None) -> _Edit:
    return _Edit(
        hub_id=row.hub_id,
        sfid=row.sfid,
        version=row.version,
        field=row.field,
        theirs=row.theirs,
        agreed=row.agreed,
        ours=None if state is None else state.get(row.field),
        is_open=row.is_open,
        repairs=row.repairs,
        is_absent=state is None,
    )


def _judge(mapping: EntityMapping, edit: _Edit) -> tuple[_Edit, Outcome]:
    if edit.is_absent:
        return edit, Outcome.ABSENT
    if edit.theirs == edit.ours:
        return edit, Outcome.AGREED
    if edit.is_open:
        return edit, Outcome.STILL_OPEN
    policy = mapping.policy_of(edit.field)
    if policy is ForeignEdit.ASK:
        return edit, Outcome.OPENED
    if policy is ForeignEdit.ACCEPT:
        return edit, Outcome.ACCEPTED
    is_loop = edit.repairs_now["times"] > REPAIRS_MAX
    return edit, Outcome.OPENED if is_loop else Outcome.REPAIRED


def _accept(
    tx: Connection, mapping: EntityMapping, judged: list[tuple[_Edit, Outcome]]
) -> list[tuple[_Edit, Outcome]]:
    """Let the hub take the values; those its store refuses become conflicts."""
    values: dict[str, dict[int, Any]] = {}
    for edit, outcome in judged:
        if outcome is Outcome.ACCEPTED:
            values.setdefault(edit.field, {})[edit.hub_id] = edit.theirs
    refused = {
        (name, hub_id)
        for name, its_values in values.items()
        for hub_id in take_theirs(tx, mapping, name, its_values)
    }
    return [
        (edit, Outcome.OPENED if (edit.field, edit.hub_id) in refused else outcome)
        for edit, outcome in judged
    ]


def _remember(
    tx: Connection,
    mapping: EntityMapping,
    judged: Iterable[tuple[_Edit, Outcome]],
    row_of: Mapping[str, OrgRow],
) -> None:
    records: dict[int, dict[str, Any]] = {}
    conflicts: list[dict[str, Any]] = []
    owed: set[int] = set()
    for edit, outcome in judged:
        record = records.setdefault(
            edit.hub_id,
            {"hub_id": edit.hub_id, "version": edit.version, "known": {}, "known_from": {},
             "repairs": {}, "opened": None},
        )  # fmt: skip
        record["known"][edit.field] = edit.theirs
        record["known_from"][edit.field] = heard_from(row_of[edit.sfid])
        if outcome is Outcome.REPAIRED:
            record["repairs"][edit.field] = edit.repairs_now
            owed.add(edit.hub_id)
        if outcome is Outcome.OPENED:
            record["opened"] = [*(record["opened"] or ()), edit.field]
            owed.add(edit.hub_id)
        if outcome in (Outcome.OPENED, Outcome.STILL_OPEN):
            conflicts.append(_conflict(mapping, edit))
    tx.execute(_REMEMBER, {"entity": mapping.entity, "rows": list(records.values())})
    if conflicts:
        tx.execute(_OPEN, {"entity": mapping.entity, "object": mapping.object, "rows": conflicts})
    if owed:
        tx.execute(_OWE, {"entity": mapping.entity, "ids": sorted(owed)})


def _conflict(mapping: EntityMapping, edit: _Edit) -> dict[str, Any]:
    is_loop = mapping.policy_of(edit.field) is ForeignEdit.REPAIR
    return {
        "kind": "loop" if is_loop else "edit",
        "hub_id": edit.hub_id,
        "sfid": edit.sfid,
        "field": edit.field,
        "theirs": edit.theirs,
        "ours": edit.ours,
        "agreed": edit.agreed,
        "version": edit.version,
    }
