"""Deletes what was applied from the inbox a week ago."""

from typing import TYPE_CHECKING

from connector.sync.inbox.store import forget_old

if TYPE_CHECKING:
    from connector.bootstrap import App

NAME = "tidy_inbox"
SCHEDULE = "50 3 * * *"


def run(app: "App") -> None:
    """Run the use-case."""
    with app.store.transaction() as tx:
        forget_old(tx)
