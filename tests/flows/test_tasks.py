"""What people and code do with tasks: releases, refusals, retries, races, forecasts."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from delivery_world import ADDRESS, DeliveryWorld, at, line, new_line
from sqlalchemy import text

from connector.errors import InvalidInput, StateConflict
from connector.flows import code_tasks
from connector.flows.code_names import CodeName
from connector.flows.order_action import act_on_order
from connector.inventory.number_ranges import NumberPolicy, NumberRange
from connector.ordering.task_states import TaskStateConflict
from connector.ordering.tasks import (
    CannotDismiss,
    EffectiveDateOutOfRange,
    NotForPeople,
    OrderOnHold,
)

JUNE_16 = date(2026, 6, 16)


class TestTasks:
    def test_become_ready_once_everything_before_them_is_done(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]))
        world.run_code(at(JUNE_16))

        world.act("Reserve the access port", "Complete")
        between = world.states()["Activate the line"]
        world.act("Send the self-install kit", "Complete")

        assert between == "Pending"
        assert world.states()["Activate the line"] == "Ready"
        assert world.states()["Start service and billing"] == "Pending"

    def test_release_their_successor_when_two_end_at_the_same_moment(
        self, world: DeliveryWorld
    ) -> None:
        world.win(world.deal([new_line()]))
        world.run_code(at(JUNE_16))

        with ThreadPoolExecutor(2) as pool:
            names = ("Reserve the access port", "Send the self-install kit")
            list(pool.map(lambda name: world.act(name, "Complete"), names))

        assert world.states()["Activate the line"] == "Ready"

    def test_stay_completed_when_completed_again(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]))
        world.run_code(at(JUNE_16))
        world.act("Reserve the access port", "Complete", effective_on=date(2026, 6, 10))

        world.act("Reserve the access port", "Complete", effective_on=date(2026, 6, 15))

        told = world.one("SELECT effective_on FROM task WHERE name = 'Reserve the access port'")
        assert told.effective_on == date(2026, 6, 10)

    def test_left_out_before_the_order_starts_hold_up_nothing_afterwards(
        self, world: DeliveryWorld
    ) -> None:
        world.rules = replace(world.rules, policy=replace(world.rules.policy, auto_start=False))
        order = world.win(world.deal([new_line()])).order_id
        (first,) = (
            row.name
            for row in world.rows(
                "SELECT name FROM task WHERE NOT EXISTS "
                "(SELECT FROM task_dependency WHERE successor_id = task.id)"
            )
        )

        world.act(first, "Dismiss")
        before = set(world.states().values())
        act_on_order(
            store=world.store, rules=world.rules, order_id=order, action="Start", now=at(JUNE_16)
        )
        world.deliver(JUNE_16)

        assert before == {"Skipped", "Pending"}
        assert world.one("SELECT state FROM v_order_state").state == "Completed"

    def test_cannot_be_completed_before_their_turn(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]))

        with pytest.raises(TaskStateConflict, match="is Pending"):
            world.act("Activate the line", "Complete")

    def test_of_code_are_not_for_people(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]))

        with pytest.raises(NotForPeople):
            world.act("Open billing account", "Complete")

    @pytest.mark.parametrize("days", [-401, 93])
    def test_take_no_date_far_from_today(self, world: DeliveryWorld, days: int) -> None:
        world.win(world.deal([new_line()]))
        world.run_code(at(JUNE_16))

        with pytest.raises(EffectiveDateOutOfRange):
            world.act(
                "Reserve the access port",
                "Complete",
                effective_on=JUNE_16 + timedelta(days=days),
            )

    def test_that_start_billing_cannot_be_dismissed(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]))

        with pytest.raises(CannotDismiss):
            world.act("Start service and billing", "Dismiss")

    def test_that_are_dismissed_let_the_rest_go_on(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]))
        world.run_code(at(JUNE_16))
        world.act("Reserve the access port", "Complete")

        world.act("Send the self-install kit", "Dismiss", note="has one")

        assert world.states()["Activate the line"] == "Ready"

    def test_refuse_an_act_nobody_knows(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]))

        with pytest.raises(InvalidInput, match="'Explode' is no action"):
            world.act("Activate the line", "Explode")


class TestHold:
    def test_stops_people_and_code_until_it_is_released(self, world: DeliveryWorld) -> None:
        order = world.win(world.deal([new_line()])).order_id

        def ask(action: str) -> bool:
            return act_on_order(
                store=world.store,
                rules=world.rules,
                order_id=order,
                action=action,
                now=at(JUNE_16),
            )

        assert ask("Hold")
        held = world.run_code(at(JUNE_16))
        state = world.one("SELECT state FROM v_order_state").state
        assert ask("Release")
        released = world.run_code(at(JUNE_16))
        ask("Hold")

        assert (held.completed, state, released.completed) == (0, "On Hold", 1)
        with pytest.raises(OrderOnHold):
            world.act("Reserve the access port", "Complete")


class TestFailure:
    def test_is_tried_again_by_the_ladder_and_then_waits_for_a_person(
        self, world: DeliveryWorld
    ) -> None:
        no_numbers = NumberRange(
            key="empty",
            service_classes=("voice",),
            first="+4961315550000",
            last="+4961315550000",
        )
        world.rules = replace(world.rules, numbers=NumberPolicy((no_numbers,), None))
        two = line("seat", "NEW", quantity=Decimal(2), term_months=24, location_text=ADDRESS)
        world.win(world.deal([two]))
        now = at(JUNE_16)
        waits = []
        for _ in range(6):
            world.run_code(now)
            row = world.one(
                "SELECT state, attempts, next_attempt_at FROM task WHERE name = 'Assign numbers'"
            )
            if row.next_attempt_at is None:
                break
            waits.append((row.next_attempt_at - now) // timedelta(minutes=1))
            assert world.run_code(row.next_attempt_at - timedelta(seconds=1)).retried == 0
            now = row.next_attempt_at

        assert waits == [1, 5, 15, 60, 360]
        assert (row.state, row.attempts) == ("Error", 6)
        order = world.one("SELECT state, blocker FROM v_order_state")
        assert order.state == "In Progress"
        assert "needs 2 numbers and empty has 1 left" in order.blocker
        assert world.count("service_alias") == 0

    def test_is_over_once_the_cause_is_removed_and_the_task_restarted(
        self, world: DeliveryWorld
    ) -> None:
        good = world.rules
        world.rules = replace(
            good,
            numbers=NumberPolicy((), None),
            policy=replace(good.policy, retry_minutes=()),
        )
        with world.store.transaction() as tx:
            tx.execute(
                text("ALTER TABLE service_alias ADD CONSTRAINT broken CHECK (false) NOT VALID")
            )
        world.rules = replace(world.rules, numbers=good.numbers)
        world.win(world.deal([line("cloud", "NEW")]))
        world.run_code(at(JUNE_16))
        failed = world.states()["Assign subscription"]
        told = world.one("SELECT blocker FROM v_order_state").blocker
        with world.store.transaction() as tx:
            tx.execute(text("ALTER TABLE service_alias DROP CONSTRAINT broken"))

        world.act("Assign subscription", "Restart")
        world.run_code(at(JUNE_16))

        assert failed == "Error"
        assert "INSERT" not in told
        assert "IntegrityError" in told
        assert world.states()["Assign subscription"] == "Completed"

    def test_of_one_order_does_not_stop_the_others(
        self, world: DeliveryWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = code_tasks.REGISTRY[CodeName.OPEN_ACCOUNT]

        def fails_for_the_first(call: code_tasks.CodeCall) -> dict[str, object]:
            if call.line.order_id == 1:
                raise StateConflict("not today")
            return real(call)

        monkeypatch.setitem(code_tasks.REGISTRY, CodeName.OPEN_ACCOUNT, fails_for_the_first)
        world.win(world.deal([new_line()]))
        world.win(world.deal([new_line()]))

        report = world.run_code(at(JUNE_16))

        assert (report.completed, report.retried) == (1, 1)

    def test_leaves_nothing_half_done(
        self, world: DeliveryWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from connector.flows import billing_milestone

        world.win(world.deal([new_line()]))
        world.run_code(at(JUNE_16))
        for _ in range(2):
            world.complete_ready(JUNE_16)

        def breaks(**_: object) -> None:
            raise StateConflict("billing is away")

        monkeypatch.setattr(billing_milestone, "start_service_billing", breaks)
        world.run_code(at(JUNE_16))
        between = world.one("SELECT state FROM service").state
        monkeypatch.undo()
        world.run_code(at(JUNE_16) + timedelta(minutes=1))

        assert between == "New"
        assert world.one("SELECT state FROM service").state == "In Service"
        assert world.count("charge") == 2

    def test_never_runs_a_task_twice_when_many_run_at_once(self, world: DeliveryWorld) -> None:
        for _ in range(4):
            world.win(world.deal([line("router"), new_line()]))

        with ThreadPoolExecutor(4) as pool:
            reports = list(pool.map(lambda _: world.run_code(at(JUNE_16)), range(4)))

        assert sum(report.completed for report in reports) == 4
        assert sum(report.given_up + report.retried for report in reports) == 0


class TestForecast:
    def test_counts_working_days_and_moves_when_reality_does(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]), date(2026, 6, 12))  # a Friday
        world.run_code(at(date(2026, 6, 12)))
        planned = world.one("SELECT expected_end_at FROM v_order_state").expected_end_at

        world.complete_ready(date(2026, 6, 19))
        moved = world.one("SELECT expected_end_at FROM v_order_state").expected_end_at

        # two days for port and kit, one for the activation
        assert planned.date() == date(2026, 6, 17)
        assert moved.date() == date(2026, 6, 22)
