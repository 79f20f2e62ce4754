"""Sends the CRM the files that belong beside its records. The push of these nudges it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector.bootstrap import App

NAME = "push_files"
SCHEDULE = "every 2 min"


def run(app: "App") -> None:
    """Run the use-case."""
    app.push_files()
