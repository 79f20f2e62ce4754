"""Compares hub and CRM record by record, every night."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector.bootstrap import App

NAME = "reconcile"
SCHEDULE = "30 2 * * *"


def run(app: "App") -> None:
    """Run the use-case."""
    app.reconcile()
