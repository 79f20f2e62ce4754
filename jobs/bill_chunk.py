"""Bills one chunk of a bill run that was handed to the workers."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from connector.bootstrap import App

NAME = "bill_chunk"
SCHEDULE = None


def run(app: "App", *, run_id: int) -> None:
    """Run the use-case."""
    app.bill_chunk(run_id)
