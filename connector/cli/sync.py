"""`l2c sync`: bring both sides together, and see how they stand."""

import sys
from typing import TYPE_CHECKING

import click

from connector.cli.budget_words import show_budget
from connector.cli.conflicts import conflicts, explain
from connector.cli.dead_letters import dead_letters
from connector.cli.duplicates import duplicates
from connector.cli.full_load import show_full_load
from connector.cli.merges import merges
from connector.cli.preview import show_preview, show_shadow
from connector.cli.printing import print_json
from connector.cli.reconcile import reconcile
from connector.cli.session import Session

if TYPE_CHECKING:
    from connector.sync.capture.event_topics import TopicStanding
    from connector.sync.push.run import PushReport
    from connector.sync.status import SyncStatus

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group()
def sync() -> None:
    """Pull from, push to and compare with the CRM."""


sync.add_command(conflicts)
sync.add_command(explain)
sync.add_command(merges)


@sync.command()
@click.option("--retry", is_flag=True, help="Try parked asks and refused records again, too.")
@click.option("--full", is_flag=True, help="Take everything by Bulk API snapshots (first load).")
@click.argument("objects", nargs=-1, metavar="[OBJECT]...")
@_JSON
@click.pass_obj
def pull(
    session: Session, *, retry: bool, full: bool, objects: tuple[str, ...], as_json: bool
) -> None:
    """Ask the CRM for every change and carry out what it asks for; exit 1 on problems.

    With --full, all records of the objects the mappings pull, or of those named. A load that was
    broken off goes on where it stopped.
    """
    from connector.sync.apply.intents import retry_parked
    from connector.sync.inbox.store import retry_failed

    if objects and not full:
        raise click.UsageError("Objects are named together with --full.")
    app = session.app()
    if retry:
        with app.store.transaction() as tx:
            retry_failed(tx)
            retry_parked(tx=tx)
    if full:
        show_full_load(app, objects, as_json=as_json)
        return
    swept = app.sweep()
    applied = app.apply_inbox()
    refused = [f"{name}: {why}" for name, why in swept.refused.items()]
    problems = [*([swept.held] if swept.held else []), *refused, *applied.problems]
    if applied.postponed:
        problems.append(
            f"{applied.postponed} of what came in could not be read again and waits: see "
            "`l2c sync status`."
        )
    if as_json:
        print_json({"sweep": swept, "apply": applied})
    else:
        click.echo(
            f"{swept.stored_total} changed records found in {swept.calls} API calls; "
            f"{applied.changed} changed the hub, {applied.asked} asked for an act."
        )
        if applied.repaired or applied.accepted or applied.conflicts:
            click.echo(
                f"Fields of the hub that were changed in the CRM: {applied.repaired} to be sent "
                f"again, {applied.accepted} taken over, {applied.conflicts} left to you (see "
                "`l2c sync conflicts list`)."
            )
        if applied.deleted or applied.made_again or applied.restored or applied.merged:
            click.echo(
                f"Gone in the CRM: {applied.deleted} kept here, {applied.made_again} to be made "
                f"again; {applied.restored} came back, {applied.merged} were merged."
            )
        for line in (*swept.notes, *problems):
            click.echo(line)
        if applied.is_busy:
            click.echo("Another process is applying at this moment; it takes these along.")
    sys.exit(1 if problems else 0)


@sync.command()
@click.option("--dry-run", is_flag=True, help="Show what would be sent, send nothing.")
@click.option(
    "--show",
    type=click.IntRange(0, 100_000),
    default=100,
    show_default=True,
    help="How many records a dry run shows with their fields.",
)
@_JSON
@click.pass_obj
def push(session: Session, *, dry_run: bool, show: int, as_json: bool) -> None:
    """Send everything the CRM is owed; exit 1 when something could not go.

    In shadow mode (sync.shadow) this is a dry run always.
    """
    app = session.app()
    if dry_run or app.settings.sync.shadow:
        show_preview(app, show=show, as_json=as_json)
        return
    report = app.push_by_hand()
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
@_JSON
@click.pass_obj
def status(session: Session, *, as_json: bool) -> None:
    """Say what is owed, what failed and why, what waits for a person."""
    from connector.sync.budget.lanes import shares_of
    from connector.sync.status import sync_status

    app = session.app()
    is_shadow = app.settings.sync.shadow
    with app.store.read() as tx:
        standing = sync_status(
            tx=tx, shares=shares_of(app.settings.sync.budget), is_shadow=is_shadow
        )
    if as_json:
        print_json(standing)
        return
    if is_shadow:
        show_shadow(standing.shadow)
    _show_status(standing)


def _show_status(standing: "SyncStatus") -> None:
    if standing.is_quiet:
        click.echo("Both sides are in step: nothing owed, nothing failed, nothing waiting.")
    for entity, count in standing.owed.items():
        click.echo(f"{count} of {entity} are owed to the CRM.")
    for trouble in standing.trouble:
        click.echo(
            f"{trouble.records} of {trouble.entity} "
            f"{'in conflict' if trouble.code == 'sync.conflict' else 'refused'}: "
            f"{trouble.code}: {trouble.example}\n"
            f"  {trouble.remedy}"
        )
    for parked in standing.parked:
        click.echo(f"{parked.object} {parked.sfid} waits: {parked.reason}\n  {parked.remedy}")
    for entity, count in standing.deleted_in_crm.items():
        click.echo(f"{count} of {entity} were deleted in the CRM.")
    for state in ("pending", "failed"):
        if standing.inbox.get(state):
            click.echo(f"{standing.inbox[state]} of what came in: {state}.")
    for stuck in standing.stuck:
        click.echo(f"  {stuck.source} {stuck.id} ({stuck.state}): {stuck.error}")
    if standing.inbox.get("failed"):
        click.echo("  Mend the cause, then: l2c sync pull --retry")
    for topic in standing.topics:
        _show_topic(topic)
    for object_name, reason in standing.owed_sweeps.items():
        click.echo(f"{object_name} will be read again: {reason}.")
    for finding in standing.mapping_findings:
        click.echo(str(finding))
    show_budget(standing.budget)
    if standing.reconciled_at:
        when = f"{standing.reconciled_at:%Y-%m-%d %H:%M}"
        click.echo(f"Last comparison {when}: {standing.drift} differences.")


def _show_topic(topic: "TopicStanding") -> None:
    line = f"{topic.topic}: {'connected' if topic.is_connected else 'not connected'}"
    if topic.last_event_at is not None:
        line += f", last event {topic.last_event_at:%Y-%m-%d %H:%M:%S} after {topic.delay_s} s"
    if topic.replay_id is not None:
        line += f", replay id {topic.replay_id}"
    click.echo(line + (f"\n  {topic.problem}" if topic.problem else ""))


sync.add_command(dead_letters)
sync.add_command(duplicates)
sync.add_command(reconcile)
