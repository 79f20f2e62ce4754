"""Row locks held by transactions that are open for longer than a call (fact sheet I.7).

A call that meets a held lock is undone as a whole and tried again until the lock is free or the
wait is over; then its rows fail with UNABLE_TO_LOCK_ROW.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from .. import clock
from ..schema.model import Field, ObjectType, OnDelete
from ..storage.folding import folded_text

WAIT_S = 10.0
LOOK_AGAIN_S = 0.02
# Writes to these lock their account, for sharing and roll-ups.
SHARES_WITH_ACCOUNT = frozenset({"Contact", "Opportunity", "Case"})
T = TypeVar("T")


class RowLockedError(Exception):
    """A record is held by another transaction, and the caller has patience."""

    def __init__(self, keys: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(keys)))
        self.keys = keys


class LockTable:
    """Which open transaction holds which records and unique values."""

    def __init__(self) -> None:
        self._holders: dict[str, str] = {}
        self._guard = threading.Lock()
        self._local = threading.local()
        self.wait_s = WAIT_S

    @property
    def idle(self) -> bool:
        """Whether nobody holds anything."""
        return not self._holders

    def take(self, holder: str, keys: Iterable[str]) -> None:
        """Hold keys until released."""
        with self._guard:
            self._holders.update(dict.fromkeys(keys, holder))

    def release(self, holder: str) -> None:
        """Let go of all keys of a holder."""
        with self._guard:
            self._holders = {k: h for k, h in self._holders.items() if h != holder}

    def release_all(self) -> None:
        """Let go of everything."""
        with self._guard:
            self._holders = {}

    def blocked(self, keys: Iterable[str]) -> frozenset[str]:
        """Return which of the keys are held.

        Raises:
            RowLockedError: Some are, and the caller is one that `patiently` tries again.
        """
        held = frozenset(key for key in keys if key in self._holders)
        if held and getattr(self._local, "patient", False):
            raise RowLockedError(held)
        return held

    def patiently(self, action: Callable[[], T]) -> T:
        """Run an action that is one transaction; while it meets held locks, wait and repeat."""
        before = getattr(self._local, "patient", False)
        deadline_s: float | None = None
        while True:
            self._local.patient = deadline_s is None or clock.monotonic_s() < deadline_s
            try:
                return action()
            except RowLockedError as error:
                locked = error.keys
            finally:
                self._local.patient = before
            deadline_s = clock.monotonic_s() + self.wait_s if deadline_s is None else deadline_s
            while clock.monotonic_s() < deadline_s and any(k in self._holders for k in locked):
                clock.pause(LOOK_AGAIN_S)


@lru_cache(maxsize=1_024)
def locking_references(item: ObjectType) -> tuple[Field, ...]:
    """Return the references whose target is locked when a record is written."""
    return tuple(
        ref
        for ref in item.references
        if ref.master_detail
        or ref.required
        or ref.on_delete is not OnDelete.SET_NULL
        or (ref.name == "AccountId" and item.name in SHARES_WITH_ACCOUNT)
    )


@lru_cache(maxsize=1_024)
def _unique_fields(item: ObjectType) -> tuple[Field, ...]:
    return tuple(f for f in item.fields if f.unique)


def keys_of(
    item: ObjectType, record_id: str | None, old: Mapping[str, Any], values: Mapping[str, Any]
) -> set[str]:
    """Return what writing one record locks: itself, parents, and its new unique values."""
    keys = {record_id} if record_id is not None else set()
    for ref in locking_references(item):
        keys |= {row[ref.name] for row in (old, values) if row.get(ref.name)}
    for field in _unique_fields(item):
        value = values.get(field.name)
        if value is not None:
            keys.add(f"{item.name}.{field.name}={folded_text(str(value))}")
    return keys


def refusal_text(keys: frozenset[str]) -> str:
    """Return the message of UNABLE_TO_LOCK_ROW."""
    ids = sorted(key for key in keys if "=" not in key)
    if not ids:
        return "unable to obtain exclusive access to this record"
    names = ",".join(ids)
    return f"unable to obtain exclusive access to this record or {len(ids)} records: {names}"
