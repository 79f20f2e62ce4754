"""Sees marks nobody announced, so that a change written in plain SQL goes out as soon as any other.

Use-cases nudge the push themselves. What another program writes into the hub's tables leaves marks
in the push log and tells nobody; the push's schedule would find them seconds later. Looking is one
index probe. A NOTIFY in the marking triggers would be sooner still, but makes every commit that
marks wait for all the others.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from connector.store.engine import Store

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.5
_STOP_WAIT_S = 10
_NEWEST = text("SELECT max(id) FROM push_log")


@dataclass(slots=True)
class MarkWatch:
    """A thread that calls `on_marks` after marks were committed, until it is stopped."""

    store: Store
    on_marks: Callable[[], None]
    every_s: float = LOOK_EVERY_S
    _newest: int | None = None
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start looking."""
        self._thread = threading.Thread(target=self._watch, name="marks", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; returns once no look is under way."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_STOP_WAIT_S)

    def look(self) -> bool:
        """Return whether there are marks that the last look did not see."""
        with self.store.read() as tx:
            newest: int | None = tx.execute(_NEWEST).scalar_one()
        # Not only a higher id: ids are not in commit order, and the push empties the log.
        is_news = newest is not None and newest != self._newest
        self._newest = newest
        return is_news

    def _watch(self) -> None:
        while not self._stopping.wait(self.every_s):
            try:
                if self.look():
                    self.on_marks()
            except SQLAlchemyError as error:  # the store is away: it is looked at again
                log.warning("push.watch_failed", error=type(error).__name__)
