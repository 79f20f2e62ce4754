"""Terms that end are moved on by the nightly job (domain 3.3, RENEW)."""

from datetime import date

import pytest
from delivery_world import DeliveryWorld, at, line

from connector.flows.renewals import RenewalReport, renew_terms
from connector.inventory.queries import service_by_number
from connector.ordering.orders import cancel_order

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


def test_terms_from_a_31st_keep_to_the_end_of_the_month(world: DeliveryWorld) -> None:
    world.delivered_service(date(2026, 1, 31), renewal_type="Same term")
    with world.store.transaction() as tx:
        tx.exec_driver_sql("UPDATE service SET term_months = 1, current_term_end_on = '2026-02-27'")

    renewed(world, date(2026, 5, 31))

    days = [str(on) for _, on in history(world)]
    assert days == ["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]
    assert term(world)[2:] == (date(2026, 5, 31), date(2026, 6, 29))


class TestWhileACancelIsOnItsWay:
    """A disconnect takes days, and the term ends meanwhile."""

    def ordered(self, world: DeliveryWorld, kind: str) -> None:
        service_id = world.delivered_service(START, renewal_type=kind)
        cancel = line("line-100", "CANCEL", target_service_key=f"l2c:service:{service_id}")
        world.win(world.deal([cancel]), date(2027, 6, 10))

    @pytest.mark.parametrize("kind", ["Same term", "Month-to-month"])
    def test_the_term_does_not_begin_again(self, world: DeliveryWorld, kind: str) -> None:
        self.ordered(world, kind)

        assert renewed(world, date(2027, 6, 18)) == RenewalReport(0, 0)
        world.deliver(date(2027, 6, 20), effective_on=DAY_AFTER)
        assert renewed(world, date(2027, 6, 21)) == RenewalReport(0, 0)

        assert term(world) == ("Canceled By User", 12, START, LAST_DAY)
        assert history(world) == [("CANCEL", DAY_AFTER)]

    def test_nor_while_its_end_is_dated(self, world: DeliveryWorld) -> None:
        self.ordered(world, "Same term")
        world.deliver(date(2027, 6, 12), effective_on=date(2027, 6, 30))

        assert renewed(world, date(2027, 6, 20)) == RenewalReport(0, 0)
        assert renewed(world, date(2027, 6, 30)) == RenewalReport(0, 0)

        assert term(world) == ("Canceled By User", 12, START, LAST_DAY)

    def test_but_it_does_once_the_order_is_canceled(self, world: DeliveryWorld) -> None:
        self.ordered(world, "Same term")
        order_id = world.one("SELECT max(id) AS id FROM customer_order").id
        with world.store.transaction() as tx:
            cancel_order(tx=tx, order_id=order_id, now=at(date(2027, 6, 18)))

        assert renewed(world, date(2027, 6, 19)).renewed == 1

        assert term(world) == ("In Service", 12, DAY_AFTER, date(2028, 6, 15))

    def test_it_expires_once_and_the_order_finds_it_ended(self, world: DeliveryWorld) -> None:
        self.ordered(world, "Expires")

        assert renewed(world, date(2027, 6, 18)).expired == 1
        world.deliver(date(2027, 6, 20))

        assert term(world)[0] == "Expired"
        assert history(world) == [("CANCEL", DAY_AFTER)]
        assert self.billed_until(world) == [DAY_AFTER]
        assert {row.state for row in world.rows("SELECT state FROM v_order_state")} == {"Completed"}

    def test_a_day_before_its_expiry_that_is_told_late_counts(self, world: DeliveryWorld) -> None:
        self.ordered(world, "Expires")
        renewed(world, date(2027, 6, 18))

        world.deliver(date(2027, 6, 20), effective_on=date(2027, 6, 12))

        service = world.one("SELECT state, service_end_on FROM service")
        assert tuple(service) == ("Canceled By User", date(2027, 6, 12))
        assert self.billed_until(world) == [date(2027, 6, 12)]

    def billed_until(self, world: DeliveryWorld) -> list[date]:
        return [
            row.ends_on for row in world.rows("SELECT ends_on FROM charge WHERE kind = 'recurring'")
        ]


def test_the_register_tells_the_term_and_how_it_was_renewed(world: DeliveryWorld) -> None:
    world.delivered_service(START, renewal_type="Same term")
    renewed(world, DAY_AFTER)
    number = world.one("SELECT number FROM service").number

    with world.store.read() as tx:
        told = service_by_number(tx=tx, number=number)

    assert (told.term_end_on, told.renewal_type) == (date(2028, 6, 15), "Same term")
    assert [(one.type, one.new["term_end_on"]) for one in told.changes] == [("RENEW", "2028-06-15")]
