"""`l2c org`: look at the Salesforce org this connector talks to, or any other; act in it."""

from collections import Counter
from typing import Any

import click

from connector.cli.printing import print_json
from connector.cli.session import Session
from connector.errors import Misconfigured


@click.group()
def org() -> None:
    """Look at an org: what it answers, what it has."""


def _connection(command: Any) -> Any:
    for option in (
        click.option("--client-secret", envvar="L2C_ORG_CLIENT_SECRET", help="Consumer secret."),
        click.option("--client-id", envvar="L2C_ORG_CLIENT_ID", help="Consumer key."),
        click.option("--org", "url", help="My Domain address; default: the configured org."),
    ):
        command = option(command)
    return command


@org.command()
@_connection
@click.option("--section", help="Only one section of the fact sheet, such as C.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def probe(
    session: Session,
    *,
    url: str | None,
    client_id: str | None,
    client_secret: str | None,
    section: str | None,
    as_json: bool,
) -> None:
    """Try the harmless contract cases on an org: it is only read, and what differs is named."""
    from connector.cli.probe.cases import load_cases
    from connector.cli.probe.trying import Verdict

    tried = _tried_org(session, url=url, client_id=client_id, client_secret=client_secret)
    chosen = [
        case
        for case in load_cases()
        if case.is_harmless and section in {None, case.section, case.fact}
    ]
    outcomes = [tried.try_case(case) for case in chosen]
    counts = Counter(outcome.verdict for outcome in outcomes)
    if as_json:
        listed = [
            {
                "fact": o.case.fact,
                "mark": o.case.mark,
                "says": o.case.says,
                "verdict": o.verdict.value,
                "said": o.said,
            }
            for o in outcomes
        ]
        print_json({"counts": {v.value: counts[v] for v in Verdict}, "cases": listed})
    else:
        for outcome in outcomes:
            click.echo(f"  {outcome.verdict.value:10} {outcome.case.title}")
            if outcome.said:
                click.echo(f"  {'':10} {outcome.said}")
        click.echo(", ".join(f"{counts[v]} {v.value}" for v in Verdict))
    if counts[Verdict.DIFFERS]:
        raise click.exceptions.Exit(1)


@org.command()
@_connection
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def describe(
    session: Session,
    *,
    name: str | None,
    url: str | None,
    client_id: str | None,
    client_secret: str | None,
    as_json: bool,
) -> None:
    """List the org's objects, or the fields of the object NAME."""
    tried = _tried_org(session, url=url, client_id=client_id, client_secret=client_secret)
    if name is None:
        names = sorted(tried.objects())
        if as_json:
            print_json({"objects": names})
        else:
            click.echo("\n".join(names))
        return
    body = tried.describe(name)
    if body is None:
        raise Misconfigured(
            f"The org has no object {name}.", remedy="`l2c org describe` lists its objects."
        )
    fields = [
        {key: field[key] for key in ("name", "type", "length", "nillable", "externalId", "unique")}
        for field in body["fields"]
    ]
    if as_json:
        print_json({"name": body["name"], "key_prefix": body["keyPrefix"], "fields": fields})
        return
    for field in fields:
        kind = f"{field['type']}({field['length']})" if field["length"] else field["type"]
        marks = [word for word in ("unique", "externalId") if field[word]]
        marks += [] if field["nillable"] else ["required"]
        click.echo(f"  {field['name']:40} {kind:20} {' '.join(marks)}".rstrip())


@org.command("convert-lead")
@click.argument("lead_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--no-opportunity", is_flag=True, help="Make account and contact only.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def convert_lead(
    session: Session, *, lead_ids: tuple[str, ...], no_opportunity: bool, as_json: bool
) -> None:
    """Convert leads into account, contact and opportunity; exit 1 when one could not be.

    A lead that is converted already is shown with what it became.
    """
    results = session.app().convert_leads(lead_ids, without_opportunity=no_opportunity)
    if as_json:
        print_json({"leads": results})
    else:
        for one in results:
            if one.errors:
                click.echo(f"{one.lead_id}: {one.errors[0].code}: {one.errors[0].message}")
            else:
                click.echo(
                    f"{one.lead_id}: account {one.account_id}, contact {one.contact_id}, "
                    f"opportunity {one.opportunity_id or 'none'}"
                )
    raise click.exceptions.Exit(1 if any(one.errors for one in results) else 0)


@org.command("merge-accounts")
@click.argument("master")
@click.argument("losers", metavar="LOSER...", nargs=-1, required=True)
@click.option(
    "--keep",
    type=click.Choice(["master", "loser"]),
    help="Whose billing account takes new deals, where both are billed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def merge_accounts(
    session: Session, *, master: str, losers: tuple[str, ...], keep: str | None, as_json: bool
) -> None:
    """Merge the accounts LOSER... into MASTER, in the CRM and in the hub; exit 1 if refused.

    Accounts that are merged already stay so. Two that are both billed need --keep.
    """
    from connector.parties.merging import Keep

    result = session.app().merge_accounts(master, losers, keep=Keep(keep) if keep else None)
    if as_json:
        print_json(result)
    else:
        click.echo(f"{len(result.merged)} merged, {len(result.already)} were merged before.")
        for error in result.errors:
            click.echo(f"{error.code}: {error.message}")
    raise click.exceptions.Exit(1 if result.errors else 0)


def _tried_org(
    session: Session, *, url: str | None, client_id: str | None, client_secret: str | None
) -> Any:
    from connector.adapters.salesforce.configured import login_of
    from connector.adapters.salesforce.login import ClientCredentials, Login
    from connector.adapters.salesforce.transport import prepare
    from connector.cli.probe.trying import TriedOrg
    from connector.kernel.clock import SystemClock

    if url is None:
        login = login_of(session.settings.salesforce)
    elif client_id is None or client_secret is None:
        raise Misconfigured(
            f"No login for {url} is given.",
            remedy="Give --client-id and L2C_ORG_CLIENT_SECRET (an app with client credentials).",
        )
    else:
        login = Login(login_url=url, grant=ClientCredentials(client_id, client_secret))
    token = login.open()
    tried = TriedOrg(base_url=token.instance_url, token=token.access_token, now=SystemClock().now())
    prepare(tried.http, url=token.instance_url, ca_file=login.ca_file)
    return tried
