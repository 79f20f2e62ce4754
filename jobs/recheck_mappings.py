"""Looks again at what stands still because its mapping did not fit the org."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector.bootstrap import App

NAME = "recheck_mappings"
SCHEDULE = "every 5 min"


def run(app: "App") -> None:
    """Run the use-case."""
    app.recheck_halted()
