"""What kind of record it is: a person or a business, and of which record type (fact sheet I.5).

The CRM tells; a field that this kind of record does not have is neither read nor sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from connector.adapters.salesforce.ids import to_18
from connector.sync.inbox.arrivals import OrgRow
from connector.sync.mapping.definition import (
    IS_PERSON,
    RECORD_TYPE,
    RECORD_TYPE_ID,
    FieldWhen,
)
from connector.sync.mapping.definition import Mapping as EntityMapping

_RECORD_TYPES = text("""
    SELECT t ->> 'recordTypeId' AS sfid, t ->> 'developerName' AS name
      FROM org_describe d CROSS JOIN LATERAL jsonb_array_elements(d.content -> 'recordTypeInfos') t
     WHERE d.object = :object AND jsonb_typeof(d.content -> 'recordTypeInfos') = 'array'
""")
_OWE = text("""
    INSERT INTO push_log (entity, keys)
    SELECT code, CAST(:keys AS bigint[]) FROM push_entity WHERE name = :entity
""")


@dataclass(frozen=True, slots=True)
class Kind:
    """What the CRM says of a record; None is unknown, and no condition holds for it."""

    is_person: bool | None = None
    record_type: str | None = None

    def has(self, when: FieldWhen) -> bool:
        """Return whether such a record has a field with this condition."""
        if when.person is not None and self.is_person is not when.person:
            return False
        return not when.record_type or self.record_type in when.record_type


@dataclass(frozen=True, slots=True)
class KindReader:
    """Reads what kind of record a row is, from those fields that matter to its mapping."""

    fields: frozenset[str]
    record_types: Mapping[str, str]  # developer names by id

    def kind_of(self, row: OrgRow) -> Kind:
        """Return what the CRM says."""
        person = row.values.get(IS_PERSON) if IS_PERSON in self.fields else None
        sfid = row.values.get(RECORD_TYPE_ID) if RECORD_TYPE_ID in self.fields else None
        return Kind(
            is_person=None if person is None else bool(person),
            record_type=self.record_types.get(to_18(str(sfid))) if sfid else None,
        )

    def remembered(self, kind: Kind) -> dict[str, Any]:
        """Return what is kept of the kind, for those who send."""
        said: dict[str, Any] = {}
        if IS_PERSON in self.fields:
            said[IS_PERSON] = kind.is_person
        if RECORD_TYPE_ID in self.fields:
            said[RECORD_TYPE] = kind.record_type
        return said


def kind_reader(tx: Connection, mapping: EntityMapping) -> KindReader:
    """Work out once for many records what tells their kind; reads the org's record types."""
    fields = frozenset(mapping.kind_fields)
    names: dict[str, str] = {}
    if RECORD_TYPE_ID in fields:
        found = tx.execute(_RECORD_TYPES, {"object": mapping.object})
        names = {row.sfid: row.name for row in found}
    return KindReader(fields, names)


def owe_again(tx: Connection, mapping: EntityMapping, keys: Sequence[int]) -> None:
    """Owe the CRM records that have become of another kind: other fields go to them."""
    if keys and mapping.push is not None:
        tx.execute(_OWE, {"entity": mapping.entity, "keys": list(keys)})
