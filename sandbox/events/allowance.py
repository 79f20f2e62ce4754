"""How many events an org may deliver in a day and publish in an hour (fact sheet J, H.5)."""

import threading
from collections import deque

from .. import clock

BUCKETS = 60


class Allowance:
    """Counts over a rolling window, in sixtieths of it."""

    def __init__(self, *, most: int, window_s: int) -> None:
        self._lock = threading.Lock()
        self._window_ms = window_s * 1_000
        self._buckets: deque[tuple[int, int]] = deque(maxlen=BUCKETS + 1)
        self.most = most

    def remaining(self) -> int:
        """Return how many are left."""
        with self._lock:
            return max(0, self.most - self._used())

    def take(self, count: int) -> bool:
        """Count some; return False, counting nothing, where not all of them are left."""
        with self._lock:
            if self._used() + count > self.most:
                return False
            start_ms = clock.epoch_ms() * BUCKETS // self._window_ms
            if self._buckets and self._buckets[-1][0] == start_ms:
                self._buckets[-1] = (start_ms, self._buckets[-1][1] + count)
            else:
                self._buckets.append((start_ms, count))
            return True

    def start_over(self, *, most: int) -> None:
        """Set the allowance; nothing of it is used."""
        with self._lock:
            self.most = most
            self._buckets.clear()

    def _used(self) -> int:
        oldest = clock.epoch_ms() * BUCKETS // self._window_ms - BUCKETS
        return sum(count for start, count in self._buckets if start > oldest)
