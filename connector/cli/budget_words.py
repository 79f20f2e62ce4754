"""The API calls of the day, in words."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from connector.sync.status import BudgetStatus


def show_budget(budget: "BudgetStatus") -> None:
    """Print how the org's API calls stand: what is left, until when, what each lane spent."""
    if budget.allowed is None:
        return
    click.echo(
        f"API calls of the last 24 hours: {budget.used} of {budget.allowed}, "
        f"{budget.percent_left} % left."
    )
    lanes = (
        f"{name} {lane.spent} (reserved {lane.reserved})" for name, lane in budget.lanes.items()
    )
    click.echo(f"  spent: {', '.join(lanes)}")
    is_used_up = (budget.used or 0) >= budget.allowed
    if budget.forecast_at is not None and not is_used_up:
        click.echo(
            f"  If it goes on like this, none are left at {budget.forecast_at:%Y-%m-%d %H:%M} UTC."
        )
    if budget.slowness > 1:
        click.echo(f"  Sweeps and pushes are {budget.slowness} times slower until more are left.")
    if budget.held:
        click.echo(f"  {budget.held}")
