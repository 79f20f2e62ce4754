"""The two sides at work: a person in the CRM and programs in the hub, and the ledger they keep."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from .chaos_crm import DATA, Administrator, Person
from .chaos_hub import Hub
from .chaos_ledger import ACTIVE_FIELD, CRM_FIELD, Customer, Ledger

HOT = 10  # so many records of either side take a third of its changes
FOREIGN = 999_999
EDITS_MAX = 3  # of one record; a field overwritten more often in an hour is left to a person
LATE_EVERY = 4  # batches
LATE_FOR = 2
LATE_S_MAX = 8.0  # however long a batch takes: less than what a sweep looks back


@dataclass(slots=True)
class Changes:
    """Makes changes in batches and notes each in the ledger once it is sure."""

    person: Person
    administrator: Administrator
    hub: Hub
    ledger: Ledger
    chance: random.Random
    username: str
    made: int = 0
    edits: int = 0  # of what is the hub's, made in the CRM
    late_commits: int = 0
    _edited: Counter[str] = field(default_factory=Counter)
    _old: list[str] = field(default_factory=list)  # customers the hub knows for sure
    _moving: dict[str, str] = field(default_factory=dict)  # by transactions that are open
    _open: tuple[str, tuple[float, float]] | None = None
    _renaming: list[tuple[str, str, int]] = field(default_factory=list)
    _batches: int = 0

    def begin(self, *, customers: int) -> None:
        """Make the customers everything starts from."""
        self._old = self._new_customers(customers)

    def begin_services(self) -> None:
        """Give each customer a first service."""
        self._add_services(self._old)

    def batch(self, size: int) -> None:
        """Make changes on both sides."""
        self._batches += 1
        movers = size * 4 // 10
        self._move(self._pick(list(self.ledger.customers), movers, set(self._moving)))
        self._new_customers(max(1, size // 20))
        self._edit_what_is_not_theirs(max(1, size // 20))
        self._add_services(self.chance.sample(self._old, min(max(1, size // 10), len(self._old))))
        taken = {number for number, _, _ in self._renaming}
        self._rename(self._pick(list(self.ledger.services), movers, taken))
        if self._batches % LATE_EVERY == 0:
            self._open_late(max(1, size // 20))
        elif self._batches % LATE_EVERY == LATE_FOR:
            self.commit_late()

    def commit_overdue(self) -> None:
        """Commit what has been open for as long as a transaction may last."""
        if self._open is not None and time.monotonic() - self._open[1][0] > LATE_S_MAX:
            self.commit_late()

    def commit_late(self) -> None:
        """Commit what has been open for some batches."""
        if self._open is not None:
            holder, stamped_s = self._open
            self.administrator.call("POST", "transactions/commit", {"id": holder})
            for sfid, street in self._moving.items():
                self.ledger.move(sfid, street, stamped_s=stamped_s)
            self._open = None
            self._moving = {}
            self.late_commits += 1
        if self._renaming:
            self.hub.commit_late()
            for number, name, quantity in self._renaming:
                self.ledger.rename(number, name=name, quantity=quantity)
            self._renaming = []
            self.late_commits += 1

    def _pick(self, keys: Sequence[str], count: int, taken: set[str]) -> list[str]:
        """Return different records, a third of them from the few that always change."""
        hot = self.chance.sample(keys[:HOT], min(count // 3, len(keys[:HOT])))
        cold = self.chance.sample(keys, min(count - len(hot), len(keys)))
        return [key for key in dict.fromkeys(hot + cold) if key not in taken]

    def _new_customers(self, count: int) -> list[str]:
        rows = [(f"Chaos {self.ledger.next_number()}", self.ledger.street()) for _ in range(count)]
        before_s = time.monotonic()
        sfids = self.person.create(
            "Account",
            [{"Name": name, CRM_FIELD: street, "L2C_Currency__c": "EUR"} for name, street in rows],
        )
        after_s = time.monotonic()
        for sfid, (name, street) in zip(sfids, rows, strict=True):
            self.ledger.customers[sfid] = Customer(name, street)
            self.ledger.stamped_s[street] = (before_s, after_s)
        self.made += count
        return sfids

    def _move(self, sfids: Sequence[str]) -> None:
        streets = {sfid: self.ledger.street() for sfid in sfids}
        before_s = time.monotonic()
        self.person.change(
            "Account", [{"Id": sfid, CRM_FIELD: street} for sfid, street in streets.items()]
        )
        after_s = time.monotonic()
        for sfid, street in streets.items():
            self.ledger.move(sfid, street, stamped_s=(before_s, after_s))
        self.made += len(streets)

    def _edit_what_is_not_theirs(self, count: int) -> None:
        """Let the person overwrite a number of ours; the hub's must come back."""
        free = [
            sfid
            for sfid in self._old[HOT:]
            if sfid not in self._moving and self._edited[sfid] < EDITS_MAX
        ]
        chosen = self.chance.sample(free, min(count, len(free)))
        self.person.change("Account", [{"Id": sfid, ACTIVE_FIELD: FOREIGN} for sfid in chosen])
        self._edited.update(chosen)
        self.edits += len(chosen)
        self.made += len(chosen)

    def _add_services(self, sfids: Sequence[str]) -> None:
        rows = []
        for sfid in sfids:
            number = self.ledger.next_number()
            rows.append((f"SRV-{number:09d}", sfid, f"Line {number}", number % 900 + 1))
        self.hub.add(rows)
        for number_text, sfid, name, quantity in rows:
            self.ledger.rename(number_text, name=name, quantity=quantity)
            self.ledger.customers[sfid].services += 1
        self.made += len(rows)

    def _renamed(self, numbers: Sequence[str]) -> list[tuple[str, str, int]]:
        values = [(number, self.ledger.next_number()) for number in numbers]
        return [(number, f"Line {value}", value % 900 + 1) for number, value in values]

    def _rename(self, numbers: Sequence[str]) -> None:
        rows = self._renamed(numbers)
        if not rows:
            return
        self.hub.change(rows)
        for number, name, quantity in rows:
            self.ledger.rename(number, name=name, quantity=quantity)
        self.made += len(rows)

    def _open_late(self, count: int) -> None:
        """Stamp records of the CRM, and mark rows of the hub, without committing them."""
        sfids = self.chance.sample(list(self.ledger.customers), count)
        self._moving = {sfid: self.ledger.street() for sfid in sfids}
        before_s = time.monotonic()
        opened = self.administrator.call(
            "POST",
            "transactions",
            {
                "user": self.username,
                "requests": [
                    {
                        "method": "PATCH",
                        "url": f"{DATA}/sobjects/Account/{sfid}",
                        "body": {CRM_FIELD: street},
                    }
                    for sfid, street in self._moving.items()
                ],
            },
        )
        self._open = (opened["id"], (before_s, time.monotonic()))
        numbers = self.chance.sample(list(self.ledger.services), count)
        self._renaming = self._renamed(numbers)
        self.hub.change_late(self._renaming)
        self.made += len(self._moving) + len(self._renaming)
