"""The statement that reads what the CRM should show of leased keys, and what of it is new there.

All of it is one SQL statement per entity and batch: the view's columns in canonical form, the
references as Salesforce ids, the comparison with the last-known-good values, the body to send.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Row
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, TextClause, text

from connector.sync.mapping.definition import Mapping, Mappings
from connector.sync.mapping.state_sql import (
    conflict_words,
    json_object,
    one_by_one_source,
    state_sql,
)
from connector.sync.push.fit import misfit_sql


@dataclass(frozen=True, slots=True)
class Lease:
    """A key of the push queue that this pass may send, at the version it had."""

    key: int
    version: int


@dataclass(frozen=True, slots=True)
class Owed:
    """What one leased key owes the CRM.

    `body` is the JSON of the changed fields, None when nothing changed; `state` the JSON of the
    compared fields among them, to be remembered once the CRM has them. What was not sent is not
    remembered: somebody may have changed it there meanwhile. `misfit` is what of it the CRM is
    known to refuse.
    """

    key: int
    version: int
    external_key: str
    sfid: str | None
    is_absent: bool
    waits_for: str | None
    is_first: bool
    misfit: str | None
    state: str
    body: str | None


_NOTHING = "{}"


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
        return [_owed(row) for row in rows.all()]


def _owed(values: Sequence[Any]) -> Owed:
    """Make of a row of the statement what is owed: its last three columns become two texts."""
    sent, remembered, around = values[-3:]
    body = None if around is None else _joined(sent, around)
    return Owed(*(*values[:-3], _joined(sent, remembered), body))


def owed_sql(mapping: Mapping, mappings: Mappings, *, misfit: str) -> str:
    """Return the statement behind `StateReader.read`; `misfit` is checked on its way.

    Its last columns are the parts of what is sent: the compared fields, what is remembered beside
    them, and what is sent beside them, NULL when nothing is. None of the three shares a name with
    another (a mapping that names a field twice is refused), so they are put together as texts.
    """
    keys = "unnest(CAST(:keys AS bigint[]), CAST(:versions AS bigint[])) AS q (key, version)"
    source = one_by_one_source(mapping, keys)
    # A field in conflict is left alone until a person decides.
    difference = """(SELECT jsonb_object_agg(s.key, s.value) FROM jsonb_each(state || ties) s
                      WHERE known -> s.key IS DISTINCT FROM s.value
                        AND (in_conflict IS NULL OR s.key <> ALL (in_conflict)))"""
    is_whole = "is_first" if mapping.pushed.is_keyed else "false"
    is_sent = "false" if mapping.pushed.verb == "create" else "difference IS NOT NULL"
    stamps, repair, conflict = _stamps(mapping)
    state = state_sql(mapping, mappings, source=source, by_key=True, is_split=True)
    return f"""
    WITH owed AS MATERIALIZED (SELECT q.key, q.version, {misfit} AS misfit, {state}),
    stamped AS MATERIALIZED (
        SELECT owed.*, CASE WHEN NOT {is_whole} THEN {difference} END AS difference,
               CASE WHEN in_conflict IS NOT NULL THEN {conflict}
                    WHEN was_wrong THEN {repair} ELSE {stamps} END AS stamps
          FROM owed)
    SELECT key, version, coalesce(external_key, ''), sfid, is_absent, waits_for, is_first, misfit,
           CASE WHEN {is_whole} THEN state WHEN {is_sent} THEN difference END\\:\\:text,
           CASE WHEN {is_whole} THEN ties END\\:\\:text,
           CASE WHEN {is_whole} THEN links || birth || stamps
                WHEN {is_sent} OR was_wrong THEN stamps END\\:\\:text
      FROM stamped ORDER BY sibling, key"""  # noqa: S608 - names come from checked mappings


def _joined(one: str | None, other: str | None) -> str:
    """Put two JSON objects that share no name together, as texts."""
    if one is None or one == _NOTHING:
        return other or _NOTHING
    if other is None or other == _NOTHING:
        return one
    return f"{one[:-1]}, {other[1:]}"


def _stamps(mapping: Mapping) -> tuple[str, str, str]:
    """Return what every write adds, what one after an error, and what one during a conflict."""
    stamps = mapping.pushed.stamps
    if stamps is None:
        none = "'{}'\\:\\:jsonb"
        return none, none, none
    healed = {stamps.status: "'In Sync'\\:\\:text", stamps.error: "NULL\\:\\:text"}
    if stamps.synced_at is not None:
        healed[stamps.synced_at] = "CAST(:now AS text)"
    always = healed if mapping.born == "hub" else {}
    conflict = healed | {
        stamps.status: "'Conflict'\\:\\:text",
        stamps.error: conflict_words("in_conflict"),
    }
    return json_object(always), json_object(healed), json_object(conflict)
