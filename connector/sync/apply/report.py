"""What one pass of apply did."""

from dataclasses import dataclass, field

from connector.sync.apply.attributes import Written
from connector.sync.apply.intents import IntentsRun


@dataclass(slots=True)
class ApplyReport:
    """What one pass did."""

    envelopes: int = 0
    notifications: int = 0
    repeated: int = 0  # notifications that had been applied before
    records: int = 0
    changed: int = 0
    echoes: int = 0
    stale: int = 0
    asked: int = 0
    postponed: int = 0
    repaired: int = 0  # fields of the hub that were changed in the CRM: to be sent again,
    accepted: int = 0  # taken over,
    conflicts: int = 0  # or left to a person
    deleted: int = 0  # born in the CRM and gone there
    made_again: int = 0  # born here, deleted there, owed once more
    restored: int = 0  # came back from the recycle bin
    merged: int = 0  # ids that are aliases now
    intents: IntentsRun = field(default_factory=IntentsRun)
    answered: int = 0
    problems: list[str] = field(default_factory=list)
    is_busy: bool = False  # another pass was running; nothing was done

    def add(self, written: Written) -> None:
        """Count what became of some attributes."""
        self.changed += written.changed
        self.echoes += written.echoes
        self.stale += written.stale
        self.problems += written.problems.values()
