"""Applies what the CRM said. Webhooks nudge it; the schedule makes up for lost nudges."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector.bootstrap import App

NAME = "apply_inbox"
SCHEDULE = "every 15 s"


def run(app: "App") -> None:
    """Run the use-case."""
    app.apply_inbox()
