"""From an order to a service that is billed, changed and ended."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from delivery_world import ADDRESS, DeliveryWorld, at, line, new_line
from sqlalchemy import text

from connector.errors import InvalidInput
from connector.flows.order_action import act_on_order
from connector.flows.task_action import act_on_task
from connector.ordering.orders import OrderFinal, PastPointOfNoReturn
from connector.ordering.templates import Templates, load_templates

JUNE_16 = date(2026, 6, 16)


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
            world.act("Hand over", "Complete", effective_on=date(2026, 6, 12))

        service = world.one("SELECT state, service_start_on FROM service")
        assert tuple(service) == ("In Service", date(2026, 6, 12))
        assert world.count("charge") == 2

    def test_leaves_the_task_open_when_the_service_cannot_start(
        self, world: DeliveryWorld, by_template: Callable[[str], None]
    ) -> None:
        by_template("  - {name: Hand over, kind: Manual, milestone_of: Billing start}\n")
        world.win(world.deal([new_line()]))

        with pytest.raises(InvalidInput, match="cannot start on 2026-06-20"):
            world.act("Hand over", "Complete", effective_on=date(2026, 6, 20))

        assert world.states() == {"Hand over": "Ready"}

    def test_passes_by_itself_with_the_latest_date_before_it(
        self, world: DeliveryWorld, by_template: Callable[[str], None]
    ) -> None:
        by_template(
            "  - {name: Cable, kind: Manual}\n"
            "  - {name: Test, kind: Manual}\n"
            "  - {name: Live, kind: Milestone, milestone_of: Billing start, after: [Cable, Test]}\n"
        )
        world.win(world.deal([new_line()]))
        world.act("Test", "Complete", effective_on=date(2026, 6, 14))
        world.act("Cable", "Complete", effective_on=date(2026, 6, 11))

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

    @pytest.mark.parametrize(("agreed", "each"), [(None, 100), (Decimal(80), 40)])
    def test_begins_a_new_term_at_the_same_price_unless_another_is_agreed(
        self, world: DeliveryWorld, agreed: Decimal | None, each: int
    ) -> None:
        service_id = world.delivered_service(quantity=Decimal(2))
        re_term = line(
            "line-100",
            "RE_TERM",
            term_months=24,
            new_mrr=agreed,
            target_service_key=f"l2c:service:{service_id}",
        )
        started = world.one("SELECT service_start_on FROM service").service_start_on
        world.win(world.deal([re_term]), date(2026, 7, 16))

        world.run_code(at(date(2026, 7, 16)))

        service = world.one(
            "SELECT mr_price, service_start_on, current_term_start_on, current_term_end_on "
            "  FROM service"
        )
        assert tuple(service) == (
            each,
            started,
            date(2026, 7, 16),
            date(2028, 7, 15),
        )

    @pytest.mark.parametrize(
        ("quoted", "then"), [(None, "Month-to-month"), ("Same term", "Same term")]
    )
    def test_sets_what_follows_the_new_term_when_it_is_quoted(
        self, world: DeliveryWorld, quoted: str | None, then: str
    ) -> None:
        service_id = world.delivered_service(renewal_type="Month-to-month")
        key = f"l2c:service:{service_id}"
        re_term = line(
            "line-100", "RE_TERM", term_months=24, renewal_type=quoted, target_service_key=key
        )
        world.win(world.deal([re_term]), date(2026, 7, 16))

        world.run_code(at(date(2026, 7, 16)))

        assert world.one("SELECT renewal_type FROM service").renewal_type == then

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

        assert [
            row.state for row in world.rows("SELECT state FROM v_order_state ORDER BY order_id")
        ] == [
            "Canceled",
            "Completed",
        ]
        services = world.rows("SELECT state FROM service ORDER BY id")
        assert [row.state for row in services] == ["Order Canceled", "In Service"]
        aliases = world.rows("SELECT value FROM service_alias")
        assert {row.value for row in aliases} == {"+49613155500000"}

    def test_of_an_order_is_its_end_and_nothing_is_made_for_it_any_more(
        self, world: DeliveryWorld
    ) -> None:
        order = world.win(
            world.deal([line("seat", "NEW", term_months=24, location_text=ADDRESS)])
        ).order_id

        def act(action: str) -> None:
            act_on_order(
                store=world.store,
                rules=world.rules,
                order_id=order,
                action=action,
                now=at(date(2026, 6, 10)),
            )

        act("Cancel")
        before = world.rows("SELECT id, state FROM task ORDER BY id")

        for again in ("Create", "Start"):
            with pytest.raises(OrderFinal, match="nothing is made for it any more"):
                act(again)

        assert world.rows("SELECT id, state FROM task ORDER BY id") == before

    def test_of_an_order_is_refused_once_the_device_is_installed(
        self, world: DeliveryWorld
    ) -> None:
        order = world.win(world.deal([line("wan", "NEW"), new_line()])).order_id
        world.run_code(at(JUNE_16))
        world.act("Order access line", "Complete")
        world.act("Install device on site", "Complete")

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
