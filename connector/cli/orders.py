"""`l2c orders`: list and show orders and their plans."""

from collections.abc import Sequence
from datetime import datetime

import click

from connector.cli.printing import print_json, table
from connector.cli.session import Session
from connector.ordering.queries import (
    OrderTotal,
    lines_of,
    list_orders,
    order_by_number,
    plan_of,
    totals_of,
)


@click.group()
def orders() -> None:
    """List and show orders."""


@orders.command("list")
@click.option("--account", "account_sfid", help="Only of this account (its Salesforce id).")
@click.option("--state", help="Only in this state, such as 'In Progress'.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_(
    session: Session, *, account_sfid: str | None, state: str | None, limit: int, as_json: bool
) -> None:
    """List orders, newest first, with how far they are."""
    with session.app().store.read() as tx:
        found = list_orders(tx=tx, account_sfid=account_sfid, state=state, limit=limit)
    if as_json:
        print_json(found)
        return
    click.echo(
        table(
            ("Order", "Customer", "State", "Done", "Next step", "Expected", "Stuck"),
            [
                (
                    row.number,
                    row.account,
                    row.state,
                    f"{row.tasks_done}/{row.tasks_total}",
                    row.next_step or "",
                    _day(row.actual_end_at or row.expected_end_at),
                    row.blocker or "",
                )
                for row in found
            ],
        )
    )


@orders.command()
@click.argument("number")
@click.option("--vendors", "by_vendor", is_flag=True, help="Also by vendor, with what each costs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(session: Session, *, number: str, by_vendor: bool, as_json: bool) -> None:
    """Show an order (such as ORD-000001) with its lines and what they come to.

    Vendors and what they cost are shown on demand only: a customer sees one total.
    """
    with session.app().store.read() as tx:
        order = order_by_number(tx=tx, number=number)
        lines = lines_of(tx=tx, order_id=order.id)
        whole, vendors = totals_of(tx=tx, order_id=order.id)
    if as_json:
        total = {"monthly": whole.monthly, "once": whole.once, "currency": whole.currency}
        shown = {"order": order, "lines": lines, "total": total}
        print_json(shown | ({"vendors": vendors} if by_vendor else {}))
        return
    click.echo(f"{order.number}  {order.account}  {order.state}  {order.progress_pct} %")
    if order.blocker:
        click.echo(f"stuck: {order.blocker}")
    click.echo(
        table(
            ("Line", "Request", "Product", "Quantity", "Monthly", "Once", "State", "Service"),
            [
                (
                    line.sequence,
                    line.request_type,
                    line.product,
                    line.quantity,
                    line.mr_price,
                    line.nr_price,
                    line.state,
                    line.service or "",
                )
                for line in lines
            ],
        )
    )
    click.echo(f"{whole.monthly:.2f} {whole.currency} a month, {whole.once:.2f} once")
    if by_vendor:
        click.echo(_by_vendor((*vendors, whole)))


def _by_vendor(totals: Sequence[OrderTotal]) -> str:
    return table(
        ("Vendor", "Lines", "Monthly", "Once", "Monthly cost", "Once cost"),
        [
            (
                "all" if one.vendor is None else one.vendor or "(own)",
                one.lines,
                one.monthly,
                one.once,
                one.monthly_cost,
                one.once_cost,
            )
            for one in totals
        ],
    )


@orders.command()
@click.argument("number")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def plan(session: Session, *, number: str, as_json: bool) -> None:
    """Show every task of an order: what comes after what, when, and why it is in the plan."""
    with session.app().store.read() as tx:
        order = order_by_number(tx=tx, number=number)
        tasks = plan_of(tx=tx, order_id=order.id)
    if as_json:
        print_json({"order": order.number, "state": order.state, "tasks": tasks})
        return
    click.echo(
        table(
            ("Line", "Task", "Step", "Kind", "Queue", "State", "After", "Ends", "Because"),
            [
                (
                    task.line,
                    task.number,
                    task.name,
                    task.kind,
                    task.queue or "",
                    task.state,
                    ", ".join(task.after),
                    _day(task.actual_end_at or task.expected_end_at),
                    task.why_in_plan,
                )
                for task in tasks
            ],
        )
    )


def _day(instant: datetime | None) -> str:
    return "" if instant is None else instant.date().isoformat()
