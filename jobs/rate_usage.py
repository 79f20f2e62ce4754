"""Rates usage every night: summaries follow it day by day and close when the month is over."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector.bootstrap import App

NAME = "rate_usage"
SCHEDULE = "0 3 * * *"


def run(app: "App") -> None:
    """Run the use-case."""
    app.rate_due_usage()
