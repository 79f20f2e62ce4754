"""Asks the org what its objects look like, and sends again what a change there may have mended."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector.bootstrap import App

NAME = "describe_org"
SCHEDULE = "15 2 * * *"


def run(app: "App") -> None:
    """Run the use-case."""
    app.describe_org()
