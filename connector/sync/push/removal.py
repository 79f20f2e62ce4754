"""Records of the hub that are gone: taken out of the CRM, children before parents.

Only what the hub has created is ever deleted there. A record that somebody else deleted first is
gone as wished; one that others still hang on is tried again after them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from connector.adapters.salesforce.answers import RowResult
from connector.adapters.salesforce.client import ROWS_PER_CALL, OrgClient
from connector.sync.mapping.definition import Mapping
from connector.sync.push.state import Owed, bigints

GONE = frozenset({"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND"})
HELD_BY_CHILDREN = frozenset({"DELETE_FAILED", "DEPENDENCY_EXISTS"})

_SHOWN = text("""
    SELECT hub_id, sfid FROM crm_record
     WHERE entity = :entity AND hub_id = ANY (CAST(:keys AS bigint[]))
       AND born = 'hub' AND sfid IS NOT NULL
""")
_FORGET = text("""
    DELETE FROM crm_record
     WHERE entity = :entity AND hub_id = ANY (CAST(:keys AS bigint[])) AND born = 'hub'
""")


@dataclass(frozen=True, slots=True)
class Removal:
    """One record to take out of the CRM."""

    owed: Owed
    sfid: str


def to_remove(tx: Connection, mapping: Mapping, absent: Sequence[Owed]) -> list[Removal]:
    """Return which of the records that the hub has no more are still in the CRM."""
    if not absent or mapping.born != "hub" or mapping.pushed.on_removal == "keep":
        return []
    rows = tx.execute(
        _SHOWN, {"entity": mapping.entity, "keys": bigints(one.key for one in absent)}
    )
    sfid_of = {row.hub_id: row.sfid for row in rows}
    return [Removal(one, sfid_of[one.key]) for one in absent if one.key in sfid_of]


def remove(org: OrgClient, removals: Sequence[Removal]) -> list[tuple[Removal, RowResult]]:
    """Delete the records of one object, 1,000 a call; return what became of each.

    Raises:
        TransientFailure: A whole call failed; each record may or may not be deleted.
    """
    answered: list[tuple[Removal, RowResult]] = []
    for start in range(0, len(removals), ROWS_PER_CALL):
        block = removals[start : start + ROWS_PER_CALL]
        results = org.delete_collections([one.sfid for one in block])
        answered += zip(block, results, strict=True)
    return answered


def is_gone(result: RowResult) -> bool:
    """Return whether the record is not in the CRM any more, whoever deleted it."""
    return result.success or any(error.code in GONE for error in result.errors)


def is_held_by_children(result: RowResult) -> bool:
    """Return whether the record cannot go before others have gone."""
    return any(error.code in HELD_BY_CHILDREN for error in result.errors)


def forget_removed(tx: Connection, mapping: Mapping, keys: Sequence[int]) -> None:
    """Know nothing more of records that are gone on both sides."""
    tx.execute(_FORGET, {"entity": mapping.entity, "keys": bigints(keys)})
