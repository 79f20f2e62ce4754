"""Refused records are sent again by themselves: after a while, and when something was repaired.

A change of the record marks it as every change does. What nothing marks is found here: a repair in
the CRM that no describe shows (time), one of the mapping files (their digest), one of the org's
schema (its describe).
"""

import hashlib
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, TextClause, text

from connector.store.engine import to_json
from connector.sync.mapping.definition import Mapping, Mappings
from connector.sync.push.collapse import mark

TRIES_MAX = 30  # of one refused record: an hour, two, four .. then once a day

_DUE = text("""
    WITH due AS (
        UPDATE crm_record SET next_attempt_at = NULL
         WHERE next_attempt_at <= now() AND status = 'Error' RETURNING entity, hub_id)
    SELECT entity, array_agg(hub_id ORDER BY hub_id) AS keys_found FROM due GROUP BY entity
""")
_DEAD = text("""
    SELECT entity, array_agg(hub_id ORDER BY hub_id) AS keys_found FROM crm_record
     WHERE status = 'Error' AND entity = ANY (CAST(:entities AS text[])) GROUP BY entity
""")
_MAPPED_AS = text("SELECT name, mapped_as FROM push_entity")
_REMEMBER = text("UPDATE push_entity SET mapped_as = :digest WHERE name = :entity")


def wake_due(tx: Connection) -> int:
    """Owe the CRM the refused records whose next try has come; return how many."""
    return _mark_all(tx, tx.execute(_DUE).all())


def wake_remapped(tx: Connection, mappings: Mappings) -> tuple[str, ...]:
    """Owe the CRM all records of entities whose mapping is another one; return their names.

    What is shown there already costs no call: only what differs is sent.
    """
    known = {row.name: row.mapped_as for row in tx.execute(_MAPPED_AS)}
    changed = []
    for mapping in mappings.pushed:
        digest = _digest(mapping)
        if mapping.entity not in known or known[mapping.entity] == digest:
            continue
        tx.execute(_REMEMBER, {"entity": mapping.entity, "digest": digest})
        tx.execute(_mark_view(mapping), {"entity": mapping.entity})
        changed.append(mapping.entity)
    return tuple(changed)


def wake_objects(tx: Connection, mappings: Mappings, objects: Iterable[str]) -> int:
    """Owe the CRM the refused records of objects whose schema has changed; return how many."""
    changed = set(objects)
    entities = [mapping.entity for mapping in mappings.pushed if mapping.object in changed]
    return _mark_all(tx, tx.execute(_DEAD, {"entities": entities}).all())


def _mark_all(tx: Connection, found: Iterable[Row[Any]]) -> int:
    count = 0
    for row in found:
        mark(tx=tx, entity=row.entity, keys=row.keys_found)
        count += len(row.keys_found)
    return count


def _digest(mapping: Mapping) -> str:
    """Return a digest of what decides which values go out; marks and pulls do not."""
    said = mapping.model_dump(mode="json", include={"object", "parents", "fields", "push"})
    del said["push"]["marks"]
    return hashlib.sha256(to_json(said)).hexdigest()


def _mark_view(mapping: Mapping) -> TextClause:
    return text(
        f"""
        INSERT INTO push_log (entity, keys)
        SELECT (SELECT code FROM push_entity WHERE name = :entity), array_agg(id)
          FROM (SELECT id, (row_number() OVER (ORDER BY id) - 1) / 1000 AS part
                  FROM "{mapping.push_view}") AS numbered
         GROUP BY part"""  # noqa: S608 - the view's name comes from a checked mapping
    )
