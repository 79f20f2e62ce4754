"""Moves on the terms that ended yesterday, before the bills of the day are made."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector.bootstrap import App

NAME = "renew_terms"
SCHEDULE = "20 3 * * *"


def run(app: "App") -> None:
    """Run the use-case."""
    app.renew_terms()
