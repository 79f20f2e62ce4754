"""`l2c services`: list and show services, which were lost; let them rest, go on, change payers."""

from datetime import datetime

import click

from connector.adapters.salesforce.ids import to_18
from connector.cli.printing import print_json, table
from connector.cli.session import Session
from connector.flows.service_order import ServiceAsk, ServicePlan
from connector.inventory.churn import churn as churn_of
from connector.inventory.queries import list_services, service_by_number
from connector.inventory.states import ServiceState
from connector.ordering.request_types import RequestType

DAY = click.DateTime(["%Y-%m-%d"])


@click.group()
def services() -> None:
    """List and show services, and which were lost; suspend, resume and transfer them."""


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


_ON = click.option(
    "--on",
    type=click.DateTime(["%Y-%m-%d"]),
    help="First day on which it counts; today when left out.",
)
_YES = click.option("--yes", is_flag=True, help="Do it without asking.")
_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON; without --yes only what would happen."
)


@services.command()
@click.argument("number")
@_ON
@_YES
@_JSON
@click.pass_obj
def suspend(session: Session, *, number: str, on: datetime | None, yes: bool, as_json: bool) -> int:
    """Let a service rest: Suspended for Non-Pay.

    What it costs meanwhile says `while_suspended` of its proration policy. The day may lie back,
    not ahead. It becomes an order of the service's customer.
    """
    return _order(session, RequestType.SUSPEND, number, on, yes=yes, as_json=as_json)


@services.command()
@click.argument("number")
@_ON
@_YES
@_JSON
@click.pass_obj
def resume(session: Session, *, number: str, on: datetime | None, yes: bool, as_json: bool) -> int:
    """Let a suspended service go on. The day may lie back, not ahead."""
    return _order(session, RequestType.RESUME, number, on, yes=yes, as_json=as_json)


@services.command()
@click.argument("number")
@click.option(
    "--to", "to_account", required=True, help="The account that takes it over (its Salesforce id)."
)
@_ON
@_YES
@_JSON
@click.pass_obj
def transfer(
    session: Session,
    *,
    number: str,
    to_account: str,
    on: datetime | None,
    yes: bool,
    as_json: bool,
) -> int:
    """Let another account have a service and pay for it, from a day on.

    The term stays; each day is billed to exactly one of them. The day may lie ahead.
    """
    to_account = to_18(to_account)
    return _order(
        session, RequestType.TRANSFER_OF_BILLING, number, on, to_account, yes=yes, as_json=as_json
    )


def _order(
    session: Session,
    request_type: RequestType,
    number: str,
    on: datetime | None,
    to_account: str | None = None,
    *,
    yes: bool,
    as_json: bool,
) -> int:
    """Say what an act will do, ask, do it by an order, and say how far that came."""
    app = session.app()
    day = on.date() if on else app.rules.policy.today(app.clock.now())
    ask = ServiceAsk(number, request_type, day, to_account)
    plan = app.plan_service_order(ask)
    if not as_json:
        click.echo(_words(plan))
    if as_json and not yes:
        print_json({"plan": plan, "order": None})
        return 0
    if not yes and not click.confirm("Shall it be done?"):
        click.echo("Nothing was done.")
        return 1
    order = app.order_of_service(ask)
    if as_json:
        print_json({"plan": plan, "order": order})
    else:
        waits = f"; next: {order.next_step}" if order.next_step else ""
        click.echo(f"Order {order.number} is {order.state}{waits}.")
        if order.blocker:
            click.echo(f"stuck: {order.blocker}")
    return 1 if order.blocker else 0


def _words(plan: ServicePlan) -> str:
    what = f"{plan.service} ({plan.product}, {plan.account})"
    fee = f" It costs {plan.fee:.2f} {plan.currency} once." if plan.fee else ""
    if plan.to_account is not None:
        return f"From {plan.on} on {what} belongs to {plan.to_account}, who pays for it.{fee}"
    if plan.request_type == RequestType.RESUME:
        return f"From {plan.on} on {what} is in service again and billed to {plan.payer}.{fee}"
    meanwhile = "is not billed" if plan.while_suspended == "pause" else "is billed on"
    return f"From {plan.on} on {what} rests; meanwhile it {meanwhile} to {plan.payer}.{fee}"
