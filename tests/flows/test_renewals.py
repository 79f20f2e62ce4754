"""Terms that end are moved on by the nightly job (domain 3.3, RENEW)."""

from datetime import date

import pytest
from delivery_world import DeliveryWorld, at

from connector.flows.renewals import RenewalReport, renew_terms
from connector.inventory.queries import service_by_number

START = date(2026, 6, 16)
LAST_DAY = date(2027, 6, 15)
DAY_AFTER = date(2027, 6, 16)


def renewed(world: DeliveryWorld, on: date) -> RenewalReport:
    return renew_terms(store=world.store, rules=world.rules, now=at(on))


def term(world: DeliveryWorld) -> tuple[object, ...]:
    return tuple(
        world.one(
            "SELECT state, term_months, current_term_start_on, current_term_end_on FROM service"
        )
    )


def history(world: DeliveryWorld) -> list[tuple[str, date]]:
    rows = world.rows("SELECT type, effective_on FROM service_change ORDER BY id")
    return [(row.type, row.effective_on) for row in rows]


@pytest.mark.parametrize("kind", ["Same term", "Month-to-month", "Expires"])
def test_a_term_lasts_until_its_last_day_is_over(world: DeliveryWorld, kind: str) -> None:
    world.delivered_service(START, renewal_type=kind)

    assert renewed(world, LAST_DAY) == RenewalReport(0, 0)
    assert term(world) == ("In Service", 12, START, LAST_DAY)


def test_the_same_term_begins_again_once(world: DeliveryWorld) -> None:
    world.delivered_service(START, renewal_type="Same term")

    assert [renewed(world, DAY_AFTER).renewed for _ in range(2)] == [1, 0]

    assert term(world) == ("In Service", 12, DAY_AFTER, date(2028, 6, 15))
    assert history(world) == [("RENEW", DAY_AFTER)]


def test_terms_that_nobody_moved_on_are_made_up_for(world: DeliveryWorld) -> None:
    world.delivered_service(START, renewal_type="Same term")

    renewed(world, date(2029, 1, 1))

    assert term(world) == ("In Service", 12, date(2028, 6, 16), date(2029, 6, 15))
    assert history(world) == [("RENEW", DAY_AFTER), ("RENEW", date(2028, 6, 16))]


def test_a_service_goes_on_from_month_to_month(world: DeliveryWorld) -> None:
    world.delivered_service(START, renewal_type="Month-to-month")

    assert [renewed(world, DAY_AFTER).renewed for _ in range(2)] == [1, 0]

    assert term(world) == ("In Service", 0, DAY_AFTER, None)


def test_a_service_expires_and_its_billing_ends_without_a_fee(world: DeliveryWorld) -> None:
    world.delivered_service(START, renewal_type="Expires")

    assert [renewed(world, date(2027, 6, 20)).expired for _ in range(2)] == [1, 0]

    service = world.one("SELECT state, service_end_on FROM service")
    assert tuple(service) == ("Expired", DAY_AFTER)
    charges = world.rows("SELECT kind, ends_on FROM charge WHERE kind = 'recurring'")
    assert [tuple(row) for row in charges] == [("recurring", DAY_AFTER)]


def test_one_that_cannot_end_stops_no_other(world: DeliveryWorld) -> None:
    for _ in range(2):
        world.delivered_service(START, renewal_type="Expires")
    with world.store.transaction() as tx:
        tx.exec_driver_sql("DELETE FROM charge WHERE service_id = (SELECT min(id) FROM service)")

    assert renewed(world, DAY_AFTER) == RenewalReport(renewed=0, expired=1, failed=1)

    states = world.rows("SELECT state FROM service ORDER BY id")
    assert [row.state for row in states] == ["In Service", "Expired"]


def test_the_register_tells_the_term_and_how_it_was_renewed(world: DeliveryWorld) -> None:
    world.delivered_service(START, renewal_type="Same term")
    renewed(world, DAY_AFTER)
    number = world.one("SELECT number FROM service").number

    with world.store.read() as tx:
        told = service_by_number(tx=tx, number=number)

    assert (told.term_end_on, told.renewal_type) == (date(2028, 6, 15), "Same term")
    assert [(one.type, one.new["term_end_on"]) for one in told.changes] == [("RENEW", "2028-06-15")]
