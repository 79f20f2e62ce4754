"""Bills everybody whose billing month begins today, early in the morning."""

from typing import TYPE_CHECKING

from connector.kernel.period import local_date

if TYPE_CHECKING:
    from connector.bootstrap import App

NAME = "bill_cycle"
SCHEDULE = "0 4 * * *"


def run(app: "App") -> None:
    """Run the use-case."""
    app.run_bills(local_date(app.clock.now(), app.settings.billing.timezone))
