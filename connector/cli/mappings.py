"""`l2c mappings`: are the mapping files right, and does the org fit them."""

import sys

import click

from connector.cli.printing import print_json
from connector.cli.session import Session


@click.group()
def mappings() -> None:
    """Check the mapping files."""


@mappings.command()
@click.option("--offline", is_flag=True, help="Read the files only; ask no org.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def check(session: Session, *, offline: bool, as_json: bool) -> None:
    """Hold every mapping file against the org; exit 1 when something does not fit."""
    from connector.sync.mapping.check import check_mappings

    app = session.app()
    found = () if offline else check_mappings(app.mappings, app.org.describe)
    if as_json:
        print_json({"entities": len(app.mappings.all), "findings": list(found)})
    else:
        for finding in found:
            click.echo(str(finding))
        where = "read" if offline else "fit the org" if not found else "checked"
        click.echo(f"{len(app.mappings.all)} mapping files {where}, {len(found)} findings.")
    sys.exit(1 if found else 0)
