"""Asks the org for every id of an object that the hub knows: what no answer names is gone.

A record whose page waits to be applied counts as known.

A customer that vanished without a trace may have been merged: its log entry is purged, but what
hung on it hangs on the master now. Where all that is left of it agrees, that is taken as the merge.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import text

from connector.adapters.salesforce.client import COLLECTIONS_PER_CALL, IDS_PER_RETRIEVE, OrgClient
from connector.store.engine import Store
from connector.sync.inbox.arrivals import ID
from connector.sync.inbox.store import in_waiting_pages
from connector.sync.mapping.definition import FieldType, Mappings

BLOCK = IDS_PER_RETRIEVE * COLLECTIONS_PER_CALL  # one call
BLOCKS_MAX = 10_000  # 100 million records
WITNESSES = 3  # children of each kind that are asked where they hang now

_KNOWN = text(
    """
    (SELECT sfid FROM crm_record
      WHERE object = :object AND sfid > :after AND deleted_at IS NULL ORDER BY sfid LIMIT :block)
    UNION
    (SELECT sfid FROM account
      WHERE :object = 'Account' AND sfid > :after AND deleted_at IS NULL
      ORDER BY sfid LIMIT :block)
    ORDER BY sfid LIMIT :block
    """
)
_CHILDREN = text(
    """
    SELECT lost, object, sfid FROM (
        SELECT known ->> CAST(:field AS text) AS lost, object, sfid,
               row_number() OVER (PARTITION BY known ->> CAST(:field AS text) ORDER BY id) AS place
          FROM crm_record
         WHERE entity = :entity AND known ->> CAST(:field AS text) = ANY(:lost)
           AND sfid IS NOT NULL AND deleted_at IS NULL
    ) AS children WHERE place <= :most
    """
)


@dataclass(frozen=True, slots=True)
class Missing:
    """A record that is gone; since when, as far as is known, and into which one it was merged."""

    sfid: str
    deleted_at: datetime
    master: str | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison of all ids found."""

    known: int
    missing: Sequence[Missing]


def find_missing(
    store: Store, org: OrgClient, mappings: Mappings, object_name: str, *, now_org: datetime
) -> Compared:
    """Return which records of an object the hub knows and the org has no more."""
    known = 0
    missing: list[Missing] = []
    for sfids in _known_ids(store, object_name):
        found = org.retrieve_many({object_name: sfids}, fields={object_name: [ID]})
        alive = {record[ID] for record in found[object_name]}
        missing += [Missing(sfid, now_org) for sfid in sfids if sfid not in alive]
        known += len(sfids)
    return Compared(known, _with_masters(store, org, mappings, object_name, missing))


def _known_ids(store: Store, object_name: str) -> Iterator[Sequence[str]]:
    """Yield the ids of one call after the other; those about to be entered come last."""
    after = ""
    for _ in range(BLOCKS_MAX):
        with store.read() as tx:
            asked = {"object": object_name, "after": after, "block": BLOCK}
            sfids = list(tx.scalars(_KNOWN, asked))
        if not sfids:
            break
        yield sfids
        after = sfids[-1]
    with store.read() as tx:
        entering = sorted(in_waiting_pages(tx, object_name))
    yield from (entering[start : start + BLOCK] for start in range(0, len(entering), BLOCK))


def _with_masters(
    store: Store, org: OrgClient, mappings: Mappings, object_name: str, missing: list[Missing]
) -> list[Missing]:
    if not missing or not any(m.born == "crm" for m in mappings.of_object(object_name)):
        return missing
    hangs_on: dict[str, set[str]] = defaultdict(set)  # lost id -> where its children hang now
    for entity, object_, field in _references(mappings):
        children = _children(store, entity, field, [one.sfid for one in missing])
        if not children:
            continue
        found = org.retrieve_many({object_: list(children)}, fields={object_: [ID, field]})
        for record in found[object_]:
            if record.get(field):
                hangs_on[children[record[ID]]].add(record[field])
    return [
        replace(one, master=_agreed(one.sfid, hangs_on.get(one.sfid, set()))) for one in missing
    ]


def _references(mappings: Mappings) -> list[tuple[str, str, str]]:
    return [
        (mapping.entity, mapping.object, name)
        for mapping in mappings
        if mapping.born == "hub"
        for name, field in mapping.fields.items()
        if field.type is FieldType.REFERENCE and not field.only_at_birth
    ]


def _children(store: Store, entity: str, field: str, lost: Sequence[str]) -> dict[str, str]:
    with store.read() as tx:
        found = tx.execute(
            _CHILDREN, {"entity": entity, "field": field, "lost": list(lost), "most": WITNESSES}
        )
        return {row.sfid: row.lost for row in found}


def _agreed(lost: str, masters: set[str]) -> str | None:
    if len(masters) != 1:
        return None
    (master,) = masters
    is_other_of_its_kind = master != lost and master[:3] == lost[:3]
    return master if is_other_of_its_kind else None
