"""Add-ons, places, rests, other payers and returns: each once per line, refused with the cause."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from billing_world import BillingWorld, at

from connector.billing import commands
from connector.billing.requests import AddOnTerms, ForeignCurrency
from connector.charging import opening
from connector.charging.add_ons import UnknownAddOn
from connector.charging.returns import NotSold
from connector.charging.segments import (
    BeforeBillingStart,
    BillingAlreadyEnded,
    BillingAlreadyStarted,
    BillingPaused,
    NothingToBill,
)
from connector.errors import InvalidInput, StateConflict
from connector.store.engine import Store

JUNE = date(2026, 6, 1)
JUNE_11 = date(2026, 6, 11)
JUNE_16 = date(2026, 6, 16)
JUNE_21 = date(2026, 6, 21)
JULY = date(2026, 7, 1)


@pytest.fixture
def world(store: Store) -> BillingWorld:
    made = BillingWorld(store)
    made.tax("0")
    return made


@pytest.fixture
def service(world: BillingWorld) -> int:
    """Return a service of 60.00 that is billed from June on."""
    made = world.service(world.payer(), world.product("line"), "60.00")
    world.start(made, JUNE)
    return made


@pytest.fixture
def pauses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "policies").mkdir()
    file = tmp_path / "policies" / "proration.yaml"
    file.write_text("default: {while_suspended: pause, credit_on_cancel: none}\n")
    monkeypatch.setattr(opening, "mappings_dir", lambda: tmp_path)


def days(world: BillingWorld) -> list[tuple[str, date, date | None]]:
    with world.store.read() as tx:
        rows = tx.exec_driver_sql(
            "SELECT p.key, c.starts_on, c.ends_on FROM charge c JOIN product p "
            "ON p.id = c.product_id WHERE c.ends_on IS DISTINCT FROM c.starts_on ORDER BY c.id"
        )
        return [tuple(row) for row in rows]


class TestAddOn:
    def test_stays_when_the_service_changes_and_ends_with_it(
        self, world: BillingWorld, service: int
    ) -> None:
        world.add(service, "backup", world.product("backup"), JUNE_11, "30.00")
        world.change(service, JUNE_16, "90.00")
        world.cancel(service, JUNE_21)

        assert days(world) == [
            ("line", JUNE, JUNE_16),
            ("backup", JUNE_11, JUNE_21),
            ("line", JUNE_16, JUNE_21),
        ]

    def test_is_started_and_ended_once_by_a_line(self, world: BillingWorld, service: int) -> None:
        backup = world.product("backup")
        first, last = (world.order_line(world.payer(), backup) for _ in range(2))

        made = [world.add(service, "b", backup, JUNE_11, "30.00", line=first) for _ in range(2)]
        ended = [world.remove(service, "b", JUNE_16, line=last) for _ in range(2)]

        assert made[0] == made[1]
        assert ended == [True, False]
        assert days(world)[1:] == [("backup", JUNE_11, JUNE_16)]

    def test_goes_on_with_the_price_model_it_is_given(
        self, world: BillingWorld, service: int
    ) -> None:
        backup = world.product("backup")
        world.add(service, "backup", backup, JUNE_11, "30.00")
        tiers = [{"up_to": "1", "unit_price": "30.00"}, {"up_to": None, "unit_price": "20.00"}]
        two = AddOnTerms(
            "backup",
            backup,
            Decimal(2),
            Decimal("30.00"),
            pricing={"model": "graduated", "tiers": tiers},
        )

        with world.store.transaction() as tx:
            commands.change_add_on_billing(
                tx=tx,
                service_id=service,
                order_line_id=world.line_of(service),
                on=JUNE_16,
                add_on=two,
                now=at(JUNE_16),
            )

        assert days(world)[1:] == [("backup", JUNE_11, JUNE_16), ("backup", JUNE_16, None)]
        last = world.one("SELECT quantity, pricing FROM charge ORDER BY id DESC LIMIT 1")
        assert (last.quantity, last.pricing["model"]) == (Decimal(2), "graduated")

    def test_comes_back_under_its_name(self, world: BillingWorld, service: int) -> None:
        backup = world.product("backup")
        world.add(service, "backup", backup, JUNE_11, "30.00")
        world.remove(service, "backup", JUNE_16)
        world.add(service, "backup", backup, JUNE_16, "35.00")

        assert days(world)[1:] == [("backup", JUNE_11, JUNE_16), ("backup", JUNE_16, None)]

    def test_is_refused_with_the_cause(self, world: BillingWorld, service: int) -> None:
        backup = world.product("backup")
        world.add(service, "backup", backup, JUNE_11, "30.00")

        with pytest.raises(BillingAlreadyStarted, match="has an add-on 'backup' from 2026-06-11"):
            world.add(service, "backup", backup, JUNE_16, "30.00")
        with pytest.raises(UnknownAddOn, match="has no add-on 'mailbox'; it has: backup"):
            world.remove(service, "mailbox", JUNE_16)
        with pytest.raises(BeforeBillingStart, match="no add-on on 2026-05-31"):
            world.add(service, "mailbox", backup, date(2026, 5, 31), "9.00")
        with pytest.raises(InvalidInput, match="needs a name"):
            world.add(service, "", backup, JUNE_16, "9.00")
        world.cancel(service, JUNE_21)
        with pytest.raises(BillingAlreadyEnded, match="billed until 2026-06-21"):
            world.add(service, "mailbox", backup, JULY, "9.00")


class TestRest:
    @pytest.mark.usefixtures("pauses")
    def test_that_is_billed_to_the_end_of_its_month_is_not_billed_twice(
        self, world: BillingWorld, service: int
    ) -> None:
        world.suspend(service, JUNE_11)
        world.resume(service, JUNE_21)

        assert days(world) == [("line", JUNE, JULY), ("line", JULY, None)]

    @pytest.mark.usefixtures("pauses")
    def test_keeps_an_agreed_price_and_an_agreed_end(
        self, world: BillingWorld, service: int
    ) -> None:
        world.change(service, date(2026, 8, 1), "90.00")
        world.cancel(service, date(2026, 9, 1))
        world.suspend(service, JUNE_11)
        world.resume(service, date(2026, 7, 10))

        assert days(world) == [
            ("line", JUNE, JULY),
            ("line", date(2026, 7, 10), date(2026, 8, 1)),
            ("line", date(2026, 8, 1), date(2026, 9, 1)),
        ]

    @pytest.mark.usefixtures("pauses")
    def test_lets_nothing_change_until_it_is_over(self, world: BillingWorld, service: int) -> None:
        world.suspend(service, JUNE_11)

        with pytest.raises(BillingPaused, match="is suspended since 2026-06-11"):
            world.change(service, JUNE_16, "90.00")
        with pytest.raises(BillingPaused):
            world.suspend(service, JUNE_16)
        with pytest.raises(BillingPaused):
            world.move(service, JUNE_16, "Wien")
        assert not world.cancel(service, JULY)


class TestHandOver:
    def test_takes_add_ons_and_agreed_prices_along(self, world: BillingWorld, service: int) -> None:
        world.add(service, "backup", world.product("backup"), JUNE_11, "30.00")
        world.change(service, JULY, "90.00")
        other = world.payer()

        world.transfer(service, JUNE_16, other)

        taken = world.one(
            "SELECT array_agg(starts_on || ' ' || round(unit_price) "
            "                 ORDER BY product_id, starts_on) AS all FROM charge "
            " WHERE billing_account_id = :id",
            id=other,
        )
        assert taken.all == ["2026-06-16 60", "2026-07-01 90", "2026-06-16 30"]
        assert all(end == JUNE_16 for _, _, end in days(world)[:2])

    def test_adds_no_last_day_and_no_fee(self, world: BillingWorld) -> None:
        bands = {"bands": [{"from_month": 1, "percent": "100"}]}
        product = world.product("bound", early_termination=bands)
        service = world.service(world.payer(), product, "60.00")
        world.start(service, JUNE)
        world.term(service, JUNE, 12)

        world.transfer(service, JUNE_16, world.payer())

        assert days(world) == [("bound", JUNE, JUNE_16), ("bound", JUNE_16, None)]

    def test_counts_once_for_a_line(self, world: BillingWorld, service: int) -> None:
        line = world.order_line(world.payer(), world.product("line"))

        made = [world.move(service, JUNE_16, "Wien", "AT", line=line) for _ in range(2)]

        assert made[0] == made[1]
        assert days(world) == [("line", JUNE, JUNE_16), ("line", JUNE_16, None)]

    def test_is_refused_to_nobody_to_oneself_and_to_another_currency(
        self, world: BillingWorld, service: int
    ) -> None:
        own = world.one("SELECT billing_account_id FROM service").billing_account_id

        with pytest.raises(StateConflict, match="There is no billing account 999"):
            world.transfer(service, JUNE_16, 999)
        with pytest.raises(StateConflict, match="pays for service"):
            world.transfer(service, JUNE_16, own)
        with pytest.raises(ForeignCurrency, match="is in USD, the service is billed in EUR"):
            world.transfer(service, JUNE_16, world.payer(currency="USD"))
        with pytest.raises(BeforeBillingStart):
            world.transfer(service, date(2026, 5, 1), world.payer())

    def test_needs_something_that_is_billed(self, world: BillingWorld) -> None:
        idle = world.service(world.payer(), world.product("line"), "60.00")

        with pytest.raises(NothingToBill, match="never started"):
            world.move(idle, JUNE_16, "Wien")


class TestReturn:
    def test_takes_the_latest_sale_first_at_its_own_price(self, world: BillingWorld) -> None:
        payer, router = world.payer(), world.product("router")
        world.sell(payer, router, "99.00", JUNE_11, quantity="2")
        world.sell(payer, router, "89.00", JUNE_16, quantity="2")
        world.bill(JULY)

        line = world.order_line(payer, router)
        for _ in range(2):
            world.give_back(payer, router, date(2026, 7, 10), quantity="3", line=line)
        world.bill(date(2026, 8, 1))

        _, credit = world.documents()
        assert [one["amount"] for one in credit["lines"]] == [Decimal("-99.00"), Decimal("-178.00")]

    def test_gives_back_no_more_than_was_sold(self, world: BillingWorld) -> None:
        payer, router = world.payer(), world.product("router")
        world.sell(payer, router, "99.00", JUNE_11, quantity="2")

        with pytest.raises(NotSold, match="3 cannot come back: only 2 was sold"):
            world.give_back(payer, router, JUNE_16, quantity="3")
        with pytest.raises(InvalidInput, match="0 cannot come back"):
            world.give_back(payer, router, JUNE_16, quantity="0")

        assert world.one("SELECT quantity FROM charge").quantity == 2
