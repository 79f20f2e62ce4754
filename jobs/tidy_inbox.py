"""Deletes what was applied from the inbox a week ago, and conflicts that ended a year ago."""

from typing import TYPE_CHECKING

from connector.sync.apply.conflicts import forget_decided
from connector.sync.inbox.store import forget_old

if TYPE_CHECKING:
    from connector.bootstrap import App

NAME = "tidy_inbox"
SCHEDULE = "50 3 * * *"


def run(app: "App") -> None:
    """Run the use-case."""
    with app.store.transaction() as tx:
        forget_old(tx)
        forget_decided(tx)
