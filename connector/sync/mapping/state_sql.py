"""The SQL that says what the CRM should show of an entity: for the push and for every comparison.

The columns of the push view in canonical form, the references as Salesforce ids, beside what
`crm_record` remembers.
"""

from connector.sync.mapping.definition import Mapping, Mappings, Parent
from connector.sync.mapping.keys import PREFIX
from connector.sync.mapping.transforms import hub_value, literal, when_sql

CONFLICT_REMEDY = "Decide: l2c sync conflicts decide ID --take theirs|ours."
_PAIRS_PER_OBJECT = 45  # a PostgreSQL function takes at most 100 arguments


def state_sql(
    mapping: Mapping, mappings: Mappings, *, source: str, by_key: bool, is_split: bool = False
) -> str:
    """Return the part `state, birth, links .. FROM view` shared by push and reconcile.

    With `is_split` the state comes in two parts, the record's own fields as `state` and its parents
    as `ties`: to put JSON objects together row by row is dear, and a push can do without.

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
    ties = {
        name: _parent_sfid(place, mappings.by_entity[parent.entity])
        for place, (name, parent) in enumerate(parents)
    }
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
    if is_split:
        shown = f"{json_object(compared, only_when)} AS state, {json_object(ties)} AS ties"
    else:
        shown = f"{json_object(compared | ties, only_when)} AS state"
    own_sfid = f'coalesce(r.sfid, v."{push.sfid}")' if push.sfid else "r.sfid"
    return f"""
        (v.id IS NULL OR r.born = 'crm' AND r.deleted_at IS NOT NULL) AS is_absent,
        {external_key} AS external_key,
        {own_sfid} AS sfid,
        r.sfid IS NULL AS is_first,
        coalesce(r.known, '{{}}') AS known,
        r.in_conflict,
        coalesce(r.status IN ('Error', 'Conflict'), false) AS was_wrong,
        {shown},
        {json_object(at_birth, only_when)} AS birth,
        {links or "'{}'" + chr(92) + ":" + chr(92) + ":jsonb"} AS links,
        CASE {waits or "WHEN false THEN NULL"} END AS waits_for,
        {f'v."{parents[0][1].column}"' if parents else "v.id"} AS sibling
        FROM {source}
        {_record_join("r", mapping.entity, "v.id", by_key=by_key)}
        {joins}"""


def one_by_one_source(mapping: Mapping, keys: str) -> str:
    """Return the join of `keys` (SQL with a column `key`, known as `q`) with the push view `v`.

    Each key is looked up through the view's index: right for thousands of keys, not for all.
    """
    return (
        f'{keys} LEFT JOIN LATERAL (SELECT * FROM "{mapping.push_view}" v '  # noqa: S608 - checked
        "WHERE v.id = q.key OFFSET 0) v ON true"
    )


def conflict_words(fields: str) -> str:
    """Return the SQL of what a record in conflict says; `fields` is the SQL of its fields."""
    return (
        "left('Changed here, though the connector writes it\\: ' || "
        f"array_to_string({fields}, ', ') || '. It is left alone until somebody decides\\: "
        "l2c sync conflicts list.', 4000)"
    )


def json_object(values: dict[str, str], only_when: dict[str, str] | None = None) -> str:
    """Return the SQL that makes a JSON object of names and the SQL of their values.

    A field whose condition does not hold is left out of it.
    """
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
        f"LEFT JOIN LATERAL (SELECT {alias}.sfid, {alias}.born, {alias}.known, {alias}.status, "  # noqa: S608
        f"{alias}.in_conflict, "
        f"{alias}.deleted_at FROM crm_record {alias} WHERE {condition} OFFSET 0) {alias} ON true"
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
