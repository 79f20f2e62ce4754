"""Tells your own billing systems what they are owed, and takes in what they say."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector.bootstrap import App

NAME = "pull_billing"
SCHEDULE = "every 1 min"


def run(app: "App") -> None:
    """Run the use-case."""
    app.pull_billing()
