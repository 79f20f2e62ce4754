"""Runs code tasks that are due, retries included, and applies changes whose day has come."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector.bootstrap import App

NAME = "run_tasks"
SCHEDULE = "every 15 s"


def run(app: "App") -> None:
    """Run the use-case."""
    app.run_tasks()
