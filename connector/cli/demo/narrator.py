"""Tells the story as it happens: plain words, counts and amounts, on standard error."""

from collections.abc import Mapping
from decimal import Decimal

import click

from connector.kernel.clock import monotonic_s


class Narrator:
    """Prints chapters and what happened in them."""

    def __init__(self) -> None:
        self._started_s = monotonic_s()
        self._chapter = 0

    @property
    def seconds(self) -> int:
        """Whole seconds since the story began."""
        return round(monotonic_s() - self._started_s)

    def chapter(self, title: str) -> None:
        """Begin a chapter."""
        self._chapter += 1
        click.secho(f"\n{self._chapter:2}. {title}", bold=True, err=True)

    def say(self, what: str) -> None:
        """Tell one thing that happened."""
        click.echo(f"    {what}", err=True)

    def table(self, rows: list[tuple[str, ...]]) -> None:
        """Print aligned rows; the first is the head."""
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        for n, row in enumerate(rows):
            cells = [
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            click.secho("    " + "  ".join(cells), bold=n == 0, err=True)


def amounts(by_currency: Mapping[str, Decimal]) -> str:
    """Return sums of several currencies as one phrase."""
    if not by_currency:
        return "0.00"
    return ", ".join(f"{currency} {total:,.2f}" for currency, total in sorted(by_currency.items()))
