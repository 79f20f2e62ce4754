"""Dated changes and numbers of services, on the real store."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from delivery_world import DeliveryWorld, new_line
from sqlalchemy import insert, text

from connector.inventory.aliases import NoFreeNumber, assign_aliases
from connector.inventory.changes import (
    ChangeBeforeStart,
    ChangeOutOfOrder,
    NotInService,
    Terms,
    apply_due_changes,
    change_service,
    end_service,
)
from connector.inventory.number_ranges import (
    BadNumberRanges,
    NumberPolicy,
    NumberRange,
    load_number_policy,
)
from connector.inventory.services import (
    StartedOtherwise,
    TermMissing,
    UnknownService,
    lock_service,
    service_by_id,
    start_service,
)
from connector.inventory.states import ServiceState, ServiceStateConflict
from connector.store.engine import Store
from connector.store.tables.inventory import service_alias

NOW = datetime(2026, 7, 20, 9, tzinfo=UTC)
TODAY = date(2026, 7, 20)
STARTED = date(2026, 6, 16)
RANGE = NumberRange(
    key="two",
    service_classes=("voice",),
    first="+49100000001",
    last="+49100000002",
    quarantine_days=30,
)


@pytest.fixture
def world(store: Store) -> DeliveryWorld:
    made = DeliveryWorld(store)
    made.open_shop()
    return made


def terms_of(world: DeliveryWorld, price: int) -> Terms:
    product = world.one("SELECT id FROM product WHERE key = 'line-500'").id
    return Terms(product, Decimal(1), Decimal(price), Decimal(0))


def change(world: DeliveryWorld, service_id: int, on: date, price: int, line_id: int = 1):
    with world.store.transaction() as tx:
        return change_service(
            tx=tx,
            service_id=service_id,
            order_line_id=line_id,
            type="RE_RATE",
            on=on,
            terms=terms_of(world, price),
            today=TODAY,
            now=NOW,
        )


def end(world: DeliveryWorld, service_id: int, on: date):
    with world.store.transaction() as tx:
        return end_service(
            tx=tx, service_id=service_id, order_line_id=1, on=on, today=TODAY, now=NOW
        )


class TestChange:
    def test_is_made_once_for_a_line(self, world: DeliveryWorld) -> None:
        service_id = world.delivered_service(STARTED)
        change(world, service_id, date(2026, 7, 1), 80)

        again = change(world, service_id, date(2026, 7, 5), 10)

        assert (again.was_known, again.effective_on) == (True, date(2026, 7, 1))
        assert world.one("SELECT mr_price FROM service").mr_price == Decimal(80)

    def test_waits_for_its_day(self, world: DeliveryWorld) -> None:
        service_id = world.delivered_service(STARTED)
        change(world, service_id, date(2026, 8, 1), 80)

        with world.store.transaction() as tx:
            too_early = apply_due_changes(tx=tx, today=date(2026, 7, 31), now=NOW)
        with world.store.transaction() as tx:
            in_time = apply_due_changes(tx=tx, today=date(2026, 8, 1), now=NOW)
        with world.store.transaction() as tx:
            again = apply_due_changes(tx=tx, today=date(2026, 8, 2), now=NOW)

        assert (too_early, in_time, again) == (0, 1, 0)
        assert world.one("SELECT mr_price FROM service").mr_price == Decimal(80)

    def test_that_are_due_leave_a_service_that_somebody_has_in_hand_to_the_next_run(
        self, world: DeliveryWorld
    ) -> None:
        service_id = world.delivered_service(STARTED)
        august = date(2026, 8, 1)
        change(world, service_id, august, 80)

        with world.store.transaction() as one, world.store.transaction() as other:
            lock_service(tx=one, service_id=service_id)
            other.execute(text("SET LOCAL lock_timeout = '2s'"))
            meanwhile = apply_due_changes(tx=other, today=august, now=NOW)
        with world.store.transaction() as tx:
            afterwards = apply_due_changes(tx=tx, today=august, now=NOW)

        assert (meanwhile, afterwards) == (0, 1)

    def test_does_not_pass_a_later_one(self, world: DeliveryWorld) -> None:
        service_id = world.delivered_service(STARTED)
        change(world, service_id, date(2026, 7, 10), 80)
        second = world.win(world.deal([new_line()])).order_id
        line_id = world.one("SELECT id FROM order_line WHERE order_id = :o", o=second).id

        with pytest.raises(ChangeOutOfOrder, match="has a change of 2026-07-10"):
            change(world, service_id, date(2026, 7, 5), 90, line_id)

    def test_does_not_come_before_the_start(self, world: DeliveryWorld) -> None:
        with pytest.raises(ChangeBeforeStart):
            change(world, world.delivered_service(STARTED), date(2026, 6, 15), 80)

    def test_is_for_services_in_service(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]))

        with pytest.raises(NotInService, match="SRV-000001 is New"):
            change(world, 1, TODAY, 80)


class TestEnd:
    def test_before_the_start_ends_on_the_first_day(self, world: DeliveryWorld) -> None:
        service_id = world.delivered_service(STARTED)

        ended = end(world, service_id, date(2026, 6, 1))

        assert ended.effective_on == STARTED
        assert world.one("SELECT service_end_on FROM service").service_end_on == STARTED

    def test_makes_later_scheduled_changes_void(self, world: DeliveryWorld) -> None:
        service_id = world.delivered_service(STARTED)
        change(world, service_id, date(2026, 9, 1), 80)

        end(world, service_id, date(2026, 8, 1))

        states = world.rows("SELECT type, state FROM service_change ORDER BY id")
        assert [tuple(row) for row in states] == [
            ("RE_RATE", "Superseded"),
            ("CANCEL", "Scheduled"),
        ]

    def test_is_not_for_what_never_began(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]))

        with pytest.raises(ServiceStateConflict):
            end(world, 1, TODAY)


class TestStart:
    def test_told_twice_is_one_start(self, world: DeliveryWorld) -> None:
        service_id = world.delivered_service(STARTED)

        with world.store.transaction() as tx:
            again = start_service(tx=tx, service_id=service_id, on=STARTED, now=NOW)

        assert again.state is ServiceState.IN_SERVICE

    def test_told_for_another_day_is_refused(self, world: DeliveryWorld) -> None:
        service_id = world.delivered_service(STARTED)

        with pytest.raises(StartedOtherwise), world.store.transaction() as tx:
            start_service(tx=tx, service_id=service_id, on=TODAY, now=NOW)

    def test_needs_the_term_it_renews_for(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]))
        with world.store.transaction() as tx:
            tx.execute(text("UPDATE service SET term_months = 0, renewal_type = 'Same term'"))

        with pytest.raises(TermMissing), world.store.transaction() as tx:
            start_service(tx=tx, service_id=1, on=TODAY, now=NOW)


class TestNumbers:
    def give(self, world: DeliveryWorld, service_id: int, on: date = TODAY) -> tuple[str, ...]:
        with world.store.transaction() as tx:
            return assign_aliases(
                tx=tx, service_id=service_id, policy=NumberPolicy((RANGE,), None), on=on
            )

    @pytest.fixture
    def voice(self, world: DeliveryWorld) -> list[int]:
        """Return three services of a voice product that have no number yet."""
        for _ in range(3):
            world.win(world.deal([new_line()]))
        with world.store.transaction() as tx:
            tx.execute(text("UPDATE product SET service_class = 'voice' WHERE key = 'line-100'"))
        return [row.id for row in world.rows("SELECT id FROM service ORDER BY id")]

    def test_are_given_once(self, world: DeliveryWorld, voice: list[int]) -> None:
        first = self.give(world, voice[0])

        assert self.give(world, voice[0]) == first == ("+49100000001",)

    def test_come_from_the_products_own_range_as_a_block(
        self, world: DeliveryWorld, voice: list[int]
    ) -> None:
        block = NumberRange(
            key="block",
            products=("line-100",),
            first="+49200000001",
            last="+49200000009",
            per_unit=3,
        )

        with world.store.transaction() as tx:
            given = assign_aliases(
                tx=tx, service_id=voice[0], policy=NumberPolicy((RANGE, block), None), on=TODAY
            )

        assert given == ("+49200000001", "+49200000002", "+49200000003")

    def test_go_to_one_service_each_when_many_ask_at_once(
        self, world: DeliveryWorld, voice: list[int]
    ) -> None:
        with ThreadPoolExecutor(2) as pool:
            given = list(pool.map(lambda one: self.give(world, one), voice[:2]))

        assert sorted(given) == [("+49100000001",), ("+49100000002",)]

    def test_run_out(self, world: DeliveryWorld, voice: list[int]) -> None:
        for service_id in voice[:2]:
            self.give(world, service_id)

        with pytest.raises(NoFreeNumber, match="needs 1 numbers and two has 0 left"):
            self.give(world, voice[2])

    @pytest.mark.parametrize(
        ("given_back_on", "is_free"), [(date(2026, 6, 21), False), (date(2026, 6, 20), True)]
    )
    def test_rest_before_they_are_given_again(
        self, world: DeliveryWorld, voice: list[int], given_back_on: date, is_free: bool
    ) -> None:
        with world.store.transaction() as tx:
            tx.execute(
                insert(service_alias).values(
                    service_id=voice[0],
                    kind="number",
                    value=RANGE.first,
                    valid_from=date(2026, 1, 1),
                    valid_to=given_back_on,
                )
            )

        assert (self.give(world, voice[1]) == (RANGE.first,)) is is_free

    def test_refuse_a_range_that_runs_backwards(self, world: DeliveryWorld, tmp_path) -> None:
        path = tmp_path / "number_ranges.yaml"
        path.write_text(
            "ranges:\n"
            "  - {key: a, service_classes: [voice], first: '+49200000', last: '+49100000'}\n"
        )

        with pytest.raises(BadNumberRanges, match="line 2"):
            load_number_policy(path)


def test_a_service_nobody_knows_is_named(world: DeliveryWorld) -> None:
    with world.store.read() as tx, pytest.raises(UnknownService, match="no service 77"):
        service_by_id(tx=tx, service_id=77)
