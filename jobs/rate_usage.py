"""Rates the month of yesterday: summaries follow usage day by day and close by themselves."""

from datetime import date, timedelta
from typing import TYPE_CHECKING

from connector.kernel.period import Period, add_months, local_date

if TYPE_CHECKING:
    from connector.bootstrap import App

NAME = "rate_usage"
SCHEDULE = "0 3 * * *"


def run(app: "App") -> None:
    """Run the use-case."""
    yesterday = local_date(app.clock.now(), app.settings.billing.timezone) - timedelta(days=1)
    first = date(yesterday.year, yesterday.month, 1)
    app.rate_usage(Period(first, add_months(first, 1)))
