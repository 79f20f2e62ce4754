"""Requests of a streaming call, read beside the answers."""

import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

MOST_WAITING = 1_000


class Inbox:
    """Takes requests off the wire in a thread of its own and tells the stream's condition."""

    def __init__(self, requests: Iterator[Any], changed: threading.Condition) -> None:
        self._requests = requests
        self._changed = changed
        self._waiting: deque[Any] = deque()
        self.closed = False
        threading.Thread(target=self._read, name="pubsub inbox", daemon=True).start()

    def _read(self) -> None:
        try:
            for request in self._requests:
                with self._changed:
                    self._waiting.append(request)
                    self._changed.notify_all()
                    while len(self._waiting) >= MOST_WAITING and not self.closed:
                        self._changed.wait(1.0)
        except Exception:  # noqa: S110 - gRPC tells of a cancelled call by raising here
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Read no more."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def take(self) -> Any | None:
        """Return the next request, or None where there is none yet; hold the condition."""
        return self._waiting.popleft() if self._waiting else None

    @property
    def empty(self) -> bool:
        """Whether nothing waits; hold the condition."""
        return not self._waiting
