"""`l2c sync merges`: merges of customers in the CRM that wait for a person."""

import click

from connector.cli.printing import print_json
from connector.cli.session import Session

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def merges() -> None:
    """Decide merges of two billed customers."""


@merges.command("list")
@_JSON
@click.pass_obj
def list_merges(session: Session, *, as_json: bool) -> None:
    """List the merges in the CRM that the hub has not followed yet, and why."""
    from connector.sync.apply.merges import open_merges

    with session.app().store.read() as tx:
        waiting = open_merges(tx=tx)
    if as_json:
        print_json({"merges": list(waiting)})
        return
    for one in waiting:
        click.echo(f"{one.sfid} into {one.master} ({one.state}): {one.reason}\n  {one.remedy}")
    click.echo(f"{len(waiting)} merges wait.")


@merges.command()
@click.argument("loser")
@click.option(
    "--keep",
    type=click.Choice(["master", "loser"]),
    required=True,
    help="Whose billing account takes new deals; the other bills on what it bills now.",
)
@_JSON
@click.pass_obj
def decide(session: Session, *, loser: str, keep: str, as_json: bool) -> None:
    """Choose whose billing account leads after the account LOSER was merged away.

    Everything of the loser moves to the master: services, orders, billing accounts with their
    invoices. Exit 1 while the merge still waits.
    """
    from connector.adapters.salesforce.ids import to_18
    from connector.parties.merging import Keep
    from connector.sync.apply.merges import open_merges

    app = session.app()
    app.decide_merge(loser, Keep(keep))
    with app.store.read() as tx:
        waiting = [one for one in open_merges(tx=tx) if one.sfid == to_18(loser)]
    if as_json:
        print_json({"loser": to_18(loser), "keep": keep, "is_followed": not waiting})
    elif waiting:
        click.echo(f"It still waits: {waiting[0].reason}\n  {waiting[0].remedy}")
    else:
        click.echo("The hub has followed the merge.")
    raise click.exceptions.Exit(1 if waiting else 0)
