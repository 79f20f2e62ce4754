"""Each request type from the won deal to inventory and billing (domain 3.3)."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from delivery_world import DeliveryWorld, at, customer, line

from connector.charging import opening
from connector.flows.win import DealNotDeliverable

JUNE_1 = date(2026, 6, 1)
JUNE_11 = date(2026, 6, 11)
JUNE_16 = date(2026, 6, 16)
JUNE_20 = date(2026, 6, 20)
VIENNA = "Office Wien, Ring 1, 1010 Wien, AT"


@pytest.fixture
def key(world: DeliveryWorld) -> str:
    """Return a line of 100.00 a month in Mainz that is in service since June."""
    return f"l2c:service:{world.delivered_service(JUNE_1)}"


def charges(world: DeliveryWorld) -> list[tuple[str, Decimal, date, date | None]]:
    return [
        tuple(row)
        for row in world.rows(
            "SELECT p.key, c.unit_price, c.starts_on, c.ends_on FROM charge c "
            "JOIN product p ON p.id = c.product_id WHERE c.kind = 'recurring' ORDER BY c.id"
        )
    ]


def order(world: DeliveryWorld, on: date, request: str, key: str, **facts: object) -> None:
    product = str(facts.pop("product", "line-100"))
    account = facts.pop("account", customer())
    world.win(
        world.deal([line(product, request, target_service_key=key, **facts)], account=account), on
    )


def refusal(world: DeliveryWorld, request: str, key: str, **facts: object) -> str:
    with pytest.raises(DealNotDeliverable) as refused:
        order(world, JUNE_11, request, key, **facts)
    return str(refused.value)


class TestAddOnChange:
    def test_adds_and_removes_on_one_line_once_it_is_done(
        self, world: DeliveryWorld, key: str
    ) -> None:
        order(world, JUNE_11, "ADD_ON_CHANGE", key, add_ons_added="backup, night=backup*2")
        assert world.count("add_on") == 0
        world.deliver(JUNE_11)
        order(world, JUNE_16, "ADD_ON_CHANGE", key, add_ons_removed="night")
        world.deliver(JUNE_16)

        kept = world.rows("SELECT name, quantity, start_on, end_on FROM add_on ORDER BY id")
        assert [tuple(row) for row in kept] == [
            ("backup", 1, JUNE_11, None),
            ("night", 2, JUNE_11, JUNE_16),
        ]
        assert charges(world) == [
            ("line-100", 100, JUNE_1, None),
            ("backup", 30, JUNE_11, None),
            ("backup", 30, JUNE_11, JUNE_16),
        ]
        assert world.one("SELECT mrr FROM push_service").mrr == 130

    def test_changes_an_add_on_under_its_name_by_its_price_model(
        self, world: DeliveryWorld, key: str
    ) -> None:
        """5 mailboxes at 2.00 are 10.00; 15 are 10 at 2.00 and 5 at 1.00."""
        order(world, JUNE_11, "ADD_ON_CHANGE", key, add_ons_added="team=mailbox*5")
        world.deliver(JUNE_11)
        before = world.one("SELECT mrr FROM push_service").mrr
        order(world, JUNE_16, "ADD_ON_CHANGE", key, add_ons_changed="team*15")
        world.deliver(JUNE_16)

        kept = world.rows("SELECT name, quantity, start_on, end_on FROM add_on ORDER BY id")
        assert [tuple(row) for row in kept] == [
            ("team", 5, JUNE_11, JUNE_16),
            ("team", 15, JUNE_16, None),
        ]
        assert (before, round(world.one("SELECT mrr FROM push_service").mrr, 2)) == (110, 125)
        billed = world.rows(
            "SELECT quantity, pricing, starts_on, ends_on FROM charge "
            "WHERE kind = 'recurring' AND source ? 'add_on' ORDER BY id"
        )
        assert [(row.quantity, row.starts_on, row.ends_on) for row in billed] == [
            (5, JUNE_11, JUNE_16),
            (15, JUNE_16, None),
        ]
        assert {row.pricing["model"] for row in billed} == {"graduated"}

    def test_changes_an_add_on_to_another_product(self, world: DeliveryWorld, key: str) -> None:
        order(world, JUNE_11, "ADD_ON_CHANGE", key, add_ons_added="extra=mailbox")
        world.deliver(JUNE_11)
        order(world, JUNE_16, "ADD_ON_CHANGE", key, add_ons_changed="extra=backup*2")
        world.deliver(JUNE_16)

        assert charges(world)[1:] == [
            ("mailbox", 2, JUNE_11, JUNE_16),
            ("backup", 30, JUNE_16, None),
        ]

    def test_charges_once_for_what_is_added_and_for_no_change(
        self, world: DeliveryWorld, key: str
    ) -> None:
        order(world, JUNE_11, "ADD_ON_CHANGE", key, add_ons_added="mailbox*3, spare=mailbox")
        world.deliver(JUNE_11)
        order(world, JUNE_16, "ADD_ON_CHANGE", key, add_ons_changed="mailbox*9")
        world.deliver(JUNE_16)

        once = world.rows(
            "SELECT quantity, unit_price, starts_on FROM charge "
            "WHERE kind = 'one_time' AND unit_price = 5 ORDER BY id"
        )
        assert [tuple(row) for row in once] == [(3, 5, JUNE_11), (1, 5, JUNE_11)]

    @pytest.mark.parametrize(
        ("added", "changed", "removed", "reason"),
        [
            (None, None, "backup", "has no add-on 'backup' to remove"),
            (None, "backup*2", None, "has no add-on 'backup' to change"),
            (None, None, None, "adds nothing, changes nothing and removes nothing"),
            ("nothing", None, None, "the catalogue has no product 'nothing' to add"),
            ("cloud", None, None, "no price of 'cloud' for ADD_ON_CHANGE"),
            ("backup, backup", None, None, "has an add-on 'backup' already"),
            ("two words", None, None, "is no add-on to add"),
            (None, "backup", None, "is no add-on to change; write name*3"),
            ("backup*0", None, None, "has the quantity 0"),
        ],
    )
    def test_is_refused_with_the_reason(
        self, world: DeliveryWorld, key: str, added: str, changed: str, removed: str, reason: str
    ) -> None:
        told = refusal(
            world,
            "ADD_ON_CHANGE",
            key,
            add_ons_added=added,
            add_ons_changed=changed,
            add_ons_removed=removed,
        )
        assert reason in told

    def test_of_one_add_on_is_named_once(self, world: DeliveryWorld, key: str) -> None:
        order(world, JUNE_11, "ADD_ON_CHANGE", key, add_ons_added="backup")
        world.deliver(JUNE_11)

        told = refusal(
            world, "ADD_ON_CHANGE", key, add_ons_changed="backup*2", add_ons_removed="backup"
        )

        assert "has no add-on 'backup' to change" in told


class TestUpgradePaths:
    """The catalogue says `line-100: upgrades_to: [line-500]` (row B11)."""

    def test_let_one_line_pass_and_refuse_the_second_naming_the_path(
        self, world: DeliveryWorld, key: str
    ) -> None:
        other = f"l2c:service:{world.delivered_service(JUNE_1)}"
        allowed = line("line-500", "UPGRADE", target_service_key=key)
        astray = line("wan", "UPGRADE", target_service_key=other)

        with pytest.raises(DealNotDeliverable) as refused:
            world.win(world.deal([allowed, astray]), JUNE_11)

        (problem,) = refused.value.problems
        assert problem == (
            "line 2 (wan): service SRV-000002: no path leads up from 'line-100' to 'wan' "
            "(paths up from there: line-100 > line-500)"
        )

    def test_lead_back_as_a_downgrade_only(self, world: DeliveryWorld, key: str) -> None:
        order(world, JUNE_11, "UPGRADE", key, product="line-500")
        world.deliver(JUNE_11)
        with pytest.raises(DealNotDeliverable, match="no path leads down from 'line-500' to 'wan'"):
            order(world, JUNE_16, "DOWNGRADE", key, product="wan")

        order(world, JUNE_16, "DOWNGRADE", key, requested_on=JUNE_16)
        world.deliver(JUNE_16)

        assert charges(world)[-1] == ("line-100", 100, JUNE_16, None)


class TestMove:
    def test_is_turned_up_first_and_taxed_there_from_that_day(
        self, world: DeliveryWorld, key: str
    ) -> None:
        order(world, JUNE_11, "MOVE", key, location_text=VIENNA)
        works = world.rows("SELECT role FROM work_order WHERE template LIKE '%site' ORDER BY id")
        assert [row.role for row in works] == ["Turn-up", "Disconnect"]
        assert world.states()["Take down the old site"] == "Pending"

        world.deliver(JUNE_20, effective_on=JUNE_16)

        service = world.one(
            "SELECT s.state, s.service_start_on, l.country FROM service s "
            "JOIN location l ON l.id = s.location_id"
        )
        assert tuple(service) == ("In Service", JUNE_1, "AT")
        places = world.rows(
            "SELECT l.country, c.starts_on, c.ends_on FROM charge c "
            "JOIN location l ON l.id = c.location_id WHERE kind = 'recurring' ORDER BY c.id"
        )
        assert [tuple(row) for row in places] == [("DE", JUNE_1, JUNE_16), ("AT", JUNE_16, None)]
        fee = world.one("SELECT unit_price, starts_on FROM charge WHERE unit_price = 50")
        assert fee.starts_on == JUNE_16
        assert {row.state for row in world.rows("SELECT state FROM v_order_state")} == {"Completed"}

    def test_reads_a_country_in_words(self, world: DeliveryWorld, key: str) -> None:
        order(world, JUNE_11, "MOVE", key, location_text="Office, Ring 1, 1010 Wien, Österreich")

        order_line = world.one(
            "SELECT l.country FROM order_line o JOIN location l ON l.id = o.location_id "
            "WHERE o.request_type = 'MOVE'"
        )
        assert order_line.country == "AT"

    def test_needs_the_new_place(self, world: DeliveryWorld, key: str) -> None:
        assert "MOVE needs the new location" in refusal(world, "MOVE", key)


class TestReplace:
    def test_starts_the_new_service_and_ends_the_old_one_on_one_day(
        self, world: DeliveryWorld, key: str
    ) -> None:
        order(world, JUNE_11, "REPLACE", key, product="line-500", requested_on=JUNE_16)
        world.run_code(at(JUNE_16))
        assert world.states()["Switch the service off"] == "Pending"
        for _ in range(2):
            world.complete_ready(JUNE_16, JUNE_16)
            world.run_code(at(JUNE_16))
        world.deliver(JUNE_20)

        old, new = world.rows("SELECT * FROM service ORDER BY id")
        assert (old.state, old.service_end_on) == ("Canceled By User", JUNE_16)
        assert (new.state, new.service_start_on) == ("In Service", JUNE_16)
        assert (new.location_id, new.billing_account_id) == (
            old.location_id,
            old.billing_account_id,
        )
        assert charges(world) == [
            ("line-100", 100, JUNE_1, JUNE_16),
            ("line-500", 150, JUNE_16, None),
        ]

    def test_has_a_work_order_for_the_new_side_and_one_for_the_old(
        self, world: DeliveryWorld, key: str
    ) -> None:
        order(world, JUNE_11, "REPLACE", key, product="line-500", requested_on=JUNE_16)

        works = world.rows(
            "SELECT w.role, p.key FROM work_order w "
            "JOIN order_line o ON o.id = w.order_line_id AND o.request_type = 'REPLACE' "
            "JOIN service s ON s.id = w.service_id JOIN product p ON p.id = s.product_id "
            "ORDER BY w.id"
        )
        assert [tuple(row) for row in works] == [
            ("Turn-up", "line-500"),
            ("Disconnect", "line-100"),
        ]

    def test_needs_a_date(self, world: DeliveryWorld, key: str) -> None:
        told = refusal(world, "REPLACE", key, product="line-500")
        assert "REPLACE needs the requested date" in told

    def test_and_a_cancel_of_one_service_are_refused_naming_both_lines(
        self, world: DeliveryWorld, key: str
    ) -> None:
        both = [
            line("line-100", "CANCEL", target_service_key=key),
            line("line-500", "REPLACE", target_service_key=key, requested_on=JUNE_16),
        ]
        with pytest.raises(DealNotDeliverable, match=r"lines 1 \(CANCEL\) and 2 \(REPLACE\)"):
            world.win(world.deal(both))


class TestRest:
    def test_is_suspended_and_resumed_also_while_the_customer_is_in_collection(
        self, world: DeliveryWorld, key: str
    ) -> None:
        with world.store.transaction() as tx:
            tx.exec_driver_sql("UPDATE billing_account SET status = 'Collection'")
        order(world, JUNE_11, "SUSPEND", key)
        world.deliver(JUNE_11)
        assert world.one("SELECT state FROM service").state == "Suspended for Non-Pay"
        assert "is Suspended for Non-Pay, not In Service" in refusal(world, "SUSPEND", key)

        order(world, JUNE_16, "RESUME", key)
        world.deliver(JUNE_16)

        assert world.one("SELECT state FROM service").state == "In Service"
        assert charges(world) == [("line-100", 100, JUNE_1, None)]  # billed on, by default

    def test_lets_the_price_change_and_another_pay_meanwhile(
        self, world: DeliveryWorld, key: str
    ) -> None:
        order(world, JUNE_11, "SUSPEND", key)
        world.deliver(JUNE_11)

        order(world, JUNE_16, "RE_RATE", key, new_mrr=Decimal(70))
        world.deliver(JUNE_16)
        daughter = customer("001000000000002AAA", name="Daughter")
        order(world, JUNE_20, "TRANSFER_OF_BILLING", key, account=daughter)
        world.deliver(JUNE_20)

        assert world.one("SELECT state FROM service").state == "Suspended for Non-Pay"
        assert charges(world) == [
            ("line-100", 100, JUNE_1, JUNE_16),
            ("line-100", 70, JUNE_16, JUNE_20),
            ("line-100", 70, JUNE_20, None),
        ]
        assert "is Suspended for Non-Pay, not In Service" in refusal(
            world, "ADD_ON_CHANGE", key, add_ons_added="backup", account=daughter
        )

    def test_of_a_running_service_cannot_end(self, world: DeliveryWorld, key: str) -> None:
        assert "is In Service, not Suspended" in refusal(world, "RESUME", key)


class TestTransfer:
    def test_goes_to_the_customer_of_the_deal_from_the_day_on(
        self, world: DeliveryWorld, key: str
    ) -> None:
        daughter = customer("001000000000002AAA", name="Daughter")

        order(world, JUNE_16, "TRANSFER_OF_BILLING", key, account=daughter)
        world.deliver(JUNE_16)

        paid = world.rows(
            "SELECT a.name, c.starts_on, c.ends_on FROM charge c "
            "JOIN billing_account b ON b.id = c.billing_account_id "
            "JOIN account a ON a.id = b.account_id WHERE c.kind = 'recurring' ORDER BY c.id"
        )
        assert [tuple(row) for row in paid] == [
            ("Dental Group", JUNE_1, JUNE_16),
            ("Daughter", JUNE_16, None),
        ]
        owner = world.one(
            "SELECT a.name, s.service_start_on FROM service s JOIN account a ON a.id = s.account_id"
        )
        assert tuple(owner) == ("Daughter", JUNE_1)

    def test_to_whoever_has_it_is_refused(self, world: DeliveryWorld, key: str) -> None:
        assert "is this customer's already" in refusal(world, "TRANSFER_OF_BILLING", key)


def test_an_order_is_invoiced_on_its_day_where_the_policy_says_so(
    world: DeliveryWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policies").mkdir()
    file = tmp_path / "policies" / "proration.yaml"
    file.write_text("default: {invoice_partials_on: on_order}\n")
    monkeypatch.setattr(opening, "mappings_dir", lambda: tmp_path)

    world.delivered_service(JUNE_16)

    (invoice,) = world.rows("SELECT invoice_on, subtotal, state FROM invoice")
    assert tuple(invoice) == (JUNE_16, Decimal("99.00"), "finalised")  # 50.00 and 49.00 once
