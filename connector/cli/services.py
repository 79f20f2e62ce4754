"""`l2c services`: list and show services, and which were lost."""

from datetime import datetime

import click

from connector.cli.printing import print_json, table
from connector.cli.session import Session
from connector.inventory.churn import churn as churn_of
from connector.inventory.queries import list_services, service_by_number
from connector.inventory.states import ServiceState

DAY = click.DateTime(["%Y-%m-%d"])


@click.group()
def services() -> None:
    """List and show services, and which were lost."""


@services.command("list")
@click.option("--account", "account_sfid", help="Only of this account (its Salesforce id).")
@click.option("--state", type=click.Choice([str(one) for one in ServiceState]))
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_(
    session: Session, *, account_sfid: str | None, state: str | None, limit: int, as_json: bool
) -> None:
    """List services by number."""
    with session.app().store.read() as tx:
        found = list_services(tx=tx, account_sfid=account_sfid, state=state, limit=limit)
    if as_json:
        print_json(found)
        return
    head = ("Service", "Customer", "Product", "Location", "State", "Quantity", "Each a month")
    click.echo(
        table(
            (*head, "", "Since", "Until"),
            [
                (
                    row.number,
                    row.account,
                    row.product,
                    row.location or "",
                    row.state,
                    row.quantity,
                    row.mr_price,
                    row.currency,
                    row.service_start_on or "",
                    row.service_end_on or "",
                )
                for row in found
            ],
        )
    )


@services.command()
@click.argument("number")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(session: Session, *, number: str, as_json: bool) -> None:
    """Show a service (such as SRV-000001) with its numbers and its history."""
    with session.app().store.read() as tx:
        found = service_by_number(tx=tx, number=number)
    if as_json:
        print_json(found)
        return
    service = found.service
    click.echo(f"{service.number}  {service.account}  {service.product}  {service.state}")
    if service.service_start_on is not None:
        until = f" until {service.service_end_on}" if service.service_end_on else ""
        click.echo(f"in service since {service.service_start_on}{until}")
    if found.term_end_on is not None:
        click.echo(f"term until {found.term_end_on}, then: {found.renewal_type.lower()}")
    if found.aliases:
        click.echo(f"known as {', '.join(found.aliases)}")
    if found.changes:
        click.echo(
            table(
                ("Change", "From", "State", "Before", "After"),
                [
                    (one.type, one.effective_on, one.state, _terms(one.old), _terms(one.new))
                    for one in found.changes
                ],
            )
        )


@services.command()
@click.option("--from", "begins", type=DAY, required=True, help="First day of the first month.")
@click.option("--to", "ends", type=DAY, required=True, help="First day of the month after.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def churn(session: Session, *, begins: datetime, ends: datetime, as_json: bool) -> None:
    """Say how many services of each product began and ended in each month, and what that costs.

    A service that another one replaced is not lost. Amounts are recurring prices a month.
    """
    with session.app().store.read() as tx:
        found = churn_of(tx=tx, since=begins.date(), until=ends.date())
    if as_json:
        print_json({"products": found})
        return
    head = ("Month", "Product", "At start", "Began", "Ended", "Replaced", "Lost a month", "", "%")
    click.echo(
        table(
            head,
            [
                (
                    f"{one.month:%Y-%m}",
                    one.product,
                    one.at_start,
                    one.started,
                    one.ended,
                    one.replaced,
                    one.revenue_lost,
                    one.currency,
                    "" if one.percent is None else one.percent,
                )
                for one in found
            ],
        )
    )


def _terms(values: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
