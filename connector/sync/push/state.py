"""The statement that reads what the CRM should show of leased keys, and what of it is new there.

All of it is one SQL statement per entity and batch: the view's columns in canonical form, the
references as Salesforce ids, the comparison with the last-known-good values, the body to send.
"""

from collections.abc import Iterable
from collections.abc import Mapping as Row
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, TextClause, text

from connector.sync.mapping.definition import Mapping, Mappings, Parent
from connector.sync.mapping.keys import PREFIX
from connector.sync.mapping.transforms import hub_value, literal, when_sql
from connector.sync.push.fit import misfit_sql

_PAIRS_PER_OBJECT = 45  # a PostgreSQL function takes at most 100 arguments


@dataclass(frozen=True, slots=True)
class Lease:
    """A key of the push queue that this pass may send, at the version it had."""

    key: int
    version: int


@dataclass(frozen=True, slots=True)
class Owed:
    """What one leased key owes the CRM.

    `body` is the JSON of the changed fields, None when nothing changed; `state` the JSON of all
    compared fields, to be remembered once the CRM has them; `misfit` what of it the CRM is known
    to refuse.
    """

    key: int
    version: int
    external_key: str
    sfid: str | None
    is_absent: bool
    waits_for: str | None
    is_first: bool
    state: str
    body: str | None
    misfit: str | None = None


def bigints(numbers: Iterable[int]) -> str:
    """Write numbers as a PostgreSQL array, many times faster than the driver does."""
    return "{" + ",".join(map(str, numbers)) + "}"


def leases_of(owed: Iterable[Owed]) -> list[Lease]:
    """Return the leases under which rows were read."""
    return [Lease(one.key, one.version) for one in owed]


class StateReader:
    """Reads states of the entities of one set of mappings; keeps the statements it built."""

    def __init__(
        self, mappings: Mappings, describes: Row[str, dict[str, Any]] | None = None
    ) -> None:
        self._mappings = mappings
        self._describes = dict(describes or {})
        self._statements: dict[str, TextClause] = {}

    def learn(self, describes: Row[str, dict[str, Any]]) -> None:
        """Take in what the org says of some objects by now."""
        self._describes |= describes
        self._statements.clear()

    def read(
        self, tx: Connection, mapping: Mapping, leases: list[Lease], *, now: datetime
    ) -> list[Owed]:
        """Return what the leased keys owe, siblings of one parent side by side."""
        statement = self._statements.get(mapping.entity)
        if statement is None:
            described = self._describes.get(mapping.object)
            misfit = misfit_sql(mapping, described) if described else "NULL\\:\\:text"
            statement = text(owed_sql(mapping, self._mappings, misfit=misfit))
            self._statements[mapping.entity] = statement
        rows = tx.execute(
            statement,
            {
                "entity": mapping.entity,
                "keys": bigints(lease.key for lease in leases),
                "versions": bigints(lease.version for lease in leases),
                "now": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
        )
        return [Owed(*row) for row in rows]


def state_sql(mapping: Mapping, mappings: Mappings, *, source: str, by_key: bool) -> str:
    """Return the part `state, birth, links .. FROM view` shared by push and reconcile.

    `source` is the SQL that joins the view as `v`; crm_record is joined as `r`, the parents as
    `p0`, `p1`, ... With `by_key` each of them is looked up row by row through its index (a LATERAL
    with OFFSET 0, which the planner may not turn into a scan of the whole table); without, it may.
    """
    compared = {
        name: hub_value(field, "v")
        for name, field in mapping.fields.items()
        if not field.only_at_birth
    }
    at_birth = {
        name: hub_value(field, "v") for name, field in mapping.fields.items() if field.only_at_birth
    }
    only_when = {name: when_sql(field) for name, field in mapping.fields.items() if field.when}
    parents = list(mapping.parents.items())
    for place, (name, parent) in enumerate(parents):
        compared[name] = _parent_sfid(place, mappings.by_entity[parent.entity])
    joins = "\n".join(
        _parent_join(place, parent, mappings.by_entity[parent.entity], by_key=by_key)
        for place, (_, parent) in enumerate(parents)
    )
    links = " || ".join(
        _link(place, name, parent, mappings.by_entity[parent.entity])
        for place, (name, parent) in enumerate(parents)
    )
    waits = "\n".join(
        _waits(place, parent, mappings.by_entity[parent.entity])
        for place, (_, parent) in enumerate(parents)
    )
    push = mapping.pushed
    external_key = (
        f'v."{push.key_from}"\\:\\:text'
        if push.key_from
        else f"{literal(f'{PREFIX}:{mapping.entity}:')} || v.id"
    )
    own_sfid = f'coalesce(r.sfid, v."{push.sfid}")' if push.sfid else "r.sfid"
    return f"""
        v.id IS NULL AS is_absent,
        {external_key} AS external_key,
        {own_sfid} AS sfid,
        r.sfid IS NULL AS is_first,
        coalesce(r.known, '{{}}') AS known,
        coalesce(r.status IN ('Error', 'Conflict'), false) AS was_wrong,
        {_object(compared, only_when)} AS state,
        {_object(at_birth, only_when)} AS birth,
        {links or "'{}'" + chr(92) + ":" + chr(92) + ":jsonb"} AS links,
        CASE {waits or "WHEN false THEN NULL"} END AS waits_for,
        {f'v."{parents[0][1].column}"' if parents else "v.id"} AS sibling
        FROM {source}
        {_record_join("r", mapping.entity, "v.id", by_key=by_key)}
        {joins}"""


def owed_sql(mapping: Mapping, mappings: Mappings, *, misfit: str) -> str:
    """Return the statement behind `StateReader.read`; `misfit` is checked on its way."""
    source = (
        "unnest(CAST(:keys AS bigint[]), CAST(:versions AS bigint[])) AS q (key, version) "  # noqa: S608
        f'LEFT JOIN LATERAL (SELECT * FROM "{mapping.push_view}" v '
        "WHERE v.id = q.key OFFSET 0) v ON true"
    )
    parent_names = ", ".join(literal(name) for name in mapping.parents)
    first = f"(state - ARRAY[{parent_names}]\\:\\:text[]) || links || birth || stamps"
    difference = """(SELECT jsonb_object_agg(s.key, s.value) FROM jsonb_each(state) s
                      WHERE known -> s.key IS DISTINCT FROM s.value)"""
    if mapping.pushed.verb == "create":
        body = f"CASE WHEN is_first THEN {first} END"
    elif mapping.pushed.is_keyed:
        body = f"CASE WHEN is_first THEN {first} ELSE {difference} || stamps END"
    else:
        body = f"{difference} || stamps"
    stamps, repair = _stamps(mapping)
    state = state_sql(mapping, mappings, source=source, by_key=True)
    return f"""
    WITH owed AS MATERIALIZED (SELECT q.key, q.version, {misfit} AS misfit, {state}),
    stamped AS (
        SELECT owed.*, CASE WHEN was_wrong THEN {repair} ELSE {stamps} END AS stamps FROM owed)
    SELECT key, version, coalesce(external_key, ''), sfid, is_absent, waits_for, is_first,
           state\\:\\:text,
           coalesce({body}, CASE WHEN was_wrong THEN stamps END)\\:\\:text AS body, misfit
      FROM stamped ORDER BY sibling, key"""  # noqa: S608 - names come from checked mappings


def _stamps(mapping: Mapping) -> tuple[str, str]:
    """Return what every write adds, and what a write after an error adds."""
    stamps = mapping.pushed.stamps
    if stamps is None:
        return "'{}'\\:\\:jsonb", "'{}'\\:\\:jsonb"
    healed = {stamps.status: "'In Sync'\\:\\:text", stamps.error: "NULL\\:\\:text"}
    if stamps.synced_at is not None:
        healed[stamps.synced_at] = "CAST(:now AS text)"
    always = healed if mapping.born == "hub" else {}
    return _object(always), _object(healed)


def _object(values: dict[str, str], only_when: Row[str, str] | None = None) -> str:
    """Build a JSON object; a field whose condition does not hold is left out of it."""
    conditions = only_when or {}
    pairs = [f"{literal(n)}, {value}" for n, value in values.items() if n not in conditions]
    parts = [
        f"jsonb_build_object({', '.join(pairs[start : start + _PAIRS_PER_OBJECT])})"
        for start in range(0, len(pairs), _PAIRS_PER_OBJECT)
    ]
    parts += [
        f"CASE WHEN {conditions[name]} THEN jsonb_build_object({literal(name)}, {value}) "
        "ELSE '{}'\\:\\:jsonb END"
        for name, value in values.items()
        if name in conditions
    ]
    return " || ".join(parts) or "'{}'\\:\\:jsonb"


def _record_join(alias: str, entity: str, key: str, *, by_key: bool) -> str:
    condition = f"{alias}.entity = {literal(entity)} AND {alias}.hub_id = {key}"
    if not by_key:
        return f"LEFT JOIN crm_record {alias} ON {condition}"
    return (
        f"LEFT JOIN LATERAL (SELECT {alias}.sfid, {alias}.born, {alias}.known, {alias}.status "  # noqa: S608
        f"FROM crm_record {alias} WHERE {condition} OFFSET 0) {alias} ON true"
    )


def _parent_join(place: int, parent: Parent, target: Mapping, *, by_key: bool) -> str:
    key = f'v."{parent.column}"'
    join = _record_join(f"p{place}", parent.entity, key, by_key=by_key)
    if target.pushed.learn_sfid:
        join += f' LEFT JOIN "{target.table}" t{place} ON t{place}.id = {key}'
    return join


def _parent_sfid(place: int, target: Mapping) -> str:
    if target.pushed.learn_sfid:
        return f'coalesce(p{place}.sfid, t{place}."{target.pushed.sfid}")'
    return f"p{place}.sfid"


def _link(place: int, name: str, parent: Parent, target: Mapping) -> str:
    """Name a parent born here by its external key, another by its Salesforce id."""
    sfid = _parent_sfid(place, target)
    by_id = f"jsonb_build_object({literal(name)}, {sfid})"
    if target.pushed.key_from is not None:
        return by_id
    relationship = literal(name.removesuffix("__c") + "__r")
    key = f'{literal(f"{PREFIX}:{parent.entity}:")} || v."{parent.column}"'
    by_key = (
        f"jsonb_build_object({relationship}, "
        f"jsonb_build_object({literal(target.pushed.key)}, {key}))"
    )
    return (
        f"(CASE WHEN p{place}.born = 'hub' AND {sfid} IS NOT NULL THEN {by_key} ELSE {by_id} END)"
    )


def _waits(place: int, parent: Parent, target: Mapping) -> str:
    missing = f'v."{parent.column}" IS NOT NULL AND {_parent_sfid(place, target)} IS NULL'
    if not parent.required:
        # An optional parent that cannot be written must not hold its children for ever.
        missing += f" AND coalesce(p{place}.status, '') <> 'Error'"
    return f"WHEN {missing} THEN {literal(parent.entity)}"
