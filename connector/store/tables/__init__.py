"""The hub's relational model: one module per context, one `metadata` for all.

Conventions: `id` is a bigint identity and never leaves the hub bare (sync names records
`l2c:entity:id`); `_at` is an instant, `_on` a local date, `_sfid` a Salesforce id; money on
documents is NUMERIC(18,4) at currency scale, exact charges NUMERIC(24,9); every table that a brand
can own carries `brand_id` (design D16). Every invariant that code asserts has a constraint here.
"""

from connector.store.tables import (
    billing,
    catalog,
    charging,
    foreign,
    inventory,
    jobs,
    ledger,
    ordering,
    parties,
    sync,
    usage,
)
from connector.store.tables.base import metadata

__all__ = [
    "billing",
    "catalog",
    "charging",
    "foreign",
    "inventory",
    "jobs",
    "ledger",
    "metadata",
    "ordering",
    "parties",
    "sync",
    "usage",
]
