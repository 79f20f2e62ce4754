"""`l2c catalog`: what is sold and at which price, from files."""

from pathlib import Path

import click

from connector.catalog.files import read_catalog
from connector.cli.printing import print_json
from connector.cli.session import Session

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.group()
def catalog() -> None:
    """Load products, prices and rate decks."""


@catalog.command()
@click.argument("folder", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def load(session: Session, *, folder: Path, as_json: bool) -> None:
    """Load every YAML file of a folder; the same files again change nothing."""
    report = session.app().load_catalog(folder)
    if as_json:
        print_json(report.as_dict())
        return
    if report.was_loaded_before:
        click.echo("These files are loaded already; nothing changed.")
        return
    click.echo(
        f"Loaded: {report.brands} brands and {report.products} products new or changed, "
        f"{report.prices_opened} prices opened and {report.prices_closed} closed, "
        f"{report.deck_versions} deck versions with {report.rates:,} rates, "
        f"{report.plans} meter prices and allowances, {report.taxes} tax rates."
    )


@catalog.command()
@click.argument("folder", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(*, folder: Path, as_json: bool) -> None:
    """Read the files of a folder and say what is wrong, without a store."""
    files = read_catalog(folder)
    found = {
        "brands": len(files.brands),
        "products": len(files.products),
        "prices": sum(len(product.prices) for product in files.products),
        "decks": len(files.decks),
        "rates": sum(len(deck.rates) for deck in files.decks),
        "rate_plans": len(files.plans),
        "taxes": len(files.taxes),
    }
    if as_json:
        print_json(found)
    else:
        click.echo("The files are fine: " + ", ".join(f"{n:,} {name}" for name, n in found.items()))
