"""The CRM's side of a comparison, copied into a temporary table in canonical form.

Few rows come page by page from a query, many as one Bulk API job, which takes fewer counted calls.
Either way they stream: no more than a page is in memory.
"""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as Row
from itertools import islice
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from connector.adapters.salesforce.bulk import Bulk
from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.errors import OrgRefused
from connector.store.engine import copy_rows
from connector.sync.mapping.definition import Mapping, Mappings
from connector.sync.mapping.transforms import crm_text, crm_value

BULK_FROM = 20_000
_PAGE = 2_000
_IDS_PER_QUERY = 400  # an address may have 16,384 bytes

Copied = tuple[str | None, str, dict[str, Any]]

_SNAPSHOT = Table(
    "crm_snapshot",
    MetaData(),
    Column("external_key", Text),
    Column("sfid", Text),
    Column("shown", JSONB),
    prefixes=["TEMPORARY"],
)


def create_snapshot(session: Connection) -> None:
    """Make the empty table; it lives as long as the database session."""
    _SNAPSHOT.create(session)


def row_counts(org: OrgClient, mappings: Mappings) -> dict[str, int]:
    """Return about how many rows the CRM has of each pushed object, in one call.

    An org that does not tell has none, so its objects are read page by page (fact sheet B.2).
    """
    names = ",".join(sorted({mapping.object for mapping in mappings.pushed}))
    try:
        answer = org.call("GET", f"limits/recordCount?sObjects={names}")
    except OrgRefused:
        return {}
    return {one["name"]: int(one["count"]) for one in answer["sObjects"]}


def take_snapshot(
    session: Connection, org: OrgClient, mapping: Mapping, *, crm_rows: int, bulk_from: int
) -> str:
    """Copy what the CRM shows of an entity; return "bulk" or "query", whichever brought it.

    `crm_rows` is about how many rows the object has. Records that are found by their Salesforce
    ids come in bulk only when so many are known here: their object may hold millions of others.
    """
    session.execute(text("DELETE FROM crm_snapshot"))
    is_keyed = mapping.pushed.is_keyed
    known = crm_rows if is_keyed else _known_rows(session, mapping)
    rows: Iterator[Copied]
    if known >= bulk_from:
        source, rows = "bulk", _in_bulk(org, mapping)
    else:
        source, rows = "query", _by_query(org, mapping, _queries(session, mapping))
    while page := list(islice(rows, _PAGE)):
        copy_rows(session, _SNAPSHOT, ("external_key", "sfid", "shown"), page)
    session.execute(text("ANALYZE crm_snapshot"))
    return source


def _known_rows(session: Connection, mapping: Mapping) -> int:
    counted = session.execute(
        text(f'SELECT count(*) FROM "{mapping.push_view}"')  # noqa: S608 - checked name
    )
    return int(counted.scalar_one())


def _queries(session: Connection, mapping: Mapping) -> Iterator[str]:
    push = mapping.pushed
    if push.is_keyed:
        yield _soql(_asked(mapping), mapping, f"{push.key} != null")
        return
    column = push.sfid
    sfids = (
        session.execute(
            text(f'SELECT "{column}" FROM "{mapping.push_view}" ORDER BY 1')  # noqa: S608 - checked
        )
        .scalars()
        .all()
    )
    for start in range(0, len(sfids), _IDS_PER_QUERY):
        listed = ", ".join(f"'{sfid}'" for sfid in sfids[start : start + _IDS_PER_QUERY])
        yield _soql(_asked(mapping), mapping, f"Id IN ({listed})")


def _soql(names: Sequence[str], mapping: Mapping, where: str = "") -> str:
    condition = f" WHERE {where}" if where else ""
    return f"SELECT {', '.join(names)} FROM {mapping.object}{condition}"  # noqa: S608 - SOQL


def _asked(mapping: Mapping) -> tuple[str, ...]:
    key = (mapping.pushed.key,) if mapping.pushed.is_keyed else ()
    fields = (name for name, field in mapping.fields.items() if not field.only_at_birth)
    return tuple(dict.fromkeys(("Id", *key, *mapping.parents, *fields)))


def _by_query(org: OrgClient, mapping: Mapping, queries: Iterable[str]) -> Iterator[Copied]:
    for query in queries:
        for row in org.query(query):
            yield _copied(mapping, row, crm_value)


def snapshot_query(mapping: Mapping) -> str:
    """Return the query of the Bulk job that shows an entity as a whole."""
    push = mapping.pushed
    return _soql(_asked(mapping), mapping, f"{push.key} != null" if push.is_keyed else "")


def _in_bulk(org: OrgClient, mapping: Mapping) -> Iterator[Copied]:
    for row in Bulk(org).query(snapshot_query(mapping)):
        yield _copied(mapping, row, crm_text)


def _copied(mapping: Mapping, row: Row[str, Any], canonical: Any) -> Copied:
    shown: dict[str, Any] = {name: row.get(name) for name in mapping.parents}
    for name, field in mapping.fields.items():
        if not field.only_at_birth:
            shown[name] = canonical(field, row.get(name))
    key = row.get(mapping.pushed.key) if mapping.pushed.is_keyed else None
    return key, row["Id"], shown
