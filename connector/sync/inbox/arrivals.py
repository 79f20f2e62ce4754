"""A record as it arrives from the org, whatever brought it: a message's re-read or a sweep."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from connector.adapters.salesforce.ids import to_18
from connector.adapters.salesforce.payload import read_instant
from connector.errors import InvalidInput
from connector.sync.mapping.definition import HUB_KEY_FIELD, IntentRule, Mappings
from connector.sync.mapping.definition import Mapping as EntityMapping

ID = "Id"
STAMP = "SystemModstamp"
DELETED = "IsDeleted"
_HINT = "_hint"
MASTER = "MasterRecordId"


class UnreadableRecord(InvalidInput):
    """The org answered a record without an id or a stamp."""

    code = "sync.unreadable_record"
    remedy = "Give the integration user access to Id and SystemModstamp of this object."


@dataclass(frozen=True, slots=True)
class OrgRow:
    """One record of the org at one version (its SystemModstamp, of second precision)."""

    object_name: str
    sfid: str
    version: datetime
    values: Mapping[str, Any]
    source: str = "sweep"  # what told of it: a source of the inbox

    @property
    def is_deleted(self) -> bool:
        """Return whether it is in the recycle bin."""
        return bool(self.values.get(DELETED, False))


@lru_cache(maxsize=4096)  # records of one transaction, thousands of them, have one stamp
def version_of(stamp: str) -> datetime:
    """Read a record's SystemModstamp."""
    return read_instant(stamp)


def row_of(object_name: str, record: Mapping[str, Any], *, source: str = "sweep") -> OrgRow:
    """Read a record of a REST answer, or of a page that `source` brought.

    Raises:
        UnreadableRecord: It has no id or no stamp.
    """
    try:
        sfid, stamp = to_18(record[ID]), version_of(record[STAMP])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UnreadableRecord(f"A record of {object_name} has no id or no stamp.") from None
    return OrgRow(object_name, sfid, stamp, record, source)


def hint_of(row: OrgRow) -> dict[str, object]:
    """Return a record for the inbox that says nothing but that this one is to be read again."""
    return {ID: row.sfid, STAMP: row.values[STAMP], _HINT: True}


def is_hint(row: OrgRow) -> bool:
    """Return whether the record has to be read again because it came without values."""
    return bool(row.values.get(_HINT, False))


def heard_from(row: OrgRow) -> tuple[str, str]:
    """Return the trail of a value the record brought: what told of it, and the org's stamp."""
    return trail_of(row.source, row.version)


def trail_of(source: str, version: datetime) -> tuple[str, str]:
    """Return the trail of a value that came from this source with this stamp."""
    return source, version.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def newest(rows: Iterable[OrgRow]) -> list[OrgRow]:
    """Return the newest version of each record; of equal versions the one that came last."""
    kept: dict[tuple[str, str], OrgRow] = {}
    for row in rows:
        key = (row.object_name, row.sfid)
        former = kept.setdefault(key, row)
        if former is not row and former.version <= row.version:
            kept[key] = row
    return list(kept.values())


def fields_to_read(mappings: Mappings, object_name: str) -> tuple[str, ...]:
    """Return the fields that decide anything here about a record of the object."""
    names = {ID: None, STAMP: None}
    for mapping in mappings.of_object(object_name):
        if mapping.pull is not None:
            names |= dict.fromkeys((*mapping.pull.fields, *mapping.kind_fields))
            if mapping.push is not None and mapping.push.is_keyed:
                names[HUB_KEY_FIELD] = None
        for rule in mapping.intents:
            names |= dict.fromkeys((rule.when.field, *rule.facts))
        names |= dict.fromkeys(mapping.compared_names)
    return tuple(names)


def objects_to_watch(mappings: Mappings) -> tuple[str, ...]:
    """Return the objects whose changes matter here, attributes first."""
    pulled = sorted(mappings.pulled, key=lambda mapping: mapping.pull is None)
    return tuple(dict.fromkeys(mapping.object for mapping in (*pulled, *mappings.watched)))


def is_read_whole(mappings: Mappings, object_name: str) -> bool:
    """Return whether every changed record of the object matters, not only one that asks."""
    return any(mapping.object == object_name for mapping in mappings.watched)


def asks(rule: IntentRule, row: OrgRow) -> bool:
    """Return whether the record shows what the rule waits for."""
    value = row.values.get(rule.when.field)
    if rule.when.set:
        return value not in (None, "", False)
    return bool(value == rule.when.becomes)


def rules_of(mappings: Mappings, object_name: str) -> list[tuple[EntityMapping, IntentRule]]:
    """Return the intent rules of an object, with their mappings."""
    return [
        (mapping, rule) for mapping in mappings.of_object(object_name) for rule in mapping.intents
    ]
