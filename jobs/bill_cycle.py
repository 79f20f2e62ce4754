"""Bills everybody whose billing month begins today, early in the morning, and days missed."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector.bootstrap import App

NAME = "bill_cycle"
SCHEDULE = "0 4 * * *"


def run(app: "App") -> None:
    """Run the use-case."""
    app.run_due_bills()
