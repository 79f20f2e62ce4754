"""Sends the CRM what it is owed. Use-cases nudge it; the schedule makes up for lost nudges."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector.bootstrap import App

NAME = "push_changes"
SCHEDULE = "every 5 s"


def run(app: "App") -> None:
    """Run the use-case."""
    app.push_changes()
