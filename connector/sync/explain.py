"""The why-trail of one record: every value, who decides it, where it came from, by which line."""

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from connector.adapters.salesforce.ids import to_18
from connector.errors import InvalidInput
from connector.sync.apply.conflicts import Conflict, conflicts
from connector.sync.apply.merges import masters
from connector.sync.mapping.definition import Mapping, Mappings, Owner
from connector.sync.mapping.keys import PREFIX
from connector.sync.mapping.state_sql import one_by_one_source, state_sql
from connector.yaml_file import read_yaml

_BY_SFID = text("SELECT * FROM crm_record WHERE sfid = :sfid AND entity = ANY (:entities)")
_BY_ID = text("SELECT * FROM crm_record WHERE hub_id = :hub_id AND entity = :entity")
# In the order of a pass: the entities before this one, then the smaller keys of its own.
_QUEUE = text(
    """
    SELECT q.lease_until > now() AND q.lease_until < 'infinity' AS is_paused,
           q.lease_until = 'infinity' AS is_under_way,
           (SELECT count(*) FROM push_queue o JOIN push_entity f ON f.code = o.entity
             WHERE f.name = ANY (:before) OR (o.entity = q.entity AND o.key < q.key)) AS ahead
      FROM push_queue q JOIN push_entity e ON e.code = q.entity
     WHERE e.name = :entity AND q.key = :hub_id
    """
)
_MARKED = text(
    """
    SELECT EXISTS (SELECT FROM push_log l JOIN push_entity e ON e.code = l.entity
                    WHERE e.name = :entity AND l.keys @> ARRAY[CAST(:hub_id AS bigint)])
    """
)
_ASKS = text(
    """
    SELECT flow, state, reason, remedy FROM intent WHERE sfid = :sfid ORDER BY id DESC LIMIT 20
    """
)


class RecordUnknown(InvalidInput):
    """Sync has not met this record."""

    code = "explain.unknown_record"
    remedy = (
        "Name the object or entity, then the Salesforce id, the hub's id or the key, such as "
        "`l2c sync explain invoice 7`."
    )


@dataclass(frozen=True, slots=True)
class FieldTrail:
    """One mapped field. `crm` is what the CRM showed when it was last read or written.

    `source` is push, or what told of the value: sweep, outbound_message, cdc, bulk; None when the
    CRM has never shown nor got it. `at` is the instant, of the org for what came in.
    """

    field: str
    direction: str
    owner: str
    hub: Any
    crm: Any
    differs: bool
    source: str | None
    at: str | None
    on_foreign_edit: str | None
    conflict: int | None
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Something the record asked for."""

    flow: str
    state: str
    reason: str | None
    remedy: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that sync knows about one record.

    `merged_into` is the Salesforce id that stands for it since a merge in the CRM. `queue` is empty
    when nothing is owed, else how it stands; `ahead` counts records sent before.
    """

    entity: str
    hub_id: int
    object: str
    sfid: str | None
    born: str
    merged_into: str | None
    status: str
    error: str | None
    remedy: str | None
    attempts: int
    synced_at: datetime | None
    org_version: datetime | None
    queue: str
    ahead: int
    fields: tuple[FieldTrail, ...]
    conflicts: tuple[Conflict, ...]
    asks: tuple[Ask, ...]


def explain_record(
    *, tx: Connection, mappings: Mappings, name: str, identifier: str
) -> Explanation:
    """Explain a record named by its object or entity and its Salesforce id, hub id or key.

    Asks nobody: it tells what the CRM showed when it was last read or written.

    Raises:
        RecordUnknown: No mapping has that name, or sync has not met the record.
    """
    record = _record(tx, mappings, name, identifier)
    mapping = mappings.by_entity[record.entity]
    open_here = tuple(
        one
        for one in (conflicts(tx=tx, sfid=record.sfid) if record.sfid else ())
        if one.entity == record.entity
    )
    queue, ahead = _queued(tx, mappings, record)
    return Explanation(
        entity=record.entity,
        hub_id=record.hub_id,
        object=record.object,
        sfid=record.sfid,
        born=record.born,
        merged_into=_master(tx, record.sfid or ""),
        status=record.status,
        error=record.error,
        remedy=record.remedy,
        attempts=record.attempts,
        synced_at=record.synced_at,
        org_version=record.system_modstamp,
        queue=queue,
        ahead=ahead,
        fields=_trails(tx, mapping, mappings, record, {one.field: one.id for one in open_here}),
        conflicts=open_here,
        asks=tuple(Ask(**row._mapping) for row in tx.execute(_ASKS, {"sfid": record.sfid})),
    )


def _record(tx: Connection, mappings: Mappings, name: str, identifier: str) -> Row[Any]:
    entities = [one.entity for one in mappings if name in (one.object, one.entity)]
    if not entities:
        raise RecordUnknown(f"No mapping describes {name!r}.")
    found = tx.execute(
        _BY_SFID, {"sfid": to_18(identifier.strip()), "entities": entities}
    ).one_or_none()
    if found is not None:
        return found
    for entity in entities:
        number = identifier.removeprefix(f"{PREFIX}:{entity}:")
        if number.isascii() and number.isdigit() and len(number) < 19:
            found = tx.execute(_BY_ID, {"hub_id": int(number), "entity": entity}).one_or_none()
            if found is not None:
                return found
    master = _master(tx, to_18(identifier.strip()))
    if master is not None:
        raise RecordUnknown(
            f"{name} {identifier} was merged into {master} before sync met it.",
            remedy=f"l2c sync explain {name} {master}",
        )
    raise RecordUnknown(f"Sync has met no {name} {identifier}.")


def _master(tx: Connection, sfid: str) -> str | None:
    return masters(tx, [sfid]).get(sfid)


def _queued(tx: Connection, mappings: Mappings, record: Row[Any]) -> tuple[str, int]:
    which = {"entity": record.entity, "hub_id": record.hub_id}
    order = [mapping.entity for mapping in mappings.pushed]
    before = order[: order.index(record.entity)] if record.entity in order else []
    row = tx.execute(_QUEUE, which | {"before": before}).one_or_none()
    if row is None:
        return ("marked" if tx.execute(_MARKED, which).scalar_one() else ""), 0
    if row.is_under_way:
        return "under way", 0
    return ("paused" if row.is_paused else "due"), row.ahead


def _trails(
    tx: Connection,
    mapping: Mapping,
    mappings: Mappings,
    record: Row[Any],
    open_conflicts: AnyMapping[str, int],
) -> tuple[FieldTrail, ...]:
    file = read_yaml(mapping.file)
    state = _state(tx, mapping, mappings, record.hub_id)
    row = _hub_row(tx, mapping, record.hub_id)

    def trail(field: str, place: tuple[str, ...], **known: Any) -> FieldTrail:
        source, at = (None, None)
        if field in record.known:
            source, at = record.known_from.get(field) or record.known_from.get("*") or (None, None)
        return FieldTrail(
            field=field,
            crm=record.known.get(field),
            source=source,
            at=at,
            conflict=open_conflicts.get(field),
            file=str(mapping.file),
            line=file.line_of(place),
            **known,
        )

    trails = [
        trail(
            name,
            ("parents" if name in mapping.parents else "fields", name),
            direction="out",
            owner=_owner(mapping, name),
            hub=state.get(name),
            differs=name in record.known and state.get(name) != record.known[name],
            on_foreign_edit=mapping.policy_of(name).value,
        )
        for name in mapping.compared_names
    ]
    for name, pulled in mapping.pull.fields.items() if mapping.pull else ():
        trails.append(
            trail(
                name,
                ("pull", "fields", name),
                direction="in",
                owner=Owner.CRM.value,
                hub=row.get(pulled.to),
                differs=False,
                on_foreign_edit=None,
            )
        )
    return tuple(trails)


def _owner(mapping: Mapping, name: str) -> str:
    return mapping.fields[name].owner.value if name in mapping.fields else Owner.CONNECTOR.value


def _state(tx: Connection, mapping: Mapping, mappings: Mappings, hub_id: int) -> dict[str, Any]:
    if mapping.push is None:
        return {}
    source = one_by_one_source(mapping, "(SELECT CAST(:hub_id AS bigint) AS key) AS q")
    state = state_sql(mapping, mappings, source=source, by_key=True)
    found = tx.execute(text(f"SELECT {state}"), {"hub_id": hub_id}).one()
    return {} if found.is_absent else dict(found.state)


def _hub_row(tx: Connection, mapping: Mapping, hub_id: int) -> dict[str, Any]:
    statement = text(f'SELECT to_jsonb(t) AS row FROM "{mapping.table}" t WHERE id = :hub_id')  # noqa: S608
    return dict(tx.execute(statement, {"hub_id": hub_id}).scalar() or {})
