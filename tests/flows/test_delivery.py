"""From an order to a service that is billed, changed and ended."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from delivery_world import ADDRESS, DeliveryWorld, at, line, new_line
from sqlalchemy import text

from connector.errors import InvalidInput, StateConflict
from connector.flows import code_tasks
from connector.flows.code_names import CodeName
from connector.flows.order_action import act_on_order
from connector.flows.task_action import act_on_task
from connector.inventory.number_ranges import NumberPolicy, NumberRange
from connector.ordering.orders import PastPointOfNoReturn
from connector.ordering.task_states import TaskStateConflict
from connector.ordering.tasks import (
    CannotDismiss,
    EffectiveDateOutOfRange,
    NotForPeople,
    OrderOnHold,
)
from connector.ordering.templates import Templates, load_templates

JUNE_16 = date(2026, 6, 16)


def act(
    world: DeliveryWorld, name: str, action: str, on: date = JUNE_16, **facts: object
) -> object:
    task = world.one("SELECT id FROM task WHERE name = :name", name=name)
    given = {"effective_on": None, "note": None} | facts
    return act_on_task(
        store=world.store,
        policy=world.rules.policy,
        task_id=task.id,
        action=action,
        now=at(on),
        **given,  # type: ignore[arg-type]
    )


def states(world: DeliveryWorld) -> dict[str, str]:
    return {row.name: row.state for row in world.rows("SELECT name, state FROM task")}


class TestTasks:
    def test_become_ready_once_everything_before_them_is_done(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]))
        world.run_code(at(JUNE_16))

        act(world, "Reserve the access port", "Complete")
        between = states(world)["Activate the line"]
        act(world, "Send the self-install kit", "Complete")

        assert between == "Pending"
        assert states(world)["Activate the line"] == "Ready"
        assert states(world)["Start service and billing"] == "Pending"

    def test_release_their_successor_when_two_end_at_the_same_moment(
        self, world: DeliveryWorld
    ) -> None:
        world.win(world.deal([new_line()]))
        world.run_code(at(JUNE_16))

        with ThreadPoolExecutor(2) as pool:
            names = ("Reserve the access port", "Send the self-install kit")
            list(pool.map(lambda name: act(world, name, "Complete"), names))

        assert states(world)["Activate the line"] == "Ready"

    def test_stay_completed_when_completed_again(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]))
        world.run_code(at(JUNE_16))
        act(world, "Reserve the access port", "Complete", effective_on=date(2026, 6, 10))

        act(world, "Reserve the access port", "Complete", effective_on=date(2026, 6, 15))

        told = world.one("SELECT effective_on FROM task WHERE name = 'Reserve the access port'")
        assert told.effective_on == date(2026, 6, 10)

    def test_cannot_be_completed_before_their_turn(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]))

        with pytest.raises(TaskStateConflict, match="is Pending"):
            act(world, "Activate the line", "Complete")

    def test_of_code_are_not_for_people(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]))

        with pytest.raises(NotForPeople):
            act(world, "Open billing account", "Complete")

    @pytest.mark.parametrize("days", [-401, 93])
    def test_take_no_date_far_from_today(self, world: DeliveryWorld, days: int) -> None:
        world.win(world.deal([new_line()]))
        world.run_code(at(JUNE_16))

        with pytest.raises(EffectiveDateOutOfRange):
            act(
                world,
                "Reserve the access port",
                "Complete",
                effective_on=JUNE_16 + timedelta(days=days),
            )

    def test_that_start_billing_cannot_be_dismissed(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]))

        with pytest.raises(CannotDismiss):
            act(world, "Start service and billing", "Dismiss")

    def test_that_are_dismissed_let_the_rest_go_on(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]))
        world.run_code(at(JUNE_16))
        act(world, "Reserve the access port", "Complete")

        act(world, "Send the self-install kit", "Dismiss", note="has one")

        assert states(world)["Activate the line"] == "Ready"

    def test_refuse_an_act_nobody_knows(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]))

        with pytest.raises(InvalidInput, match="'Explode' is no action"):
            act(world, "Activate the line", "Explode")


class TestStart:
    def test_counts_from_the_day_the_turn_up_happened(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]))

        world.deliver(date(2026, 6, 20), effective_on=JUNE_16)

        service = world.one("SELECT * FROM service")
        assert (service.state, service.service_start_on) == ("In Service", JUNE_16)
        assert service.current_term_end_on == date(2027, 6, 15)
        charges = world.rows("SELECT kind, starts_on, unit_price FROM charge ORDER BY kind")
        assert [tuple(row) for row in charges] == [
            ("one_time", JUNE_16, Decimal(49)),
            ("recurring", JUNE_16, Decimal(100)),
        ]
        assert world.one("SELECT state FROM v_order_state").state == "Completed"

    def test_happens_on_the_customers_day_not_on_utc(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()]))
        late = at(date(2026, 6, 30), 22)  # past midnight in Berlin
        for _ in range(4):
            world.run_code(late)
            for row in world.rows("SELECT id FROM task WHERE state='Ready' AND kind='Manual'"):
                act_on_task(
                    store=world.store,
                    policy=world.rules.policy,
                    task_id=row.id,
                    action="Complete",
                    effective_on=None,
                    note=None,
                    now=late + timedelta(minutes=30),
                )

        assert world.one("SELECT service_start_on FROM service").service_start_on == date(
            2026, 7, 1
        )

    def test_gives_numbers_that_are_the_services_alone(self, world: DeliveryWorld) -> None:
        seats = line("seat", "NEW", quantity=Decimal(3), term_months=24, location_text=ADDRESS)
        world.win(world.deal([seats, replace(seats, quantity=Decimal(2))]))
        world.deliver(JUNE_16)

        aliases = world.rows(
            "SELECT service_id, value, valid_from FROM service_alias ORDER BY value"
        )
        assert [row.value for row in aliases] == [f"+4961315550000{n}" for n in range(5)]
        assert {row.valid_from for row in aliases} == {JUNE_16}
        assert sorted([row.service_id for row in aliases]) == [1, 1, 1, 2, 2]

    def test_names_a_cloud_subscription_after_its_service(self, world: DeliveryWorld) -> None:
        world.win(world.deal([line("cloud", "NEW")]))
        world.deliver(JUNE_16)

        alias = world.one("SELECT kind, value FROM service_alias")
        assert tuple(alias) == ("subscription", "sub-srv-000001")

    def test_charges_hardware_and_work_once_and_makes_no_service(
        self, world: DeliveryWorld
    ) -> None:
        world.win(world.deal([line("router", quantity=Decimal(5)), line("audit")]))
        world.deliver(JUNE_16)
        world.deliver(date(2026, 6, 18))

        charges = world.rows("SELECT kind, quantity, unit_price, starts_on FROM charge ORDER BY id")
        assert [tuple(row) for row in charges] == [
            ("one_time", 5, 189, JUNE_16),
            ("one_time", 1, 200, JUNE_16),
        ]
        assert world.count("service") == 0


class TestMilestone:
    @pytest.fixture
    def by_template(self, world: DeliveryWorld, tmp_path: Path) -> Callable[[str], None]:
        """Return an act: deliver the world's lines by a template of these tasks."""

        def use(tasks: str) -> None:
            path = tmp_path / "deliver-broadband.yaml"
            path.write_text(f"key: deliver-broadband\nrole: Deliver\ntasks:\n{tasks}")
            templates = Templates(world.rules.templates.by_key | load_templates(tmp_path).by_key)
            world.rules = replace(world.rules, templates=templates)

        return use

    def test_starts_the_service_when_a_person_completes_it(
        self, world: DeliveryWorld, by_template: Callable[[str], None]
    ) -> None:
        by_template("  - {name: Hand over, kind: Manual, milestone_of: Billing start}\n")
        world.win(world.deal([new_line()]))

        for _ in range(2):
            act(world, "Hand over", "Complete", effective_on=date(2026, 6, 12))

        service = world.one("SELECT state, service_start_on FROM service")
        assert tuple(service) == ("In Service", date(2026, 6, 12))
        assert world.count("charge") == 2

    def test_leaves_the_task_open_when_the_service_cannot_start(
        self, world: DeliveryWorld, by_template: Callable[[str], None]
    ) -> None:
        by_template("  - {name: Hand over, kind: Manual, milestone_of: Billing start}\n")
        world.win(world.deal([new_line()]))

        with pytest.raises(InvalidInput, match="cannot start on 2026-06-20"):
            act(world, "Hand over", "Complete", effective_on=date(2026, 6, 20))

        assert states(world) == {"Hand over": "Ready"}

    def test_passes_by_itself_with_the_latest_date_before_it(
        self, world: DeliveryWorld, by_template: Callable[[str], None]
    ) -> None:
        by_template(
            "  - {name: Cable, kind: Manual}\n"
            "  - {name: Test, kind: Manual}\n"
            "  - {name: Live, kind: Milestone, milestone_of: Billing start, after: [Cable, Test]}\n"
        )
        world.win(world.deal([new_line()]))
        act(world, "Test", "Complete", effective_on=date(2026, 6, 14))
        act(world, "Cable", "Complete", effective_on=date(2026, 6, 11))

        world.run_code(at(JUNE_16))

        started = world.one("SELECT service_start_on FROM service").service_start_on
        assert started == date(2026, 6, 14)


class TestChange:
    def test_upgrades_in_place_from_the_day_it_was_done(self, world: DeliveryWorld) -> None:
        service_id = world.delivered_service()
        upgrade = line("line-500", "UPGRADE", target_service_key=f"l2c:service:{service_id}")
        world.win(world.deal([upgrade]), date(2026, 7, 14))

        world.deliver(date(2026, 7, 20), effective_on=date(2026, 7, 16))

        service = world.one(
            "SELECT p.key, s.mr_price, s.state, s.service_start_on, s.current_term_end_on "
            "FROM service s JOIN product p ON p.id = s.product_id"
        )
        assert tuple(service) == (
            "line-500",
            Decimal(150),
            "In Service",
            JUNE_16,
            date(2027, 6, 15),
        )
        segments = world.rows(
            "SELECT starts_on, ends_on, unit_price FROM charge WHERE kind = 'recurring' ORDER BY id"
        )
        assert [tuple(row) for row in segments] == [
            (JUNE_16, date(2026, 7, 16), Decimal(100)),
            (date(2026, 7, 16), None, Decimal(150)),
        ]
        change = world.one("SELECT type, state, effective_on, old, new FROM service_change")
        assert (change.type, change.state) == ("UPGRADE", "Applied")
        assert (change.old["mr_price"], change.new["mr_price"]) == ("100", "150")

    def test_restarts_the_term_only_when_one_was_quoted(self, world: DeliveryWorld) -> None:
        service_id = world.delivered_service()
        upgrade = line(
            "line-500", "UPGRADE", term_months=24, target_service_key=f"l2c:service:{service_id}"
        )
        world.win(world.deal([upgrade]), date(2026, 7, 14))

        world.deliver(date(2026, 7, 16))

        service = world.one("SELECT current_term_start_on, current_term_end_on FROM service")
        assert tuple(service) == (date(2026, 7, 16), date(2028, 7, 15))

    def test_lets_an_undated_downgrade_wait_for_the_bill_day(self, world: DeliveryWorld) -> None:
        service_id = world.delivered_service()
        downgrade = line(
            "line-100",
            "DOWNGRADE",
            unit_price=Decimal(70),
            target_service_key=f"l2c:service:{service_id}",
        )
        world.win(world.deal([downgrade]), date(2026, 7, 14))

        world.deliver(date(2026, 7, 16))
        before = world.one("SELECT mr_price FROM service").mr_price
        report = world.run_code(at(date(2026, 8, 1)))

        assert before == Decimal(100)
        assert report.changes_applied == 1
        assert world.one("SELECT mr_price FROM service").mr_price == Decimal(70)
        starts = world.rows("SELECT starts_on FROM charge WHERE kind = 'recurring' ORDER BY id")
        assert [row.starts_on for row in starts] == [JUNE_16, date(2026, 8, 1)]

    def test_re_rates_a_service_without_touching_its_term(self, world: DeliveryWorld) -> None:
        service_id = world.delivered_service(quantity=Decimal(2))
        re_rate = line(
            "line-100",
            "RE_RATE",
            new_mrr=Decimal(140),
            target_service_key=f"l2c:service:{service_id}",
        )
        world.win(world.deal([re_rate]), date(2026, 7, 16))

        world.run_code(at(date(2026, 7, 16)))

        service = world.one("SELECT mr_price, quantity, current_term_end_on FROM service")
        assert tuple(service) == (Decimal(70), Decimal(2), date(2027, 6, 15))

    def test_gives_more_numbers_when_there_are_more_seats(self, world: DeliveryWorld) -> None:
        world.win(world.deal([line("seat", "NEW", term_months=24, location_text=ADDRESS)]))
        world.deliver(JUNE_16)
        more = line("seat", "UPGRADE", quantity=Decimal(3), target_service_key="l2c:service:1")
        world.win(world.deal([more]), date(2026, 7, 1))
        world.deliver(date(2026, 7, 2))

        aliases = world.rows("SELECT valid_from FROM service_alias ORDER BY value")
        assert [row.valid_from for row in aliases] == [JUNE_16, date(2026, 7, 2), date(2026, 7, 2)]


class TestCancel:
    def test_ends_service_numbers_and_billing_on_the_day_told(self, world: DeliveryWorld) -> None:
        world.win(world.deal([line("seat", "NEW", term_months=24, location_text=ADDRESS)]))
        world.deliver(JUNE_16)
        cancel = line("seat", "CANCEL", target_service_key="l2c:service:1")
        world.win(world.deal([cancel]), date(2026, 7, 10))

        world.deliver(date(2026, 7, 15), effective_on=date(2026, 7, 11))

        service = world.one("SELECT state, service_end_on FROM service")
        assert tuple(service) == ("Canceled By User", date(2026, 7, 11))
        assert world.one("SELECT ends_on FROM charge").ends_on == date(2026, 7, 11)
        assert world.one("SELECT valid_to FROM service_alias").valid_to == date(2026, 7, 11)

    def test_of_a_service_is_scheduled_when_its_day_lies_ahead(self, world: DeliveryWorld) -> None:
        service_id = world.delivered_service()
        cancel = line("line-100", "CANCEL", target_service_key=f"l2c:service:{service_id}")
        world.win(world.deal([cancel]), date(2026, 7, 10))

        world.deliver(date(2026, 7, 10), effective_on=date(2026, 8, 1))
        before = world.one("SELECT state FROM service").state
        world.run_code(at(date(2026, 8, 1)))

        assert before == "In Service"
        assert world.one("SELECT state FROM service").state == "Canceled By User"
        assert world.one("SELECT ends_on FROM charge WHERE kind = 'recurring'").ends_on == date(
            2026, 8, 1
        )

    def test_of_an_order_gives_back_what_was_kept_for_it(self, world: DeliveryWorld) -> None:
        seats = world.deal([line("seat", "NEW", term_months=24, location_text=ADDRESS)])
        order = world.win(seats).order_id
        world.run_code(at(date(2026, 6, 9)))

        act_on_order(
            store=world.store,
            rules=world.rules,
            order_id=order,
            action="Cancel",
            now=at(date(2026, 6, 10)),
        )
        world.win(world.deal([line("seat", "NEW", term_months=24, location_text=ADDRESS)]))
        world.deliver(JUNE_16)

        assert [row.state for row in world.rows("SELECT state FROM v_order_state")] == [
            "Canceled",
            "Completed",
        ]
        services = world.rows("SELECT state FROM service ORDER BY id")
        assert [row.state for row in services] == ["Order Canceled", "In Service"]
        aliases = world.rows("SELECT value FROM service_alias")
        assert {row.value for row in aliases} == {"+49613155500000"}

    def test_of_an_order_is_refused_once_the_device_is_installed(
        self, world: DeliveryWorld
    ) -> None:
        order = world.win(world.deal([line("wan", "NEW"), new_line()])).order_id
        world.run_code(at(JUNE_16))
        act(world, "Order access line", "Complete")
        act(world, "Install device on site", "Complete")

        with pytest.raises(PastPointOfNoReturn, match="'Install device on site' is done"):
            act_on_order(
                store=world.store,
                rules=world.rules,
                order_id=order,
                action="Cancel",
                now=at(JUNE_16),
            )
        assert {row.state for row in world.rows("SELECT state FROM service")} == {"New"}

    def test_of_an_order_ends_at_the_point_of_no_return(self, world: DeliveryWorld) -> None:
        order = world.win(world.deal([new_line()])).order_id
        world.deliver(JUNE_16)
        open_again = "UPDATE task SET state = 'Ready' WHERE name = 'Tell the customer'"
        with world.store.transaction() as tx:
            tx.execute(text(open_again))

        with pytest.raises(PastPointOfNoReturn, match="Start service and billing"):
            act_on_order(
                store=world.store,
                rules=world.rules,
                order_id=order,
                action="Cancel",
                now=at(JUNE_16),
            )
        assert world.one("SELECT state FROM service").state == "In Service"


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
            act(world, "Reserve the access port", "Complete")


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
        failed = states(world)["Assign subscription"]
        with world.store.transaction() as tx:
            tx.execute(text("ALTER TABLE service_alias DROP CONSTRAINT broken"))

        act(world, "Assign subscription", "Restart")
        world.run_code(at(JUNE_16))

        assert failed == "Error"
        assert states(world)["Assign subscription"] == "Completed"

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
