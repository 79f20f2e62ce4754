"""`l2c mappings`: are the mapping files right, and does the org fit them."""

import sys
from pathlib import Path

import click

from connector.cli.files import make_folder
from connector.cli.printing import print_json
from connector.cli.session import Session
from connector.errors import Misconfigured


@click.group()
def mappings() -> None:
    """Check the mapping files."""


_FOLDER = click.Path(path_type=Path, exists=True)


@mappings.command()
@click.option("--offline", is_flag=True, help="Read the files only; ask no org.")
@click.option("--saved", is_flag=True, help="Against what the store keeps of the org.")
@click.option(
    "--describe", "file", type=_FOLDER, help="Against a saved describe, or a folder of them."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def check(
    session: Session, *, offline: bool, saved: bool, file: Path | None, as_json: bool
) -> None:
    """Hold every mapping file against hub and org; exit 1 when something does not fit."""
    from connector.sync.mapping.check import check_mappings
    from connector.sync.mapping.describes import load_describes, read_describes
    from connector.sync.mapping.findings import keep_findings
    from connector.sync.mapping.hub_side import check_hub
    from connector.sync.mapping.ways_in import unknown_ends

    app = session.app()
    is_live = not (offline or saved or file is not None)
    with app.store.read() as tx:
        found = check_hub(tx, app.mappings, flows=app.flows if is_live else None)
        kept = read_describes(tx, {one.object for one in app.mappings}) if saved else {}
    if file is not None:
        kept = load_describes(file)
    if saved or file is not None:
        known = {one.entity for one in app.mappings if one.object in kept}
        if not known:
            raise Misconfigured(
                "Nothing is known of the org's objects.",
                remedy="Make a describe with `l2c mappings describe --save FOLDER`.",
            )
        found += check_mappings(app.mappings, kept.__getitem__, only=known)
        for one in app.mappings:
            if one.object not in kept:
                click.echo(f"{one.object} was never described: not checked.", err=True)
            for path, object_name in unknown_ends(one, kept.get):
                said = (
                    f"{one.object}: {path} leads through {object_name}, which was never described"
                )
                click.echo(f"{said}: not followed further.", err=True)
    elif is_live:
        found += check_mappings(app.mappings, app.org.describe, query=app.org.query_all)
        with app.store.transaction() as tx:
            everything = {one.entity for one in app.mappings}
            keep_findings(tx, app.mappings, looked_at=everything, found=found)
    if as_json:
        print_json({"entities": len(app.mappings.all), "findings": list(found)})
    else:
        for finding in found:
            click.echo(str(finding))
        where = "checked" if found else "fit the hub" if offline else "fit the org"
        click.echo(f"{len(app.mappings.all)} mapping files {where}, {len(found)} findings.")
    sys.exit(1 if found else 0)


@mappings.command()
@click.argument("other", type=_FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def diff(session: Session, *, other: Path, as_json: bool) -> None:
    """Say how the mapping files in OTHER differ from those in use; exit 1 when they do."""
    from connector.sync.mapping.difference import differences
    from connector.sync.mapping.loading import load_mappings

    said = differences(session.app().mappings, load_mappings(other))
    if as_json:
        print_json({"differences": list(said)})
    else:
        for one in said:
            click.echo(one)
        click.echo(f"{len(said)} differences." if said else "They say the same.")
    sys.exit(1 if said else 0)


@mappings.command()
@click.option(
    "--save",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for the files, one an object.",
)
@click.pass_obj
def describe(session: Session, *, folder: Path) -> None:
    """Save what the org says of the mapped objects, for checks without it."""
    from connector.sync.mapping.describes import save_describes

    make_folder(folder)
    app = session.app()
    wanted = {one.object for one in app.mappings}
    saved = save_describes(folder, app.org, wanted)
    click.echo(f"{len(saved)} of {len(wanted)} objects saved in {folder}.")
    sys.exit(0 if len(saved) == len(wanted) else 1)
