"""`l2c billing`: your own billing systems, read and told through their databases."""

import sys
from dataclasses import dataclass

import click

from connector.bootstrap import App
from connector.cli.printing import print_json, table
from connector.cli.session import Session
from connector.errors import ConnectorError
from connector.parties.billing_accounts import BUILT_IN

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@dataclass(frozen=True, slots=True)
class SystemFinding:
    """Something of a billing system that does not fit."""

    system: str
    message: str


@click.group()
def billing() -> None:
    """Your own billing systems: check and pull."""


@billing.group()
def systems() -> None:
    """List, check and pull the billing systems that are not built in."""


@systems.command("list")
@_JSON
@click.pass_obj
def list_(session: Session, *, as_json: bool) -> None:
    """List the systems with what waits for them and what they said."""
    from connector.billing.command_queue import waiting_commands
    from connector.billing.fact_store import fact_counts

    app = session.app()
    with app.store.read() as tx:
        waiting = {one.system: one for one in waiting_commands(tx=tx)}
        counts = fact_counts(tx=tx)
    rows = [
        {
            "system": one.name,
            "about": one.about,
            "file": str(one.file),
            "has_address": one.name in app.billing_systems,
            "commands_waiting": waiting[one.name].commands if one.name in waiting else 0,
            "facts": sum(n for (system, _, _), n in counts.items() if system == one.name),
            "held": sum(
                n
                for (system, _, state), n in counts.items()
                if system == one.name and state in ("held", "broken")
            ),
        }
        for one in app.billing_definitions
    ]
    if as_json:
        print_json({"systems": rows})
        return
    heads = ("System", "About", "Address", "Commands waiting", "Facts", "Held")
    click.echo(
        table(
            heads,
            [
                (
                    row["system"],
                    row["about"],
                    "yes" if row["has_address"] else "missing",
                    row["commands_waiting"],
                    row["facts"],
                    row["held"],
                )
                for row in rows
            ],
        )
    )


@systems.command()
@_JSON
@click.pass_obj
def check(session: Session, *, as_json: bool) -> None:
    """Hold the mapping files against the databases; exit 1 when something does not fit."""
    app = session.app()
    found = findings(app)
    if as_json:
        print_json({"systems": len(app.billing_definitions), "findings": found})
    else:
        for finding in found:
            click.echo(f"{finding.system}: {finding.message}")
        click.echo(f"{len(app.billing_definitions)} systems checked, {len(found)} findings.")
    sys.exit(1 if found else 0)


@systems.command()
@click.argument("name", required=False)
@click.option("--all", "from_start", is_flag=True, help="Read everything again, not only changes.")
@_JSON
@click.pass_obj
def pull(session: Session, *, name: str | None, from_start: bool, as_json: bool) -> None:
    """Deliver commands and take in facts, of one system or of all; exit 1 when one failed."""
    reports = session.app().pull_billing(only=name, from_start=from_start)
    if as_json:
        print_json({"systems": reports})
    else:
        for report in reports:
            if report.error or report.is_busy:
                click.echo(f"{report.system}: {report.error or 'another pull is going on.'}")
                continue
            click.echo(f"{report.system}: {report.delivered} commands delivered.")
            click.echo(
                table(
                    ("Stream", "Read", "Changed", "Gone", "Written", "Held"),
                    [
                        (one.stream, one.read, one.changed, one.gone, one.applied, one.held)
                        for one in report.streams
                    ],
                )
            )
            for warning in report.warnings:
                click.echo(warning)
    sys.exit(1 if any(report.error for report in reports) else 0)


@systems.command()
@click.argument("name", required=False)
@_JSON
@click.pass_obj
def held(session: Session, *, name: str | None, as_json: bool) -> None:
    """List the facts that are not in the hub, each with its reason."""
    from connector.billing.fact_store import held_facts

    with session.app().store.read() as tx:
        facts = held_facts(tx=tx, system=name)
    if as_json:
        print_json({"held": facts})
        return
    for one in facts:
        click.echo(f"{one.system} {one.stream} {one.key}: {one.reason}")
    click.echo(f"{len(facts)} facts held.")


def findings(app: App) -> list[SystemFinding]:
    """Return what of the foreign billing systems does not fit; asks every database."""
    known = {one.name for one in app.billing_definitions}
    found = [
        SystemFinding(name, f"there is no mapping file {name}.yaml for its address")
        for name in sorted(set(app.settings.billing.systems) - known)
    ]
    found += [
        SystemFinding(name, f"it has no address; set billing.systems.{name}")
        for name in sorted(known - set(app.billing_systems))
    ]
    found += [
        SystemFinding(name, "policies/billing_routing.yaml names it, and no mapping file does")
        for name in sorted(app.rules.routing.systems() - known - {BUILT_IN})
    ]
    for name, system in app.billing_systems.items():
        try:
            found += [SystemFinding(name, problem) for problem in system.problems()]
        except ConnectorError as error:
            found.append(SystemFinding(name, str(error)))
    return found
