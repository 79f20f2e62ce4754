"""`l2c sync pull --full`: everything the mappings pull, and what became of it."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from connector.cli.printing import print_json

if TYPE_CHECKING:
    from connector.bootstrap import App


def show_full_load(app: "App", objects: Sequence[str], *, as_json: bool) -> None:
    """Load, apply what came and say how much; exit 1 on problems."""
    loaded = app.load_fully(objects)
    applied = app.apply_inbox()
    refused = [f"{name}: {why}" for name, why in loaded.refused.items()]
    problems = [*refused, *applied.problems]
    if as_json:
        print_json({"load": loaded, "apply": applied})
    else:
        for name, count in loaded.seen.items():
            again = " (went on where it had stopped)" if name in loaded.resumed else ""
            fresh = loaded.entered[name] + loaded.stored[name]
            click.echo(f"{name:26} {count:10} records, {fresh} new here{again}")
        changed = sum(loaded.entered.values()) + applied.changed
        click.echo(f"{loaded.calls} API calls; {changed} rows of the hub changed.")
        for problem in problems:
            click.echo(problem)
        if applied.is_busy:
            click.echo("Another process is applying at this moment; it takes the rest along.")
    sys.exit(1 if problems else 0)
