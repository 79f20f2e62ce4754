"""What sync remembers per record: its Salesforce id, last-known-good values, what went wrong."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from connector.sync.mapping.definition import Mapping
from connector.sync.mapping.state_sql import CONFLICT_REMEDY, conflict_words
from connector.sync.mapping.transforms import literal
from connector.sync.push.state import Owed, bigints
from connector.sync.push.verdict import Refusal
from connector.sync.push.wake import TRIES_MAX

_WRITTEN = text(f"""
    INSERT INTO crm_record AS r
           (entity, hub_id, object, sfid, born, known, known_from, status, synced_at, pushed_at)
    SELECT :entity, n.key, :object, n.sfid, :born, n.state,
           jsonb_build_object('*', jsonb_build_array('push', now())), 'In Sync', :now,
           clock_timestamp()
      FROM ROWS FROM (unnest(CAST(:keys AS bigint[])), string_to_table(:sfids, ' '),
                      jsonb_array_elements(CAST(:states AS jsonb))) AS n (key, sfid, state)
     WHERE n.sfid <> ALL (CAST(:taken AS text[]))
     ORDER BY n.key
    ON CONFLICT (entity, hub_id) DO UPDATE
       SET sfid = excluded.sfid, known = r.known || excluded.known,
           known_from = CASE
               WHEN r.known = '{{}}' THEN excluded.known_from
               ELSE r.known_from || coalesce(
                   (SELECT jsonb_object_agg(f.key, excluded.known_from -> '*')
                      FROM jsonb_object_keys(excluded.known) AS f (key)), '{{}}') END,
           status = CASE WHEN r.in_conflict IS NULL THEN 'In Sync' ELSE 'Conflict' END,
           error = {conflict_words("r.in_conflict")},
           error_code = CASE WHEN r.in_conflict IS NOT NULL THEN 'sync.conflict' END,
           remedy = CASE WHEN r.in_conflict IS NOT NULL THEN {literal(CONFLICT_REMEDY)} END,
           attempts = 0, next_attempt_at = NULL,
           synced_at = excluded.synced_at, pushed_at = excluded.pushed_at,
           deleted_at = NULL
    RETURNING r.hub_id
""")  # noqa: S608 - constants
_TAKEN = text("""
    SELECT o.sfid, o.entity, o.hub_id FROM crm_record o
     WHERE o.sfid = ANY (string_to_array(:sfids, ' '))
""")
_REFUSED = text("""
    INSERT INTO crm_record AS r
           (entity, hub_id, object, sfid, born, status, error, error_code, remedy, attempts,
            next_attempt_at)
    SELECT :entity, n.key, :object, n.sfid, :born, :status, n.error, n.code, n.remedy, 1,
           CASE WHEN :status = 'Error' THEN now() + interval '1 hour' END
      FROM unnest(CAST(:keys AS bigint[]), CAST(:sfids AS text[]), CAST(:errors AS text[]),
                  CAST(:codes AS text[]), CAST(:remedies AS text[]))
           AS n (key, sfid, error, code, remedy)
     ORDER BY n.key
    ON CONFLICT (entity, hub_id) DO UPDATE
       SET status = excluded.status, error = excluded.error, error_code = excluded.error_code,
           remedy = excluded.remedy, attempts = r.attempts + 1,
           next_attempt_at = CASE WHEN excluded.status = 'Error' AND r.attempts < :tries_max
               THEN now() + interval '1 hour' * least(24, power(2, least(r.attempts, 6))) END
    RETURNING r.hub_id, r.attempts
""")
_CLAIM = text("""
    INSERT INTO crm_record AS r (entity, hub_id, object, sfid, born, known)
    SELECT :entity, :key, :object, :sfid, :born, CAST(:known AS jsonb)
     WHERE NOT EXISTS (SELECT FROM crm_record o WHERE o.sfid = :sfid
                          AND (o.entity <> :entity OR o.hub_id <> :key))
    ON CONFLICT (entity, hub_id) DO UPDATE
       SET sfid = excluded.sfid, known = excluded.known, status = 'Pending'
""")
_FORGET = text("""
    UPDATE crm_record SET sfid = NULL, known = '{}', status = 'Pending'
     WHERE entity = :entity AND hub_id = ANY (:keys) AND born = 'hub'
""")
_FORGET_VALUES = text("""
    UPDATE crm_record SET known = '{}', status = 'Pending'
     WHERE entity = :entity AND hub_id = ANY (:keys)
""")


def remember_written(
    tx: Connection, mapping: Mapping, written: Sequence[tuple[Owed, str]], *, now: datetime
) -> set[int]:
    """Keep ids and values of written records; return the keys that could be kept.

    A key is left out when its Salesforce id is already that of another record of ours.
    """
    keys = [owed.key for owed, _ in written]
    # As one text: quoting a thousand of them into an array takes longer than the insert.
    sfids = " ".join(sfid for _, sfid in written)
    owner_of = {sfid: (mapping.entity, owed.key) for owed, sfid in written}
    found = tx.execute(_TAKEN, {"sfids": sfids})
    taken = [row.sfid for row in found if (row.entity, row.hub_id) != owner_of[row.sfid]]
    kept = tx.execute(
        _WRITTEN,
        {
            "entity": mapping.entity,
            "object": mapping.object,
            "born": mapping.born,
            "now": now,
            "keys": bigints(keys),
            "sfids": sfids,
            "taken": taken,
            "states": f"[{','.join(owed.state for owed, _ in written)}]",
        },
    )
    kept_keys = set(kept.scalars().all())
    if mapping.pushed.learn_sfid:
        _learn_sfids(
            tx, mapping, [(owed.key, sfid) for owed, sfid in written if owed.key in kept_keys]
        )
    return kept_keys


def _learn_sfids(tx: Connection, mapping: Mapping, known: Sequence[tuple[int, str]]) -> None:
    column = mapping.pushed.sfid
    tx.execute(
        text(
            f'UPDATE "{mapping.table}" t SET "{column}" = n.sfid '  # noqa: S608 - checked names
            "FROM unnest(CAST(:keys AS bigint[]), CAST(:sfids AS text[])) AS n (key, sfid) "
            f'WHERE t.id = n.key AND t."{column}" IS DISTINCT FROM n.sfid'
        ),
        {"keys": [key for key, _ in known], "sfids": [sfid for _, sfid in known]},
    )


def remember_refused(
    tx: Connection, mapping: Mapping, refused: Sequence[tuple[Owed, Refusal]], *, status: str
) -> dict[int, int]:
    """Keep why records were refused; return how often each was, one after the other."""
    rows = tx.execute(
        _REFUSED,
        {
            "entity": mapping.entity,
            "object": mapping.object,
            "born": mapping.born,
            "status": status,
            "tries_max": TRIES_MAX,
            "keys": [owed.key for owed, _ in refused],
            # An id of another of our records must not be claimed (crm_record.sfid is unique).
            "sfids": [owed.sfid if mapping.born == "crm" else None for owed, _ in refused],
            "errors": [refusal.message for _, refusal in refused],
            "codes": [refusal.code for _, refusal in refused],
            "remedies": [refusal.remedy for _, refusal in refused],
        },
    )
    return {row.hub_id: row.attempts for row in rows}


def claim(tx: Connection, mapping: Mapping, key: int, *, sfid: str, known: dict[str, Any]) -> None:
    """Take a record of the CRM as the one of this key; only `known` is taken as shown there."""
    tx.execute(
        _CLAIM,
        {
            "entity": mapping.entity,
            "object": mapping.object,
            "born": mapping.born,
            "key": key,
            "sfid": sfid,
            "known": json.dumps(known),
        },
    )


def forget(tx: Connection, *, entity: str, keys: Sequence[int]) -> None:
    """Take records born here as unknown to the CRM, so that they are sent whole."""
    tx.execute(_FORGET, {"entity": entity, "keys": list(keys)})


def forget_values(tx: Connection, *, entity: str, keys: Sequence[int]) -> None:
    """Take the values of records as unknown, so that all of them are sent."""
    tx.execute(_FORGET_VALUES, {"entity": entity, "keys": list(keys)})
