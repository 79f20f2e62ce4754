"""`l2c sync`: bring both sides together, and see how they stand."""

import sys
from typing import TYPE_CHECKING

import click

from connector.cli.budget_words import show_budget
from connector.cli.dead_letters import dead_letters
from connector.cli.printing import print_json
from connector.cli.session import Session

if TYPE_CHECKING:
    from connector.sync.push.run import PushReport
    from connector.sync.reconcile.compare import EntityReport
    from connector.sync.status import SyncStatus

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def sync() -> None:
    """Pull from, push to and compare with the CRM."""


@sync.command()
@click.option("--retry", is_flag=True, help="Try parked asks and refused records again, too.")
@_JSON
@click.pass_obj
def pull(session: Session, *, retry: bool, as_json: bool) -> None:
    """Ask the CRM for every change and carry out what it asks for; exit 1 on problems."""
    from connector.sync.apply.intents import retry_parked
    from connector.sync.inbox.store import retry_failed

    app = session.app()
    if retry:
        with app.store.transaction() as tx:
            retry_failed(tx)
            retry_parked(tx=tx)
    swept = app.sweep()
    applied = app.apply_inbox()
    problems = [*([swept.held] if swept.held else []), *swept.refused.values(), *applied.problems]
    if as_json:
        print_json({"sweep": swept, "apply": applied})
    else:
        click.echo(
            f"{swept.stored_total} changed records found in {swept.calls} API calls; "
            f"{applied.changed} changed the hub, {applied.asked} asked for an act."
        )
        for problem in problems:
            click.echo(problem)
    sys.exit(1 if problems else 0)


@sync.command()
@_JSON
@click.pass_obj
def push(session: Session, *, as_json: bool) -> None:
    """Send everything the CRM is owed; exit 1 when something could not go."""
    from connector.sync.push.run import push_until_quiet

    app = session.app()
    report = push_until_quiet(
        store=app.store, org=app.org, mappings=app.mappings, now=app.clock.now(), patience_s=30
    )
    if as_json:
        print_json(report)
    else:
        _show_push(report)
    sys.exit(1 if report.dead or report.halts or report.interrupted or report.is_busy else 0)


def _show_push(report: "PushReport") -> None:
    click.echo(
        f"{report.written} records written ({report.created} new), {report.unchanged} needed "
        f"nothing, {report.api_calls} API calls."
    )
    if report.waiting:
        click.echo(f"{report.waiting} wait for a record they belong to.")
    if report.dead:
        click.echo(f"{report.dead} refused: see `l2c sync dead-letters list`.")
    for halt in report.halts:
        click.echo(f"{halt.object} stands still: {halt.code}: {halt.message}\n  {halt.remedy}")
    if report.interrupted:
        click.echo(f"Stopped before the end: {report.interrupted}")
    if report.is_busy:
        click.echo("Another process is pushing at this moment.")


@sync.command()
@click.option("--repair", is_flag=True, help="Send again what is missing or differs in the CRM.")
@_JSON
@click.pass_obj
def reconcile(session: Session, *, repair: bool, as_json: bool) -> None:
    """Compare both sides in full; exit 1 when they differ."""
    from connector.sync.push.run import push_until_quiet
    from connector.sync.reconcile.compare import reconcile as compare

    app = session.app()
    report = compare(
        store=app.store, org=app.org, mappings=app.mappings, now=app.clock.now(), repair=repair
    )
    if report.repaired:
        push_until_quiet(
            store=app.store, org=app.org, mappings=app.mappings, now=app.clock.now(), patience_s=30
        )
    if as_json:
        print_json(report)
    else:
        for entity in report.entities:
            _show_entity(entity)
        click.echo(
            f"Drift: {report.drift}."
            + (f" {report.repaired} records sent again." if report.repaired else "")
        )
    sys.exit(1 if report.drift > report.repaired else 0)


def _show_entity(entity: "EntityReport") -> None:
    line = f"{entity.object:26} hub {entity.hub_rows:8}  CRM {entity.crm_rows:8}"
    if entity.pending:
        line += f"  {entity.pending} pending"
    if entity.drift:
        line += (
            f"  {entity.missing} missing, {entity.extra} extra, {entity.differing} different"
            f" ({', '.join(entity.fields)})"
        )
    click.echo(line)
    for total in entity.sums:
        sign = "=" if total.hub == total.crm else "≠"
        click.echo(f"{'':26} {total.currency} {total.hub} {sign} {total.crm}")


@sync.command()
@_JSON
@click.pass_obj
def status(session: Session, *, as_json: bool) -> None:
    """Say what is owed, what failed and why, what waits for a person."""
    from connector.sync.budget.lanes import shares_of
    from connector.sync.status import sync_status

    app = session.app()
    with app.store.read() as tx:
        standing = sync_status(tx=tx, shares=shares_of(app.settings.sync.budget))
    if as_json:
        print_json(standing)
    else:
        _show_status(standing)


def _show_status(standing: "SyncStatus") -> None:
    if standing.is_quiet:
        click.echo("Both sides are in step: nothing owed, nothing failed, nothing waiting.")
    for entity, count in standing.owed.items():
        click.echo(f"{count} of {entity} are owed to the CRM.")
    for trouble in standing.trouble:
        click.echo(
            f"{trouble.records} of {trouble.entity} refused: {trouble.code}: {trouble.example}\n"
            f"  {trouble.remedy}"
        )
    for parked in standing.parked:
        click.echo(f"{parked.object} {parked.sfid} waits: {parked.reason}\n  {parked.remedy}")
    for state in ("pending", "failed"):
        if standing.inbox.get(state):
            click.echo(f"{standing.inbox[state]} incoming envelopes are {state}.")
    for finding in standing.mapping_findings:
        click.echo(str(finding))
    show_budget(standing.budget)
    if standing.reconciled_at:
        click.echo(f"Last comparison {standing.reconciled_at:%Y-%m-%d %H:%M}: {standing.drift}.")


sync.add_command(dead_letters)
