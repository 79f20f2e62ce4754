"""A won deal becomes one order, or nothing and every reason why."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from delivery_world import ADDRESS, DeliveryWorld, customer, line, new_line
from sqlalchemy import text

from connector.errors import TransientFailure
from connector.flows.win import DealNotDeliverable
from connector.parties.billing_accounts import PayerTerms
from connector.sync.apply.opportunity import DealLocation


class TestWin:
    def test_makes_lines_in_quote_order_with_services_and_work(self, world: DeliveryWorld) -> None:
        sfid = world.deal(
            [
                line("seat", "NEW", quantity=Decimal(3), term_months=24, location_text=ADDRESS),
                new_line(),
                line("router", "WIDGET", quantity=Decimal(5)),
                line("audit"),
            ]
        )

        won = world.win(sfid)

        lines = world.rows(
            "SELECT l.request_type, p.key, l.quantity, w.role, w.template, s.state "
            "FROM order_line l JOIN product p ON p.id = l.product_id "
            "JOIN work_order w ON w.order_line_id = l.id "
            "LEFT JOIN service s ON s.created_by_line_id = l.id "
            "WHERE l.order_id = :order ORDER BY l.sequence",
            order=won.order_id,
        )
        assert [tuple(row) for row in lines] == [
            ("NEW", "seat", 3, "Deliver", "deliver-voice", "New"),
            ("NEW", "line-100", 1, "Deliver", "deliver-broadband", "New"),
            ("WIDGET", "router", 5, "Ship", "ship", None),
            ("SERVICE_REQUEST", "audit", 1, "Service request", "visit", None),
        ]
        order = world.one("SELECT * FROM customer_order")
        assert (order.origination, order.po_number, order.currency) == (
            "Opportunity",
            "PO-7",
            "EUR",
        )
        assert order.started_at is not None
        assert world.one("SELECT state FROM v_order_state").state == "In Progress"

    def test_is_one_order_when_told_ten_times(self, world: DeliveryWorld) -> None:
        sfid = world.deal([new_line()])

        orders = {world.win(sfid).order_id for _ in range(10)}

        assert len(orders) == 1
        assert world.reads == 1
        counts = [world.count(t) for t in ("customer_order", "service", "work_order", "account")]
        assert counts == [1, 1, 1, 1]

    def test_is_one_order_when_told_by_many_at_once(self, world: DeliveryWorld) -> None:
        sfid = world.deal([new_line()])

        with ThreadPoolExecutor(6) as pool:
            results = list(pool.map(world.win, [sfid] * 12))

        assert len({won.order_id for won in results}) == 1
        assert sum(not won.was_known for won in results) == 1
        assert world.count("customer_order") == world.count("work_order") == 1
        assert world.count("billing_account") == world.count("account") == 1

    def test_opens_the_account_of_a_person(self, world: DeliveryWorld) -> None:
        ann = customer(is_person=True, name="Ann Lee", first_name="Ann", last_name="Lee")

        world.win(world.deal([new_line()], account=ann))

        account = world.one("SELECT kind, name, link_state FROM account")
        assert tuple(account) == ("person", "Ann Lee", "Linked")
        billing = world.one("SELECT number, currency, email FROM billing_account")
        assert tuple(billing) == ("BA-000001", "EUR", "billing@dental.example")

    def test_opens_billing_on_the_operators_terms(self, world: DeliveryWorld) -> None:
        terms = PayerTerms(timezone="Europe/London", payment_days=30)
        world.rules = replace(world.rules, payers=terms)

        world.win(world.deal([new_line()]))

        billing = world.one("SELECT timezone, payment_terms_days FROM billing_account")
        assert tuple(billing) == ("Europe/London", 30)

    def test_books_the_account_under_its_brand(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line()], account=customer(brand_key="reseller")))

        brands = world.rows(
            "SELECT b.key FROM brand b JOIN (SELECT brand_id FROM account UNION ALL "
            "SELECT brand_id FROM billing_account UNION ALL SELECT brand_id FROM customer_order "
            "UNION ALL SELECT brand_id FROM service) owned ON owned.brand_id = b.id"
        )
        assert [row.key for row in brands] == ["reseller"] * 4

    def test_enters_one_place_for_an_address_typed_twice(self, world: DeliveryWorld) -> None:
        other_spelling = "Second desk, RHEINALLEE 12, 55116  Mainz, DE"

        world.win(world.deal([new_line(), replace(new_line(), location_text=other_spelling)]))

        assert world.count("location") == 1
        assert {row.location_id for row in world.rows("SELECT location_id FROM service")} == {
            world.one("SELECT id FROM location").id
        }

    def test_takes_the_place_a_line_points_at(self, world: DeliveryWorld) -> None:
        place = DealLocation(
            sfid="a0L000000000001AAA",
            hub_key=None,
            name="Depot",
            street="Kai 4",
            city="Mainz",
            postal_code="55118",
            country="DE",
        )

        world.win(world.deal([line("line-100", "NEW", term_months=12, location=place)]))

        found = world.one("SELECT name, street, sfid FROM location")
        assert tuple(found) == ("Depot", "Kai 4", place.sfid)

    def test_waits_for_a_person_when_orders_do_not_start_by_themselves(
        self, world: DeliveryWorld
    ) -> None:
        world.rules = replace(world.rules, policy=replace(world.rules.policy, auto_start=False))

        world.win(world.deal([new_line()]))

        assert world.one("SELECT state FROM v_order_state").state == "Pending"
        assert {row.state for row in world.rows("SELECT state FROM task")} == {"Pending"}

    def test_lets_an_org_that_does_not_answer_be_asked_again(self, world: DeliveryWorld) -> None:
        sfid = world.deal([new_line()])
        tree = world.trees.pop(sfid)

        def silent(_: str) -> None:
            raise TransientFailure("no answer")

        world.read_tree = silent  # type: ignore[method-assign, assignment]
        with pytest.raises(TransientFailure):
            world.win(sfid)
        world.read_tree = lambda _: tree  # type: ignore[method-assign]

        assert not world.win(sfid).was_known


class TestPrices:
    def test_keeps_the_exact_list_price_behind_a_rounded_one(self, world: DeliveryWorld) -> None:
        rounded = Decimal("11.91")  # the list says 11.905, the CRM keeps two places

        world.win(
            world.deal(
                [line("seat", "NEW", term_months=24, location_text=ADDRESS, unit_price=rounded)]
            )
        )

        assert world.one("SELECT mr_price FROM order_line").mr_price == Decimal("11.905")

    def test_sells_at_what_the_rep_agreed_less_the_discount(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line(unit_price=Decimal(80), discount_percent=Decimal("12.5"))]))

        sold = world.one("SELECT mr_price, nr_price, mr_cost FROM order_line")
        assert tuple(sold) == (Decimal(70), Decimal(49), Decimal(60))

    def test_spreads_an_agreed_monthly_charge_over_the_units(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line(quantity=Decimal(4), new_mrr=Decimal(310))]))

        assert world.one("SELECT mr_price FROM service").mr_price == Decimal("77.5")

    def test_prices_a_term_by_its_own_entry(self, world: DeliveryWorld) -> None:
        world.win(world.deal([new_line(term_months=24)]))

        assert world.one("SELECT mr_price FROM order_line").mr_price == Decimal(90)


class TestRefusal:
    def test_names_every_reason_at_once_and_writes_nothing(self, world: DeliveryWorld) -> None:
        sfid = world.deal(
            [
                line(None, product_name="Mystery box"),
                line("no-such-thing", "NEW"),
                line("cloud", "MOVE"),
                line("cloud", "NONSENSE"),
                line("line-100", "NEW", term_months=12),
                new_line(term_months=36),
                line("orphan", "NEW"),
                line("misfit", "NEW"),
                line("router", "NEW"),
                line("cloud", "NEW", quantity=Decimal(0)),
                line("line-100", "CANCEL"),
                line("line-100", "CANCEL", target_service_key="l2c:service:999"),
            ]
        )

        with pytest.raises(DealNotDeliverable) as refusal:
            world.win(sfid)

        problems = refusal.value.problems
        expected = (
            "line 1 (Mystery box): the product has no product key",
            "line 2 (no-such-thing): the catalogue has no such product",
            "line 3 (cloud): MOVE needs the service it is about",
            "line 4 (cloud): Request type 'NONSENSE' is not delivered",
            "line 5 (line-100): the product needs a location",
            "line 6 (line-100): no price for NEW over 36 months",
            "line 7 (orphan): The price of 'orphan' for NEW names no template",
            "line 8 (misfit): Template 'disconnect' is for role Disconnect",
            "line 9 (router): NEW is not for a product of kind Widget",
            "line 10 (cloud): the quantity is 0",
            "line 11 (line-100): CANCEL needs the service it is about",
            "line 12 (line-100): its service is unknown to the hub",
        )
        assert len(problems) == len(expected)
        for problem, start in zip(problems, expected, strict=True):
            assert problem.startswith(start), problem
        for table in ("customer_order", "account", "billing_account", "location", "service"):
            assert world.count(table) == 0

    @pytest.mark.parametrize(
        ("facts", "reason"),
        [
            ({"is_won": False, "stage": "Closed Lost"}, "in stage 'Closed Lost', not won"),
            ({"account": None}, "it belongs to no account"),
            ({"account": customer(currency=None)}, "has no currency"),
            ({"account": customer(currency="XXQ")}, "'XXQ' is not a currency"),
            ({"account": customer(brand_key="nobody")}, "There is no brand 'nobody'"),
            ({"account": customer(cycle="half-year")}, "cycle 'half-year' is none of week, month"),
        ],
    )
    def test_says_what_is_wrong_with_the_deal(
        self, world: DeliveryWorld, facts: dict[str, object], reason: str
    ) -> None:
        sfid = world.deal([new_line()], **facts)

        with pytest.raises(DealNotDeliverable, match=reason):
            world.win(sfid)

    @pytest.mark.parametrize(
        ("facts", "reason"),
        [
            ({"discount_percent": Decimal(120)}, "the discount is 120 %"),
            ({"discount_percent": Decimal(-5)}, "the discount is -5 %"),
            ({"unit_price": Decimal("-10")}, r"its price is below zero \(-10\)"),
            ({"new_mrr": Decimal("-1")}, r"its price is below zero \(-1\)"),
        ],
    )
    def test_refuses_to_pay_the_customer_every_month(
        self, world: DeliveryWorld, facts: dict[str, Decimal], reason: str
    ) -> None:
        with pytest.raises(DealNotDeliverable, match=reason):
            world.win(world.deal([new_line(**facts)]))

    def test_wants_something_sold(self, world: DeliveryWorld) -> None:
        with pytest.raises(DealNotDeliverable, match="neither a synced quote with lines nor"):
            world.win(world.deal([]))

    def test_succeeds_once_the_deal_is_corrected(self, world: DeliveryWorld) -> None:
        sfid = world.deal([line("no-such-thing", "NEW")])
        with pytest.raises(DealNotDeliverable):
            world.win(sfid)
        world.trees[sfid] = world.trees[world.deal([new_line()])]

        assert not world.win(sfid).was_known

    def test_sells_nothing_to_a_customer_in_collection(self, world: DeliveryWorld) -> None:
        world.delivered_service()
        with world.store.transaction() as tx:
            tx.execute(text("UPDATE billing_account SET status = 'Collection'"))

        with pytest.raises(DealNotDeliverable, match="BA-000001 is in status Collection"):
            world.win(world.deal([new_line()]))

    def test_lets_one_service_be_on_one_line_only(self, world: DeliveryWorld) -> None:
        key = f"l2c:service:{world.delivered_service()}"
        cancel = line("line-100", "CANCEL", target_service_key=key)

        with pytest.raises(
            DealNotDeliverable, match=r"is on the lines 1 \(CANCEL\) and 2 \(CANCEL\)"
        ):
            world.win(world.deal([cancel, cancel]))

    def test_lets_one_open_order_change_a_service(self, world: DeliveryWorld) -> None:
        key = f"l2c:service:{world.delivered_service()}"
        cancel = line("line-100", "CANCEL", target_service_key=key)
        world.win(world.deal([cancel]))

        with pytest.raises(DealNotDeliverable, match="is about to change by order ORD-"):
            world.win(world.deal([cancel]))

    def test_lets_an_audit_stand_beside_a_change(self, world: DeliveryWorld) -> None:
        key = f"l2c:service:{world.delivered_service()}"
        audit = line("audit", "SERVICE_REQUEST", target_service_key=key)
        world.win(world.deal([audit]))

        world.win(world.deal([line("line-100", "CANCEL", target_service_key=key), audit]))

        assert world.count("customer_order") == 3

    def test_changes_nothing_that_is_about_to_end(self, world: DeliveryWorld) -> None:
        key = f"l2c:service:{world.delivered_service()}"
        world.win(world.deal([line("line-100", "CANCEL", target_service_key=key)]))
        world.deliver(date(2026, 7, 1), effective_on=date(2026, 8, 1))

        with pytest.raises(DealNotDeliverable, match="waits for CANCEL on 2026-08-01"):
            world.win(world.deal([line("line-500", "UPGRADE", target_service_key=key)]))

    def test_refuses_the_service_of_another_customer(self, world: DeliveryWorld) -> None:
        key = f"l2c:service:{world.delivered_service()}"
        other = customer("001000000000002AAA", name="Other")

        with pytest.raises(DealNotDeliverable, match="belongs to another customer"):
            world.win(
                world.deal([line("line-100", "CANCEL", target_service_key=key)], account=other)
            )

    def test_refuses_to_cancel_what_is_gone(self, world: DeliveryWorld) -> None:
        key = f"l2c:service:{world.delivered_service()}"
        cancel = line("line-100", "CANCEL", target_service_key=key)
        world.win(world.deal([cancel]), date(2026, 7, 1))
        world.deliver(date(2026, 7, 2))

        with pytest.raises(DealNotDeliverable, match="is Canceled By User, not In Service"):
            world.win(world.deal([cancel]), date(2026, 7, 3))
