"""`l2c estimate`: what a basket would cost, and which of several schemes is cheapest."""

from pathlib import Path
from typing import Any

import click

from connector.cli.printing import print_json, table
from connector.simulation.estimate import Estimate
from connector.simulation.estimate import estimate as estimate_of
from connector.simulation.outcome import plain
from connector.simulation.read import read_model


@click.command()
@click.argument("basket", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def estimate(*, basket: Path, as_json: bool) -> None:
    """Show what a basket costs now, on the next invoice, a month and over its term.

    Nothing is stored. Several schemes are laid side by side. See docs/how-to/estimate.md.
    """
    asked, _ = read_model(basket, Estimate)
    shown = estimate_of(asked)
    if as_json:
        print_json(plain(shown))
    elif "schemes" in shown:
        click.echo(_schemes(shown))
    else:
        click.echo(_basket(shown))


def _basket(shown: dict[str, Any]) -> str:
    due, following = shown["due_now"], shown["next_invoice"]
    rows: list[tuple[object, ...]] = [
        (f"Due now, invoiced on {due['invoiced_on']}", due["amount"], due["tax"])
    ]
    if following:
        tax = following["total"] - following["subtotal"]
        rows.append((f"Next invoice, of {following['date']}", following["subtotal"], tax))
    rows.append(("A month", shown["monthly"], ""))
    rows.append((f"Over {shown['term_months']} months", shown["total"], ""))
    head = ("An estimate, no invoice", shown["currency"], "Tax")
    return table(head, rows)


def _schemes(shown: dict[str, Any]) -> str:
    months = [str(one) for one in shown["horizons"]]
    rows = [
        (
            row["scheme"],
            row["due_now"]["amount"],
            row["monthly"],
            *(row["totals"][one] for one in months),
            "cheapest" if row["is_cheapest"] else "",
        )
        for row in shown["schemes"]
    ]
    head = (f"Scheme, {shown['currency']}", "Due now", "A month")
    return table((*head, *(f"{one} months" for one in months), ""), rows)
