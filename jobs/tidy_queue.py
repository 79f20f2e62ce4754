"""Deletes failed jobs that nobody looked at for a month."""

from datetime import timedelta
from typing import TYPE_CHECKING

from connector.background.queue import delete_failed

if TYPE_CHECKING:
    from connector.bootstrap import App

NAME = "tidy_queue"
SCHEDULE = "40 3 * * *"
_KEPT = timedelta(days=30)


def run(app: "App") -> None:
    """Run the use-case."""
    delete_failed(app.store, before=app.wall_clock.now() - _KEPT)
