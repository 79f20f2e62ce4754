"""`l2c doctor`: one screen of findings, each bad one with what to do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import click

from connector.billing.command_queue import waiting_commands
from connector.bootstrap import App
from connector.cli.billing import findings as billing_findings
from connector.cli.printing import print_json
from connector.cli.session import Session
from connector.errors import ConnectorError, Misconfigured
from connector.store.migrate import is_current
from connector.sync.mapping.findings import read_findings


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    is_good: bool
    said: str
    remedy: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def doctor(session: Session, *, as_json: bool) -> None:
    """Check configuration, store, org, change events, mappings, policies and what is stuck."""
    findings = list(_findings(session))
    bad = sum(not finding.is_good for finding in findings)
    if as_json:
        listed = [
            {"what": f.what, "ok": f.is_good, "said": f.said, "remedy": f.remedy} for f in findings
        ]
        print_json({"failed": bad, "findings": listed})
    else:
        for finding in findings:
            mark = (
                click.style("ok  ", fg="green")
                if finding.is_good
                else click.style("bad ", fg="red")
            )
            click.echo(f"  {mark} {finding.what:14} {finding.said}")
            if finding.remedy and not finding.is_good:
                click.echo(f"       {'':14} {finding.remedy}")
        click.echo(f"{bad} of {len(findings)} need attention." if bad else "All well.")
    if bad:
        raise click.exceptions.Exit(1)


def _findings(session: Session) -> Iterator[Finding]:
    yield _look("configuration", lambda: f"{len(type(session.settings).model_fields)} sections")
    try:
        app = session.app()
    except ConnectorError as error:
        yield Finding("store", False, error.message, error.remedy)
        return
    yield _look("store", lambda: _store(app))
    yield _look("mappings", lambda: f"{len(tuple(app.mappings))} entities")
    yield _fit(app)
    yield _look("org", lambda: f"organization {app.org.identity()} at {app.org.instance_url}")
    if app.settings.pubsub.enabled:
        yield _look("events", lambda: f"{', '.join(app.check_events())} can be heard")
    yield _look("policies", lambda: ", ".join(app.check_policies()))
    yield _look("taxes", lambda: "the catalogue's table" if app.taxes is None else "a provider")
    yield _look("billing", lambda: _billing(app))
    yield _stuck(app)


def _look(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except ConnectorError as error:
        return Finding(what, False, error.message, error.remedy)


def _fit(app: App) -> Finding:
    """Tell what the last look at hub and org found; `l2c mappings check` looks anew."""
    with app.store.read() as tx:
        found = read_findings(tx)
    halting = [one for one in found if one.halts]
    if not halting:
        return Finding("mapping check", True, f"nothing stands still, {len(found)} remarks")
    entities = ", ".join(sorted({one.entity for one in halting}))
    return Finding("mapping check", False, f"{entities}: {halting[0].problem}", halting[0].remedy)


def _store(app: App) -> str:
    return "up to date" if is_current(app.store) else "an upgrade is due"


def _billing(app: App) -> str:
    bad = billing_findings(app)
    if bad:
        listed = "; ".join(f"{one.system}: {one.message}" for one in bad)
        raise Misconfigured(listed, remedy="Details: l2c billing systems check.")
    with app.store.read() as tx:
        waiting = [one for one in waiting_commands(tx=tx) if one.commands]
    said = ", ".join(["built in", *(one.name for one in app.billing_definitions)])
    owed = "".join(
        f"; {one.commands} commands wait for {one.system} since {one.since:%Y-%m-%d %H:%M} UTC"
        for one in waiting
    )
    return said + owed


def _stuck(app: App) -> Finding:
    waiting = {what: count for what, count in app.work_waiting().items() if count}
    said = ", ".join(f"{count} {what}" for what, count in waiting.items()) or "nothing is waiting"
    return Finding("work", True, said)
