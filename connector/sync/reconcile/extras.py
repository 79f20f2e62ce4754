"""Records of the CRM that carry a key of ours and that the hub does not have.

They are reported. Only on request are they deleted, children before parents, and never where the
mapping keeps what the hub removes: a document of money is voided by a person, not by a comparison.
"""

from collections.abc import Mapping as Row
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from connector.adapters.salesforce.client import ROWS_PER_CALL, OrgClient
from connector.sync.mapping.definition import Mappings
from connector.sync.push.removal import is_gone

DELETED_PER_RUN_MAX = 10_000  # of one entity; what is left is found by the next run

_EXTRAS = text("""
    SELECT sfid FROM crm_drift WHERE kind = 'extra' AND NOT is_owed ORDER BY sfid LIMIT :most
""")
_KEPT_MAX = 100
_KEPT = "the mapping keeps documents of money (on_removal: keep)"


@dataclass(frozen=True, slots=True)
class Extra:
    """One record that nobody here knows."""

    sfid: str


def extras_of(session: Connection) -> list[Extra]:
    """Return the extra records of the entity that was compared last."""
    return [Extra(sfid) for sfid in session.scalars(_EXTRAS, {"most": DELETED_PER_RUN_MAX})]


def delete_extras(
    org: OrgClient, mappings: Mappings, extras: Row[str, Sequence[Extra]]
) -> tuple[int, dict[str, str]]:
    """Delete them in the CRM; return how many are gone, and which stay and why (100 at most)."""
    deleted = 0
    kept: dict[str, str] = {}
    for mapping in reversed(mappings.pushed):
        found = extras.get(mapping.entity, ())
        if mapping.pushed.on_removal == "keep":
            kept |= {one.sfid: _KEPT for one in found}
            continue
        for start in range(0, len(found), ROWS_PER_CALL):
            block = [one.sfid for one in found[start : start + ROWS_PER_CALL]]
            for sfid, result in zip(block, org.delete_collections(block), strict=True):
                if is_gone(result):
                    deleted += 1
                else:
                    kept[sfid] = "; ".join(error.message for error in result.errors)
    return deleted, dict(list(kept.items())[:_KEPT_MAX])
