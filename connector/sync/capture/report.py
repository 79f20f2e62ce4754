"""What a sweep saw, and why it read what it read."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class SweepReport:
    """What a sweep saw. `notes` are sentences for a person: what was read again, and why."""

    calls: int = 0
    seen: dict[str, int] = field(default_factory=dict)
    stored: dict[str, int] = field(default_factory=dict)
    deleted: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  # object -> why the org did not answer it
    held: str = ""  # why nothing was asked at all

    @property
    def stored_total(self) -> int:
        """Return how many records wait in the inbox because of this sweep, gone ones included."""
        return sum(self.stored.values()) + sum(self.deleted.values())

    def count(self, object_name: str, *, seen: int, stored: int) -> None:
        """Add what one page brought."""
        self.seen[object_name] = self.seen.get(object_name, 0) + seen
        self.stored[object_name] = self.stored.get(object_name, 0) + stored

    def count_deleted(self, object_name: str, count: int) -> None:
        """Add records found to be gone."""
        if count:
            self.deleted[object_name] = self.deleted.get(object_name, 0) + count
