"""Looks whether hub and org fit the mapping files, and keeps what does not.

Done before the first record moves, every night, and every few minutes for what stands still: only
the entity concerned halts, and it goes on by itself once the org or the file is mended.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.errors import OrgRefused
from connector.store.engine import Store
from connector.sync.mapping.check import check_mappings
from connector.sync.mapping.definition import Mappings
from connector.sync.mapping.describes import refresh_describes
from connector.sync.mapping.findings import Finding, keep_findings
from connector.sync.mapping.hub_side import check_hub

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Validation:
    """What a look found; `changed` are the objects whose describe is another than before."""

    findings: tuple[Finding, ...]
    changed: frozenset[str]


@dataclass(slots=True)
class _Memory:
    """Asks the org once for each object."""

    org: OrgClient
    said: dict[str, dict[str, Any] | OrgRefused] = field(default_factory=dict)

    def describe(self, object_name: str) -> dict[str, Any]:
        """Return what the org says about an object."""
        if object_name not in self.said:
            try:
                self.said[object_name] = self.org.describe(object_name)
            except OrgRefused as refused:
                self.said[object_name] = refused
        found = self.said[object_name]
        if isinstance(found, OrgRefused):
            raise found
        return found


def validate(
    *,
    store: Store,
    org: OrgClient,
    mappings: Mappings,
    now: datetime,
    only: Collection[str] | None = None,
    flows: Collection[str] | None = None,
) -> Validation:
    """Hold the mappings of all entities, or of some, against hub and org; one call an object.

    `flows` are the names of what carries out asks, where they are to be looked at.

    Raises:
        OrgUnavailable: The org does not answer; what was kept stays.
    """
    looked_at = {m.entity for m in mappings if only is None or m.entity in only}
    memory = _Memory(org)
    objects = {m.object for m in mappings if m.entity in looked_at}
    changed = refresh_describes(store=store, org=memory, objects=objects, now=now)
    with store.read() as tx:
        of_hub = [one for one in check_hub(tx, mappings, flows=flows) if one.entity in looked_at]
    # The org is asked while no transaction is open: it may take its time.
    of_org = check_mappings(mappings, memory.describe, only=looked_at, query=org.query_all)
    found = (*of_hub, *of_org)
    with store.transaction() as tx:
        keep_findings(tx, mappings, looked_at=looked_at, found=found)
    for one in found:
        log.warning(
            "mapping.finding", entity=one.entity, field=one.field, line=one.line, halts=one.halts
        )
    return Validation(found, frozenset(changed))
