"""What a push would send: computed as a push computes it, sent to nobody.

Only read transactions: the queue, the log before it and what is known of the records stay as they
are. What a real push learns on its way, such as the ids of new parents, is not there: a record
whose parent is new counts as one that follows it.
"""

import json
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Row
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from connector.adapters.salesforce.client import (
    COLLECTIONS_PER_CALL,
    ROWS_PER_CALL,
    ROWS_PER_COLLECTION,
)
from connector.store.engine import Store
from connector.sync.mapping.definition import Mapping, Mappings
from connector.sync.mapping.describes import read_describes
from connector.sync.push import queue
from connector.sync.push.in_bulk import jobs_for
from connector.sync.push.one_pass import LEASE_SIZE
from connector.sync.push.removal import to_remove
from connector.sync.push.run import BULK_FROM
from connector.sync.push.state import Lease, Owed, StateReader, bigints

SHOWN_MAX = 100
ROWS_MAX = 1_000_000
CALLS_PER_JOB = 5  # create, upload, close, look, read the results

# What is paused after a refusal is not due; what a push has under way is.
_OWED = text("""
    SELECT key FROM push_queue
     WHERE entity = :code AND (lease_until <= now() OR lease_until = 'infinity')
    UNION SELECT k.key FROM push_log l CROSS JOIN LATERAL unnest(l.keys) AS k (key)
     WHERE l.entity = :code
     ORDER BY key LIMIT :most
""")
_KNOWN = text("""
    SELECT hub_id, known FROM crm_record
     WHERE entity = :entity AND hub_id = ANY (CAST(:keys AS bigint[]))
""")


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field as the CRM is known to have it, and as it would be sent."""

    name: str
    theirs: Any
    ours: Any


@dataclass(frozen=True, slots=True)
class PreviewedRecord:
    """One record that would be sent; `waits_for` names the entity of a parent that is not there."""

    entity: str
    object: str
    kind: str  # new, changed or removed
    key: str
    sfid: str | None
    fields: tuple[FieldChange, ...]
    waits_for: str | None = None
    refusal: str | None = None  # what of it the CRM is known to refuse


@dataclass(slots=True)
class PreviewedEntity:
    """One entity, counted. `waiting` of its records need a parent that is new or missing."""

    entity: str
    object: str
    new: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    waiting: int = 0
    refused: int = 0
    transport: str = "collections"

    @property
    def to_write(self) -> int:
        """Return how many records would be written."""
        return self.new + self.changed - self.refused


@dataclass(slots=True)
class PushPreview:
    """What would be sent, in about so many counted calls; `records` shows the first of them."""

    entities: list[PreviewedEntity] = field(default_factory=list)
    records: list[PreviewedRecord] = field(default_factory=list)
    api_calls: int = 0
    is_cut: bool = False  # more is owed than was looked at

    @property
    def to_write(self) -> int:
        """Return how many records would be written or removed."""
        return sum(one.to_write + one.removed for one in self.entities)


def preview_push(
    *,
    store: Store,
    mappings: Mappings,
    now: datetime,
    bulk_from: int = BULK_FROM,
    shown: int = SHOWN_MAX,
    rows: int = ROWS_MAX,
) -> PushPreview:
    """Return what a push would send now: counts of up to `rows` records, the first `shown` whole.

    One read transaction, no call to the org.
    """
    preview = PushPreview()
    with store.read() as tx:
        objects = {mapping.object for mapping in mappings.pushed}
        reader = StateReader(mappings, read_describes(tx, objects))
        codes = queue.entity_codes(tx)
        for level in mappings.levels:
            counted: list[PreviewedEntity] = []
            for mapping in level:
                if mapping.entity not in codes:
                    continue
                keys = _owed_keys(tx, codes[mapping.entity], most=rows + 1)
                if len(keys) > rows:
                    preview.is_cut, keys = True, keys[:rows]
                rows -= len(keys)
                if keys:
                    counted.append(_preview_entity(tx, mapping, reader, keys, preview, now, shown))
            preview.entities += counted
            preview.api_calls += _calls(counted, bulk_from)
    return preview


def _owed_keys(tx: Connection, code: int, *, most: int) -> list[int]:
    return list(tx.scalars(_OWED, {"code": code, "most": most}))


def _preview_entity(
    tx: Connection,
    mapping: Mapping,
    reader: StateReader,
    keys: Sequence[int],
    preview: PushPreview,
    now: datetime,
    shown: int,
) -> PreviewedEntity:
    counted = PreviewedEntity(mapping.entity, mapping.object)
    for start in range(0, len(keys), LEASE_SIZE):
        leases = [Lease(key, 0) for key in keys[start : start + LEASE_SIZE]]
        owed_rows = reader.read(tx, mapping, leases, now=now)
        absent = [one for one in owed_rows if one.is_absent]
        removed = {one.owed.key for one in to_remove(tx, mapping, absent)}
        sent = []
        for owed in owed_rows:
            kind = _count(counted, owed, is_removed=owed.key in removed)
            if kind is not None:
                sent.append((owed, kind))
        left = shown - len(preview.records)
        preview.records += _records(tx, mapping, sent[: max(left, 0)])
    return counted


def _count(counted: PreviewedEntity, owed: Owed, *, is_removed: bool) -> str | None:
    """Count a record; return what would become of it, None when nothing is to do."""
    if is_removed:
        counted.removed += 1
        return "removed"
    if owed.is_absent or (owed.body is None and not owed.waits_for):
        counted.unchanged += 1
        return None
    if owed.waits_for:
        counted.waiting += 1
    elif owed.misfit:
        counted.refused += 1
    if owed.sfid is None:
        counted.new += 1
        return "new"
    counted.changed += 1
    return "changed"


def _records(
    tx: Connection, mapping: Mapping, sent: Sequence[tuple[Owed, str]]
) -> Iterator[PreviewedRecord]:
    keys = bigints(owed.key for owed, _ in sent)
    found = tx.execute(_KNOWN, {"entity": mapping.entity, "keys": keys})
    known = {row.hub_id: row.known for row in found}
    for owed, kind in sent:
        yield PreviewedRecord(
            entity=mapping.entity,
            object=mapping.object,
            kind=kind,
            key=owed.external_key or f"{mapping.entity} {owed.key}",
            sfid=owed.sfid,
            fields=() if kind == "removed" else _changes(mapping, owed, known.get(owed.key, {})),
            waits_for=owed.waits_for,
            refusal=owed.misfit,
        )


def _changes(mapping: Mapping, owed: Owed, known: Row[str, Any]) -> tuple[FieldChange, ...]:
    body: dict[str, Any] = json.loads(owed.body or "{}", parse_float=Decimal)
    state: dict[str, Any] = json.loads(owed.state, parse_float=Decimal)
    at_birth = {name: body[name] for name in mapping.fields if name in body and name not in state}
    return tuple(
        FieldChange(name, known.get(name), ours)
        for name, ours in sorted((state | at_birth).items())
        if known.get(name) != ours
    )


def _calls(counted: Sequence[PreviewedEntity], bulk_from: int) -> int:
    """Return about how many counted calls a level takes, locks and lost answers aside."""
    calls = batches = 0
    for one in counted:
        if one.to_write >= bulk_from:
            one.transport = "bulk"
            calls += CALLS_PER_JOB * jobs_for(one.to_write)
        else:
            batches += _ceil(one.to_write, ROWS_PER_COLLECTION)
        calls += _ceil(one.removed, ROWS_PER_CALL)
    return calls + _ceil(batches, COLLECTIONS_PER_CALL)


def _ceil(count: int, size: int) -> int:
    return -(-count // size)
