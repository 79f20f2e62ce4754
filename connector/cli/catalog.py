"""`l2c catalog`: what is sold and at which price, from files."""

from datetime import datetime
from pathlib import Path

import click

from connector.catalog.coherence import incoherences
from connector.catalog.files import inspect_catalog
from connector.catalog.source import BadFile
from connector.cli.printing import print_json, table
from connector.cli.session import Session
from connector.errors import InvalidInput
from connector.flows.rehearsal import Rehearsed

FILES = click.Path(path_type=Path, exists=True)
FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


class NothingToRehearse(InvalidInput):
    """No product that is asked for has a price with which something begins."""

    code = "cli.nothing_to_rehearse"
    remedy = "Name products of the folder with a price for NEW, WIDGET or SERVICE_REQUEST."


@click.group()
def catalog() -> None:
    """Check, compare, rehearse and load products, prices, discounts and rate decks."""


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
        f"{report.plans} prices and allowances of usage, {report.taxes} tax rates, "
        f"{report.bundles} bundles, {report.discounts} discounts, "
        f"{report.vendor_rules} vendor rules."
    )


@catalog.command()
@click.argument("files", type=FILES, nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(*, files: tuple[Path, ...], as_json: bool) -> int:
    """Read FILES, or the YAML files of folders, and say all that is wrong, without a store.

    That is what each file has wrong, names that no file has (once all of them can be read), and
    dates that clash. Give all files that belong together. Each finding has its file, its line and
    what to do. Exit code 2 when there is one.
    """
    read, unreadable = inspect_catalog(files)
    findings = (*unreadable, *incoherences(read, is_whole=not unreadable))
    counts = {
        "brands": len(read.brands),
        "products": len(read.products),
        "prices": sum(len(product.prices) for product in read.products),
        "decks": len(read.decks),
        "rates": sum(len(deck.rates) for deck in read.decks),
        "rate_plans": len(read.plans),
        "taxes": len(read.taxes),
        "discounts": len(read.discounts),
        "vendor_rules": len(read.vendor_rules),
        "fx_rates": len(read.fx_rates),
    }
    if as_json:
        print_json(counts | {"findings": [_finding(one) for one in findings]})
    elif findings:
        for one in findings:
            click.echo(one.message)
            if one.remedy:
                click.echo(f"  what to do: {one.remedy}")
        click.echo(f"{len(findings)} findings; nothing of this can be loaded.")
    else:
        click.echo(
            "The files are fine: " + ", ".join(f"{n:,} {what}" for what, n in counts.items())
        )
    return 2 if findings else 0


def _finding(one: BadFile) -> dict[str, object]:
    return {
        "file": str(one.path),
        "line": one.line,
        "problem": one.problem,
        "remedy": one.remedy or "",
    }


@catalog.command()
@click.argument("folder", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def diff(session: Session, *, folder: Path, as_json: bool) -> int:
    """Say what loading FOLDER would change, and from which day; exit code 1 when it would."""
    found = session.app().catalog_differences(folder)
    if as_json:
        print_json({"differences": [one.as_dict() for one in found]})
    else:
        for one in found:
            click.echo(str(one))
        click.echo(f"{len(found)} differences." if found else "Loading would change nothing.")
    return 1 if found else 0


@catalog.command()
@click.argument("folder", type=FOLDER)
@click.option("--product", "products", multiple=True, help="Only this product (its key).")
@click.option("--country", default="DE", show_default=True, help="Where the customer is.")
@click.option("--on", type=click.DateTime(["%Y-%m-%d"]), help="The day of the sale; today.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def rehearse(
    session: Session,
    *,
    folder: Path,
    products: tuple[str, ...],
    country: str,
    on: datetime | None,
    as_json: bool,
) -> int:
    """Sell, deliver and bill the products of FOLDER once, and take all of it back.

    Every price for NEW, WIDGET and SERVICE_REQUEST goes through a deal, its work orders and its
    first invoice, by the code that does so later; nothing is kept, the files are not loaded.
    Exit code 1 when one cannot be sold, delivered or billed.
    """
    tried = session.app().rehearse_catalog(
        folder, products=products, country=country, on=on.date() if on else None
    )
    if not tried:
        raise NothingToRehearse(f"Nothing in {folder} can be rehearsed.")
    failed = sum(one.problem is not None for one in tried)
    if as_json:
        print_json({"tried": tried, "failed": failed})
        return 1 if failed else 0
    head = ("Product", "Request", "Term", "", "A month", "Once", "Tasks", "By people", "Invoice",
            "Net", "Total", "ms")  # fmt: skip
    click.echo(table(head, [_tried(one) for one in tried]))
    for one in tried:
        if one.problem is not None:
            click.echo(f"{one.product}, {one.request_type}, {one.term_months}: {one.problem}")
    took_s = sum(one.took_s for one in tried)
    click.echo(
        f"{len(tried)} prices sold, delivered and billed in {took_s:.2f} s; {failed} cannot be. "
        "Nothing was kept."
    )
    return 1 if failed else 0


def _tried(one: Rehearsed) -> tuple[object, ...]:
    return (
        one.product,
        one.request_type,
        one.term_months,
        one.currency,
        one.monthly,
        one.once,
        one.tasks,
        one.tasks_of_people,
        one.invoice_on or "",
        one.subtotal,
        one.total,
        round(one.took_s * 1000),
    )
