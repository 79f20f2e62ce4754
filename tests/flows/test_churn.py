"""Which services were lost, by product and month, and what that costs (mission row G13)."""

import json
from datetime import date
from decimal import Decimal
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from delivery_world import DeliveryWorld, customer, line

from connector.cli.services import services
from connector.inventory.churn import BadMonths, Churn, churn

MAY, JUNE, JULY, AUGUST = (date(2026, month, 1) for month in (5, 6, 7, 8))


def told(world: DeliveryWorld, since: date, until: date) -> list[tuple[object, ...]]:
    with world.store.read() as tx:
        rows = churn(tx=tx, since=since, until=until)
    return [
        (r.month, r.product_key, r.at_start, r.started, r.ended, r.replaced, r.revenue_lost)
        for r in rows
    ]


def order(world: DeliveryWorld, service: int, request: str, on: date, **facts: object) -> None:
    product = str(facts.pop("product", "line-100"))
    key = f"l2c:service:{service}"
    one = line(product, request, target_service_key=key, requested_on=on, **facts)
    world.win(world.deal([one], account=customer()), on)
    world.deliver(on)


def test_a_report_tells_what_began_and_ended_by_product_and_month_and_what_was_lost(
    world: DeliveryWorld,
) -> None:
    lost, upgraded, _ = (world.delivered_service(date(2026, 5, 11)) for _ in range(3))
    world.win(world.deal([line("cloud", "NEW", quantity=Decimal(2))]), JUNE)
    world.deliver(JUNE)
    order(world, lost, "ADD_ON_CHANGE", JUNE, add_ons_added="night=backup*2")
    order(world, upgraded, "UPGRADE", date(2026, 6, 16), product="line-500")
    order(world, lost, "CANCEL", date(2026, 7, 11))
    price = world.one("SELECT mr_price FROM service WHERE id = :id", id=lost).mr_price
    add_on = world.one("SELECT quantity * unit_mr_price AS monthly FROM add_on").monthly

    assert told(world, MAY, AUGUST) == [
        (MAY, "line-100", 0, 2, 0, 0, 0),
        (MAY, "line-500", 0, 1, 0, 0, 0),  # what it is today
        (JUNE, "cloud", 0, 1, 0, 0, 0),
        (JUNE, "line-100", 2, 0, 0, 0, 0),
        (JUNE, "line-500", 1, 0, 0, 0, 0),
        (JULY, "cloud", 1, 0, 0, 0, 0),
        (JULY, "line-100", 2, 0, 1, 0, price + add_on),
        (JULY, "line-500", 1, 0, 0, 0, 0),
    ]
    assert add_on > 0


def test_a_service_that_another_one_replaced_is_not_lost(world: DeliveryWorld) -> None:
    service = world.delivered_service(JUNE)
    order(world, service, "REPLACE", date(2026, 7, 6), product="line-500")

    assert told(world, JULY, AUGUST) == [
        (JULY, "line-100", 1, 0, 0, 1, 0),
        (JULY, "line-500", 0, 1, 0, 0, 0),
    ]


def test_what_ended_with_a_month_is_missing_in_the_next(world: DeliveryWorld) -> None:
    order(world, world.delivered_service(JUNE), "CANCEL", JULY)

    assert [row[4] for row in told(world, JUNE, AUGUST)] == [0, 1]


def test_the_command_prints_it_as_a_table_and_as_json(world: DeliveryWorld) -> None:
    order(world, world.delivered_service(JUNE), "CANCEL", date(2026, 7, 20))
    session = SimpleNamespace(app=lambda: SimpleNamespace(store=world.store))

    def run(*more: str) -> str:
        days = ["churn", "--from", "2026-07-01", "--to", "2026-08-01"]
        return CliRunner().invoke(services, [*days, *more], obj=session).output

    (july,) = json.loads(run("--json").splitlines()[-1])["products"]
    assert (july["month"], july["ended"], july["percent"]) == ("2026-07-01", 1, "100.00")
    assert set(july) == set(Churn.__dataclass_fields__)
    assert "2026-07" in run()


@pytest.mark.parametrize(
    ("since", "until"),
    [(date(2026, 7, 2), AUGUST), (JULY, JULY), (AUGUST, JULY), (JULY, date(2046, 7, 1))],
)
def test_what_is_no_months_is_refused(world: DeliveryWorld, since: date, until: date) -> None:
    with pytest.raises(BadMonths, match="no months to report"):
        told(world, since, until)
