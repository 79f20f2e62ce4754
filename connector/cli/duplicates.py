"""`l2c sync duplicates`: records of ours that another one in the CRM stands in the way of."""

import click

from connector.cli.naming import STORE_ID
from connector.cli.printing import print_json
from connector.cli.session import Session

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def duplicates() -> None:
    """List the merge tickets, and say which record counts."""


@duplicates.command("list")
@_JSON
@click.pass_obj
def list_(session: Session, *, as_json: bool) -> None:
    """List the open tickets, the newest first."""
    from connector.sync.push.duplicates import tickets

    with session.app().store.read() as tx:
        found = tickets(tx=tx)
    if as_json:
        print_json({"tickets": list(found)})
        return
    for one in found:
        click.echo(
            f"{one.id}: {one.entity} {one.hub_id} and {one.object} {one.other_sfid}: {one.message}"
        )
    click.echo(f"{len(found)} merge tickets.")


@duplicates.command()
@click.argument("ticket_id", type=STORE_ID)
@_JSON
@click.pass_obj
def adopt(session: Session, *, ticket_id: int, as_json: bool) -> None:
    """Make the CRM's record the one of ours; the next push fills it."""
    from connector.sync.push.duplicates import adopt as make_ours

    app = session.app()
    done = make_ours(
        store=app.store,
        org=app.org,
        mappings=app.mappings,
        ticket_id=ticket_id,
        now=app.clock.now(),
    )
    if as_json:
        print_json(done)
    else:
        click.echo(f"{done.object} {done.other_sfid} is {done.entity} {done.hub_id} from now on.")
