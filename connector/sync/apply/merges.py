"""Merges in the CRM: the losers' ids live on as aliases of the master (fact sheet F.5, domain D5).

Which hub rows move from one customer to the other is no matter of sync: that is asked of the flow
`merge_<entity>`, which stops and asks a person when both customers are billed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import structlog
from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from connector.adapters.salesforce.ids import to_18
from connector.errors import StateConflict
from connector.sync.inbox.arrivals import MASTER, OrgRow
from connector.sync.mapping.definition import Mapping as EntityMapping
from connector.sync.mapping.definition import Mappings

log = structlog.get_logger(__name__)

FLOW_PREFIX = "merge_"
CHAIN_MAX = 20  # merges of merges

_REMEMBER = text(
    """
    INSERT INTO crm_alias (sfid, master_sfid, object, merged_at)
    SELECT n.sfid, n.master, :object, n.at
      FROM jsonb_to_recordset(:rows) AS n(sfid text, master text, at timestamptz) ORDER BY n.sfid
        ON CONFLICT (sfid) DO NOTHING
    RETURNING sfid
    """
).bindparams(bindparam("rows", type_=JSONB))
_FORGET = text(
    """
    DELETE FROM crm_alias a USING jsonb_to_recordset(:rows) AS n(sfid text, at timestamptz)
     WHERE a.sfid = n.sfid AND a.merged_at < n.at
    RETURNING a.sfid
    """
).bindparams(bindparam("rows", type_=JSONB))
_UNASK = text(
    """
    WITH undone AS (
        UPDATE intent SET state = 'done', done_at = now(), next_attempt_at = NULL, remedy = NULL,
               reason = 'The merge was undone in the CRM.'
         WHERE flow LIKE :prefix || '%' AND sfid = ANY(:sfids) AND state <> 'done'
        RETURNING id, facts ->> 'master' AS master)
    UPDATE account a SET link_state = 'Linked'
      FROM undone u
     WHERE a.sfid = u.master AND a.link_state = 'Ambiguous'
       AND NOT EXISTS (SELECT FROM intent o
                        WHERE o.flow LIKE :prefix || '%' AND o.facts ->> 'master' = u.master
                          AND o.state <> 'done' AND o.id NOT IN (SELECT id FROM undone))
    """
)
_MASTERS = text(
    """
    WITH RECURSIVE chain AS (
        SELECT sfid, master_sfid, 1 AS step FROM crm_alias WHERE sfid = ANY(:sfids)
        UNION ALL
        SELECT c.sfid, a.master_sfid, c.step + 1
          FROM chain c JOIN crm_alias a ON a.sfid = c.master_sfid WHERE c.step < :most)
    SELECT DISTINCT ON (sfid) sfid, master_sfid FROM chain ORDER BY sfid, step DESC
    """
)
_ASK = text(
    """
    INSERT INTO intent (flow, object, sfid, version, facts, state, created_at)
    SELECT :flow, :object, n.sfid, n.version, jsonb_build_object('master', n.master), 'pending',
           now()
      FROM jsonb_to_recordset(:rows) AS n(sfid text, master text, version text)
     WHERE EXISTS (SELECT FROM account a WHERE a.sfid = n.sfid)
        OR EXISTS (SELECT FROM crm_record r WHERE r.sfid = n.sfid)
     ORDER BY n.sfid
        ON CONFLICT (flow, sfid, version) DO NOTHING
    """
).bindparams(bindparam("rows", type_=JSONB))
# The CRM moved the children itself: what both sides last agreed on says so, too.
_CHILDREN_MOVED = text(
    """
    UPDATE crm_record r
       SET known = r.known || jsonb_build_object(CAST(:field AS text), n.master)
      FROM jsonb_to_recordset(:rows) AS n(sfid text, master text)
     WHERE r.entity = :entity AND r.known ->> CAST(:field AS text) = n.sfid
    """
).bindparams(bindparam("rows", type_=JSONB))
_OPEN = text(
    """
    SELECT sfid, facts ->> 'master' AS master, state, coalesce(reason, '') AS reason,
           coalesce(remedy, '') AS remedy
      FROM intent WHERE flow LIKE :prefix || '%' AND state <> 'done' ORDER BY id LIMIT :most
    """
)
_DECIDE = text(
    """
    UPDATE intent
       SET facts = facts || jsonb_build_object('keep', CAST(:keep AS text)), state = 'pending',
           attempts = 0, next_attempt_at = NULL
     WHERE flow LIKE :prefix || '%' AND sfid = :sfid AND state <> 'done'
    """
)


class NoSuchMerge(StateConflict):
    """No merge of this record waits for a decision."""

    code = "sync.no_such_merge"
    remedy = "`l2c sync merges list` shows the merges that wait."


@dataclass(frozen=True, slots=True)
class OpenMerge:
    """A merge in the CRM that the hub has not followed yet."""

    sfid: str
    master: str
    state: str
    reason: str
    remedy: str


def note_merges(tx: Connection, mappings: Mappings, rows: Sequence[OrgRow]) -> int:
    """Keep the losers' ids as aliases and ask for their hub rows to follow; return how many."""
    by_object: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        master = master_of(row)
        if master is not None:
            at = row.version.astimezone(UTC)
            merge = {"sfid": row.sfid, "master": master, "at": at, "version": at.isoformat()}
            by_object.setdefault(row.object_name, {})[row.sfid] = merge
    count = 0
    for object_name, told in by_object.items():
        asked = {"object": object_name, "rows": list(told.values())}
        merges = [told[sfid] for sfid in sorted(tx.scalars(_REMEMBER, asked))]
        if not merges:
            continue
        count += len(merges)
        for mapping in mappings.of_object(object_name):
            _ask(tx, mappings, mapping, merges)
        log.info("sync.merged_in_crm", object=object_name, count=len(merges))
    return count


def forget_undone(tx: Connection, rows: Sequence[OrgRow]) -> None:
    """Let records that came back after a merge stand for themselves again.

    What moved to the master stays there, as in the CRM (fact sheet F.5); what a person was asked
    and has not decided is settled.
    """
    alive = [{"sfid": row.sfid, "at": row.version} for row in rows if not row.is_deleted]
    forgotten = list(tx.scalars(_FORGET, {"rows": alive})) if alive else []
    if forgotten:
        tx.execute(_UNASK, {"prefix": FLOW_PREFIX, "sfids": forgotten})
        log.info("sync.merge_undone_in_crm", count=len(forgotten))


def _ask(
    tx: Connection, mappings: Mappings, mapping: EntityMapping, merges: list[dict[str, Any]]
) -> None:
    for child in mappings:
        for name, parent in child.parents.items():
            if parent.entity == mapping.entity:
                told = {"entity": child.entity, "field": name, "rows": merges}
                tx.execute(_CHILDREN_MOVED, told)
        for name in (n for n, f in child.fields.items() if f.type == "reference"):
            tx.execute(_CHILDREN_MOVED, {"entity": child.entity, "field": name, "rows": merges})
    flow = f"{FLOW_PREFIX}{mapping.entity}"
    tx.execute(_ASK, {"flow": flow, "object": mapping.object, "rows": merges})


def master_of(row: OrgRow) -> str | None:
    """Return the id of the record that this one was merged into, if it was."""
    master = row.values.get(MASTER)
    if not row.is_deleted or not isinstance(master, str) or to_18(master) == row.sfid:
        return None
    return to_18(master)


def new_merges(tx: Connection, rows: Sequence[OrgRow]) -> list[OrgRow]:
    """Return the merged records whose alias is not kept yet."""
    merged = [row for row in rows if master_of(row) is not None]
    known = masters(tx, [row.sfid for row in merged]) if merged else {}
    return [row for row in merged if row.sfid not in known]


def masters(tx: Connection, sfids: Sequence[str]) -> Mapping[str, str]:
    """Return, of ids that were merged away, the id that stands for them now."""
    found = tx.execute(_MASTERS, {"sfids": list(sfids), "most": CHAIN_MAX})
    return {row.sfid: row.master_sfid for row in found}


def open_merges(*, tx: Connection, limit: int = 500) -> tuple[OpenMerge, ...]:
    """Return the merges the hub has not followed yet, oldest first."""
    found = tx.execute(_OPEN, {"prefix": FLOW_PREFIX, "most": limit})
    return tuple(OpenMerge(**row._mapping) for row in found)


def decide_merge(*, tx: Connection, sfid: str, keep: str) -> None:
    """Say whose billing account leads from now on, `master` or `loser`; the flow does the rest.

    Raises:
        NoSuchMerge: No merge of this loser waits.
    """
    asked = {"prefix": FLOW_PREFIX, "sfid": to_18(sfid), "keep": keep}
    if tx.execute(_DECIDE, asked).rowcount == 0:
        raise NoSuchMerge(f"No merge of {sfid} waits for a decision.")
