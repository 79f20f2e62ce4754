"""`l2c sync conflicts` and `l2c sync explain`: what both sides say differently, and why."""

from typing import TYPE_CHECKING, Any

import click

from connector.cli.naming import STORE_ID, refuse_unknown
from connector.cli.printing import print_json, table
from connector.cli.session import Session

if TYPE_CHECKING:
    from connector.sync.apply.conflicts import Conflict, Side
    from connector.sync.explain import Explanation, FieldTrail

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def conflicts() -> None:
    """List, show and decide what both sides say differently."""


@conflicts.command("list")
@click.option("--entity", default=None, help="Only this entity, such as service.")
@click.option("--all", "with_decided", is_flag=True, help="Those that are over, too.")
@_JSON
@click.pass_obj
def list_(session: Session, *, entity: str | None, with_decided: bool, as_json: bool) -> None:
    """List open conflicts, the newest first."""
    from connector.sync.apply import conflicts as inbox

    app = session.app()
    with app.store.read() as tx:
        found = inbox.conflicts(tx=tx, entity=entity, with_decided=with_decided)
    if not found:
        refuse_unknown(app.mappings, entity)
    if as_json:
        print_json({"conflicts": list(found)})
        return
    for one in found:
        click.echo(_line(one))
    if not found:
        click.echo("No conflicts.")


@conflicts.command()
@click.argument("conflict_id", type=STORE_ID)
@_JSON
@click.pass_obj
def show(session: Session, *, conflict_id: int, as_json: bool) -> None:
    """Show one conflict with the values of both sides."""
    from connector.sync.apply.conflicts import conflict_of

    with session.app().store.transaction() as tx:
        found = conflict_of(tx=tx, conflict_id=conflict_id)
    if as_json:
        print_json(found)
    else:
        _show(found)


@conflicts.command()
@click.argument("conflict_id", type=STORE_ID)
@click.option(
    "--take",
    type=click.Choice(["theirs", "ours"]),
    required=True,
    help="theirs: the hub takes the CRM's value; ours: the CRM gets the hub's again.",
)
@click.option("--by", envvar="USER", default="unknown", help="Who decides; default the user.")
@_JSON
@click.pass_obj
def decide(session: Session, *, conflict_id: int, take: "Side", by: str, as_json: bool) -> None:
    """End a conflict; the next push tells the CRM."""
    from connector.sync.apply.conflicts import decide as end

    app = session.app()
    with app.store.transaction() as tx:
        found = end(tx=tx, mappings=app.mappings, conflict_id=conflict_id, take=take, decided_by=by)
    if as_json:
        print_json(found)
    else:
        click.echo(f"Conflict {found.id} is over: {found.object}.{found.field} is {take}.")


def _line(one: "Conflict") -> str:
    over = f" {one.decision} by {one.decided_by}" if one.decision else ""
    return (
        f"{one.id}: {one.object} {one.sfid} {one.field}: {_word(one.theirs)} there, "
        f"{_word(one.ours)} here{' (undone again and again)' if one.kind == 'loop' else ''}{over}"
    )


def _show(one: "Conflict") -> None:
    click.echo(_line(one))
    click.echo(f"  before       {_word(one.agreed)}")
    click.echo(f"  in the CRM   {_word(one.theirs)} (seen {one.seen_at:%Y-%m-%d %H:%M:%S} UTC)")
    click.echo(f"  in the hub   {_word(one.ours)} ({one.entity} {one.hub_id})")
    if one.kind == "loop":
        click.echo("  Something in the CRM undoes our value: correct it there, then --take ours.")
    if one.decision is None:
        click.echo(f"  Decide: l2c sync conflicts decide {one.id} --take theirs|ours")


@click.command()
@click.argument("name", metavar="OBJECT")
@click.argument("identifier", metavar="ID")
@_JSON
@click.pass_obj
def explain(session: Session, *, name: str, identifier: str, as_json: bool) -> None:
    """Tell of one record every value, its owner, where it came from, when, by which line.

    OBJECT is an object or an entity, ID a Salesforce id, the hub's id or the key.
    """
    from connector.sync.explain import explain_record

    app = session.app()
    with app.store.read() as tx:
        found = explain_record(tx=tx, mappings=app.mappings, name=name, identifier=identifier)
    if as_json:
        print_json(found)
    else:
        _tell(found)


def _tell(found: "Explanation") -> None:
    click.echo(
        f"{found.object} {found.sfid or '(not in the CRM)'} is {found.entity} {found.hub_id}, born "
        f"in the {'hub' if found.born == 'hub' else 'CRM'}: {found.status}."
    )
    if found.merged_into:
        click.echo(f"  In the CRM it was merged into {found.merged_into}.")
    elif found.error:
        click.echo(f"  {found.error}\n  {found.remedy or ''}".rstrip())
    if found.queue:
        click.echo(f"  In the push queue: {found.queue}, {found.ahead} records before it.")
    for ask in found.asks:
        click.echo(f"  Asked for {ask.flow}: {ask.state}. {ask.reason or ''}".rstrip())
    head = ("field", "owner", "hub", "CRM", "from", "at", "if edited", "line")
    click.echo(table(head, [_row(trail) for trail in found.fields]))
    for one in found.conflicts:
        click.echo(_line(one))


def _row(trail: "FieldTrail") -> tuple[object, ...]:
    return (
        f"{'→' if trail.direction == 'out' else '←'} {trail.field}",
        trail.owner,
        _word(trail.hub),
        ("≠ " if trail.differs else "") + _word(trail.crm),
        trail.source or "never",
        (trail.at or "")[:19],
        f"conflict {trail.conflict}" if trail.conflict else trail.on_foreign_edit or "",
        f"{trail.file.rpartition('/')[2]}:{trail.line}",
    )


def _word(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if len(str(value)) <= 40 else f"{str(value)[:39]}…"
