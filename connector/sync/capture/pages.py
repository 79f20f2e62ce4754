"""Puts the records a query brought into the inbox, but for those that say nothing new."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from connector.sync.apply.attributes import news_of
from connector.sync.apply.foreign_edits import edited_records
from connector.sync.apply.gone import gone_before_entry, news_of_life
from connector.sync.apply.intents import new_asks
from connector.sync.apply.merges import new_merges
from connector.sync.inbox.arrivals import OrgRow
from connector.sync.inbox.store import store_page
from connector.sync.mapping.definition import Mappings


def store_news(
    tx: Connection,
    mappings: Mappings,
    object_name: str,
    rows: Sequence[OrgRow],
    *,
    organization_id: str,
) -> int:
    """Store the records that say something new as one page; return how many."""
    fresh: dict[str, Mapping[str, Any]] = {}
    alive = [row for row in rows if not row.is_deleted]
    for mapping in mappings.of_object(object_name):
        if mapping.pull is not None and alive:
            fresh |= {row.sfid: row.values for row in news_of(tx, mapping, alive)}
        if alive:
            edited = edited_records(tx, mapping, alive)
            fresh |= {row.sfid: row.values for row in alive if row.sfid in edited}
    if rows:
        fresh |= {row.sfid: row.values for row in new_asks(tx, mappings, rows)}
        fresh |= {row.sfid: row.values for row in news_of_life(tx, rows)}
        fresh |= {row.sfid: row.values for row in gone_before_entry(tx, object_name, rows)}
        fresh |= {row.sfid: row.values for row in new_merges(tx, rows)}
    if fresh:
        store_page(
            tx,
            object_name=object_name,
            organization_id=organization_id,
            records=list(fresh.values()),
        )
    return len(fresh)
