"""Hints of change events: which records changed, and nothing of what they say (design D4)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from connector.adapters.salesforce.ids import to_18
from connector.store.engine import to_json

DELETIONS = frozenset({"DELETE", "GAP_DELETE"})

_STORE = text(
    """
    INSERT INTO inbox (source, received_at, organization_id, topic, content)
    VALUES ('cdc', now(), :organization_id, :topic, :content)
    """
)


@dataclass(frozen=True, slots=True)
class Hint:
    """One record that changed in a transaction of the org.

    Attributes:
        change_type: As in the event (fact sheet H.3), or SWEEP for what a bounded sweep found.
        commit_at: By the org's clock; of a SWEEP the record's SystemModstamp.
    """

    object_name: str
    sfid: str
    change_type: str
    commit_at: datetime
    change_origin: str = ""

    @property
    def tells_deletion(self) -> bool:
        """Return whether the record was deleted, if it has not come back since."""
        return self.change_type in DELETIONS


def store_hints(tx: Connection, *, topic: str, organization_id: str, hints: Sequence[Hint]) -> None:
    """Store hints as one row; the caller commits them together with their place."""
    page = [
        {
            "object": hint.object_name,
            "sfid": hint.sfid,
            "change_type": hint.change_type,
            "commit_at": hint.commit_at.isoformat(),
            "change_origin": hint.change_origin,
        }
        for hint in hints
    ]
    values = {"topic": topic, "organization_id": organization_id, "content": to_json(page)}
    tx.execute(_STORE, values)


def read_hints(content: bytes) -> list[Hint]:
    """Return the hints of a stored row."""
    return [
        Hint(
            object_name=one["object"],
            sfid=to_18(one["sfid"]),
            change_type=one["change_type"],
            commit_at=datetime.fromisoformat(one["commit_at"]),
            change_origin=one["change_origin"],
        )
        for one in json.loads(content)
    ]
