"""Asks the org for changes that no message told of."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector.bootstrap import App

NAME = "sweep"
SCHEDULE = "every 1 min"


def run(app: "App") -> None:
    """Run the use-case."""
    app.sweep()
