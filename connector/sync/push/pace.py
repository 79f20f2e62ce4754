"""How many rows of an entity go into one batch: fewer while the CRM's records are locked.

Rows of one parent lock it together, and so do people and automation in the CRM. A smaller batch
holds fewer locks for a shorter time; when it goes through, the next is twice as large.
"""

from dataclasses import dataclass, field

from connector.adapters.salesforce.client import ROWS_PER_COLLECTION

SMALLEST = 10


@dataclass(slots=True)
class Pace:
    """Batch sizes by entity; kept between passes by whoever pushes."""

    sizes: dict[str, int] = field(default_factory=dict)

    def size_of(self, entity: str) -> int:
        """Return how many rows the next batch of the entity may have."""
        return self.sizes.get(entity, ROWS_PER_COLLECTION)

    def learn(self, entity: str, *, has_met_locks: bool) -> None:
        """Halve the batch after a lock, double it after none, between 10 and 200 rows."""
        size = self.size_of(entity)
        size = max(size // 2, SMALLEST) if has_met_locks else min(size * 2, ROWS_PER_COLLECTION)
        if size == ROWS_PER_COLLECTION:
            self.sizes.pop(entity, None)
        else:
            self.sizes[entity] = size
