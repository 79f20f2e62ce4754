"""`l2c orders` and `l2c services`, run on a delivered order."""

import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import pytest
from click.testing import CliRunner, Result
from delivery_world import ADDRESS, DeliveryWorld, line, new_line

from connector.cli.orders import orders
from connector.cli.services import services
from connector.errors import StateConflict
from connector.store.engine import Store


@dataclass(frozen=True)
class _App:
    store: Store


@dataclass(frozen=True)
class _Session:
    store: Store

    def app(self) -> _App:
        return _App(self.store)


def run(world: DeliveryWorld, *arguments: str) -> Result:
    noun, *rest = arguments
    group = {"orders": orders, "services": services}[noun]
    return CliRunner().invoke(group, rest, obj=_Session(world.store))


def test_tell_an_orders_state_lines_and_plan(world: DeliveryWorld) -> None:
    world.win(world.deal([new_line(), line("router")]))

    listed = json.loads(run(world, "orders", "list", "--json").output)
    shown = json.loads(run(world, "orders", "show", "ORD-000001", "--json").output)
    plan = json.loads(run(world, "orders", "plan", "ORD-000001", "--json").output)

    assert [(row["number"], row["state"], row["tasks_total"]) for row in listed] == [
        ("ORD-000001", "In Progress", 8)
    ]
    assert [(row["product"], row["service"]) for row in shown["lines"]] == [
        ("line-100", "SRV-000001"),
        ("router", None),
    ]
    activate = next(task for task in plan["tasks"] if task["name"] == "Activate the line")
    assert activate["after"] == ["TSK-000002", "TSK-000003"]
    assert activate["why_in_plan"] == "template deliver-broadband"


def test_tell_vendors_and_costs_of_an_order_on_demand_only(world: DeliveryWorld) -> None:
    world.win(world.deal([new_line(), line("router")]))

    text = run(world, "orders", "show", "ORD-000001").output
    shown = json.loads(run(world, "orders", "show", "ORD-000001", "--json").output)
    inside = json.loads(run(world, "orders", "show", "ORD-000001", "--vendors", "--json").output)
    table = run(world, "orders", "show", "ORD-000001", "--vendors").output

    assert "100.00 EUR a month, 238.00 once" in text
    assert "cost" not in text.lower()
    assert shown["total"] == {"monthly": "100.00", "once": "238.00", "currency": "EUR"}
    assert "cost" not in json.dumps(shown)
    assert [(one["monthly_cost"], one["once_cost"]) for one in inside["vendors"]] == [
        ("60.00", "120.00")
    ]
    assert "Monthly cost" in table


def test_tell_a_services_numbers_and_history(world: DeliveryWorld) -> None:
    world.win(world.deal([line("seat", "NEW", term_months=24, location_text=ADDRESS)]))
    world.deliver(date(2026, 6, 16))
    more = line("seat", "UPGRADE", quantity=Decimal(2), target_service_key="l2c:service:1")
    world.win(world.deal([more]), date(2026, 7, 1))
    world.deliver(date(2026, 7, 2))

    shown = json.loads(run(world, "services", "show", "SRV-000001", "--json").output)
    text = run(world, "services", "show", "SRV-000001").output
    listed = json.loads(run(world, "services", "list", "--state", "In Service", "--json").output)

    assert shown["aliases"] == ["+49613155500000", "+49613155500001"]
    assert [(one["type"], one["new"]["quantity"]) for one in shown["changes"]] == [("UPGRADE", "2")]
    assert "in service since 2026-06-16" in text
    assert [row["quantity"] for row in listed] == ["2.00"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("orders", "list"), "Open billing account"),
        (("orders", "show", "ORD-000001"), "line-100"),
        (("orders", "plan", "ORD-000001"), "Reserve the access port"),
        (("services", "list"), "Practice Mainz"),
    ],
)
def test_print_tables_for_people(
    world: DeliveryWorld, arguments: tuple[str, ...], told: str
) -> None:
    world.win(world.deal([new_line()]))

    result = run(world, *arguments)

    assert result.exit_code == 0, result.output
    assert told in result.output


@pytest.mark.parametrize("arguments", [("orders", "show", "ORD-9"), ("services", "show", "SRV-9")])
def test_say_that_there_is_no_such_thing(world: DeliveryWorld, arguments: tuple[str, ...]) -> None:
    result = run(world, *arguments)

    assert isinstance(result.exception, StateConflict)
    assert "There is no" in str(result.exception)
