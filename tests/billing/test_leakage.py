from datetime import date
from decimal import Decimal

from billing_world import BillingWorld, at
from sqlalchemy import text

from connector.billing.leakage import find_leaks, sums_of

JUN = date(2026, 6, 1)
JUL = date(2026, 7, 1)
SEP = date(2026, 9, 1)


def leaks(world: BillingWorld, on: date = SEP) -> list[tuple[str, str, Decimal | None]]:
    with world.store.read() as tx:
        return [(one.check_name, one.what, one.amount) for one in find_leaks(tx=tx, on=on)]


def deliver(world: BillingWorld, service: int, state: str = "In Service") -> None:
    with world.store.transaction() as tx:
        tx.execute(
            text("UPDATE service SET state = :state, service_start_on = :on WHERE id = :id"),
            {"state": state, "on": JUN, "id": service},
        )


def test_what_is_delivered_and_billed_does_not_leak(world: BillingWorld) -> None:
    service = world.service(world.payer(), world.product("line"), "60.00")
    deliver(world, service)
    world.start(service, JUN)
    world.bill(JUL)

    assert leaks(world) == []


def test_each_check_finds_its_leak(world: BillingWorld) -> None:
    payer, line = world.payer(), world.product("line")
    free, uncharged, left, unbilled = (
        world.service(payer, line, price) for price in ("0", "60.00", "30.00", "20.00")
    )
    for service in (free, uncharged, unbilled):
        deliver(world, service)
    world.start(left, date(2026, 8, 1))
    deliver(world, left, "Canceled By User")
    world.start(unbilled, JUN)
    summary = world.usage_summary(unbilled, JUN, JUL)
    with world.store.transaction() as tx:
        tx.execute(
            text("UPDATE usage_summary SET rated_amount = 7.5 WHERE id = :id"), {"id": summary}
        )
        file = tx.execute(
            text(
                "INSERT INTO usage_file (feed, name, sha256, lines_read, accepted, duplicate, "
                "suspense, header, imported_at) VALUES ('f', 'calls.csv', 'x', 2, 0, 0, 2, '[]', "
                ":now) RETURNING id"
            ),
            {"now": at(JUL)},
        ).scalar_one()
        tx.execute(
            text(
                "INSERT INTO suspense (usage_file_id, line_no, stage, period_start, reason_code, "
                "reason, raw, created_at) SELECT :file, n, 'rating', :period, 'rating.no_rate', "
                "'', '', :now FROM generate_series(1, 2) n"
            ),
            {"file": file, "period": JUN, "now": at(JUL)},
        )

    found = leaks(world)

    number = "SELECT number FROM service WHERE id = :id"
    of = {service: world.one(number, id=service)[0] for service in (uncharged, left, unbilled)}
    assert found == [
        ("charge_never_billed", of[unbilled], Decimal(20)),
        ("charge_without_service", of[left], Decimal(30)),
        ("service_without_charge", of[uncharged], Decimal(60)),
        ("usage_without_charge", of[unbilled], Decimal("7.5")),
        ("usage_without_price", "calls.csv", None),
    ]
    with world.store.read() as tx:
        assert sums_of(find_leaks(tx=tx, on=SEP))["charge_without_service"] == {"EUR": Decimal(30)}
