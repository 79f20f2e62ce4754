"""Many records of one object, column by column: how a first load reads them.

Python pays for a step, not for a value: one step for each of thirty fields of five thousand records
costs a fifth of a dict and an `OrgRow` for each of them. Who needs single records asks for `rows`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connector.adapters.salesforce.ids import to_18
from connector.sync.inbox.arrivals import ID, STAMP, OrgRow, UnreadableRecord, version_of


@dataclass(frozen=True, slots=True)
class RecordColumns:
    """Records of the org at one version each.

    Attributes:
        values: What REST would answer, by field; as many values as there are records.
        source: What told of them; a source of the inbox.
    """

    object_name: str
    sfids: Sequence[str]
    versions: Sequence[datetime]
    values: Mapping[str, Sequence[Any]]
    source: str

    def __len__(self) -> int:
        """Return how many records there are."""
        return len(self.sfids)

    def of(self, name: str) -> Sequence[Any]:
        """Return the values of a field; None for each record if it was not read."""
        return self.values.get(name) or [None] * len(self)

    def rows(self, places: Iterable[int] | None = None) -> list[OrgRow]:
        """Return the records at these places, or all of them, one by one."""
        return [
            OrgRow(
                self.object_name,
                self.sfids[place],
                self.versions[place],
                {name: column[place] for name, column in self.values.items()},
                self.source,
            )
            for place in (range(len(self)) if places is None else places)
        ]

    def only(self, places: Sequence[int]) -> "RecordColumns":
        """Return the records at these places."""
        if len(places) == len(self):
            return self
        return RecordColumns(
            self.object_name,
            [self.sfids[place] for place in places],
            [self.versions[place] for place in places],
            {name: [column[place] for place in places] for name, column in self.values.items()},
            self.source,
        )


def columns_of(
    object_name: str, values: Mapping[str, Sequence[Any]], *, source: str
) -> RecordColumns:
    """Read records that came column by column.

    Raises:
        UnreadableRecord: One has no id or no stamp.
    """
    try:
        sfids = [to_18(sfid) for sfid in values[ID]]
        versions = [version_of(stamp) for stamp in values[STAMP]]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UnreadableRecord(f"A record of {object_name} has no id or no stamp.") from None
    return RecordColumns(object_name, sfids, versions, values, source)
