"""A service that is billed elsewhere is started, changed and ended there, each exactly once."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from billing_systems_world import NOW, ON, Oldbooks
from sqlalchemy import text
from sync_out.world import insert

from connector.billing.commands import (
    change_service_billing,
    end_add_on_billing,
    end_service_billing,
    give_back_once,
    open_account,
    resume_service_billing,
    start_add_on_billing,
    start_service_billing,
    suspend_service_billing,
    transfer_service_billing,
)
from connector.billing.requests import AddOnTerms
from connector.billing.routing import Routing
from connector.charging.segments import BillingAlreadyEnded, NothingToBill
from connector.flows.billing_systems import deliver_commands
from connector.parties.billing_accounts import PayerTerms
from connector.store.engine import Store

CHANGED_ON = date(2026, 7, 16)
ENDED_ON = date(2026, 8, 1)


@pytest.fixture
def lines(store: Store, oldbooks: Oldbooks) -> dict[str, int]:
    """Make the service and the order lines that start, change and end it; return their ids."""
    with store.transaction() as tx:
        account, brand = tx.execute(text("SELECT id, brand_id FROM account")).one()
        payer = open_account(
            tx=tx,
            account_id=account,
            currency="EUR",
            terms=PayerTerms(),
            routing=Routing(brands={"default": "oldbooks"}),
            now=NOW,
        )
        seat, suite = (
            insert(tx, "product", brand_id=brand, key=key, name=key, display_name=key,
                   kind="Service")
            for key in ("SEAT", "SUITE")
        )  # fmt: skip
        order = insert(tx, "customer_order", brand_id=brand, number="ORD-1", origination="API",
                       account_id=account, billing_account_id=payer, origin_key="1",
                       currency="EUR", created_at=NOW)  # fmt: skip
        start, change, end = (
            insert(tx, "order_line", order_id=order, sequence=place, request_type=kind,
                   product_id=seat)
            for place, kind in enumerate(("NEW", "UPGRADE", "CANCEL"), start=1)
        )  # fmt: skip
        service = insert(tx, "service", brand_id=brand, number="SRV-1", account_id=account,
                         billing_account_id=payer, product_id=seat, created_by_line_id=start,
                         currency="EUR", quantity="5", mr_price="12.50")  # fmt: skip
    return {"service": service, "start": start, "change": change, "end": end, "suite": suite}


def _start(store: Store, lines: dict[str, int]) -> None:
    with store.transaction() as tx:
        start_service_billing(
            tx=tx, service_id=lines["service"], order_line_id=lines["start"], on=ON, now=NOW
        )


def _change(store: Store, lines: dict[str, int], on: date = CHANGED_ON) -> int:
    with store.transaction() as tx:
        return change_service_billing(
            tx=tx,
            service_id=lines["service"],
            order_line_id=lines["change"],
            on=on,
            quantity=Decimal(8),
            mr_price=Decimal("11.25"),
            mr_cost=Decimal(4),
            product_id=lines["suite"],
            now=NOW,
        )


def _end(store: Store, lines: dict[str, int], line: str = "end") -> bool:
    with store.transaction() as tx:
        return end_service_billing(
            tx=tx,
            service_id=lines["service"],
            order_line_id=lines[line],
            on=ENDED_ON,
            now=NOW,
        )


def _outbox(oldbooks: Oldbooks) -> list[dict[str, Any]]:
    return oldbooks.rows(
        "SELECT key, command, effective_on, quantity, unit_price, payload FROM ar.l2c_outbox "
        "WHERE command <> 'open_account' ORDER BY sequence"
    )


def test_reach_the_outbox_in_the_order_of_asking(store, oldbooks, lines) -> None:
    _start(store, lines)
    _change(store, lines)
    _end(store, lines)

    deliver_commands(store=store, system=oldbooks.system, now=NOW)

    started, changed, ended = _outbox(oldbooks)
    assert (started["command"], started["effective_on"]) == ("start", ON)
    assert (changed["command"], changed["effective_on"]) == ("change", CHANGED_ON)
    assert (ended["command"], ended["effective_on"]) == ("end", ENDED_ON)


def test_say_the_new_terms_of_a_change(store, oldbooks, lines) -> None:
    _start(store, lines)
    _change(store, lines)

    deliver_commands(store=store, system=oldbooks.system, now=NOW)

    changed = _outbox(oldbooks)[1]
    assert changed["key"] == f"change:line:{lines['change']}"
    assert (changed["quantity"], changed["unit_price"]) == (Decimal(8), Decimal("11.25"))
    assert changed["payload"]["service"] == "SRV-1"
    assert changed["payload"]["order_line"] == "ORD-1/2"
    assert changed["payload"]["product"]["key"] == "SUITE"


def test_tell_the_price_of_a_renewed_term_without_an_order(store, oldbooks, lines) -> None:
    _start(store, lines)
    _change(store, lines | {"change": None}, on=date(2027, 7, 1))

    deliver_commands(store=store, system=oldbooks.system, now=NOW)

    renewed = _outbox(oldbooks)[1]
    assert renewed["key"] == f"renewal:service:{lines['service']}:2027-07-01"
    assert (renewed["command"], renewed["unit_price"]) == ("change", Decimal("11.25"))
    assert "order_line" not in renewed["payload"]


def test_say_of_an_end_the_day_and_no_price(store, oldbooks, lines) -> None:
    _start(store, lines)
    _end(store, lines)

    deliver_commands(store=store, system=oldbooks.system, now=NOW)

    ended = _outbox(oldbooks)[1]
    assert ended["key"] == f"end:line:{lines['end']}"
    assert (ended["quantity"], ended["unit_price"]) == (None, None)
    assert ended["payload"]["order_line"] == "ORD-1/3"
    assert "product" not in ended["payload"]


def test_count_once_per_order_line(store, oldbooks, lines) -> None:
    _start(store, lines)
    assert _change(store, lines) == _change(store, lines)
    assert (_end(store, lines), _end(store, lines)) == (True, False)

    deliver_commands(store=store, system=oldbooks.system, now=NOW)
    with store.transaction() as tx:  # as after a crash between their commit and ours
        tx.execute(text("UPDATE billing_command SET delivered_at = NULL"))
    deliver_commands(store=store, system=oldbooks.system, now=NOW)

    assert [row["command"] for row in _outbox(oldbooks)] == ["start", "change", "end"]


def test_end_once_although_another_line_ends_it_on_the_same_day(store, oldbooks, lines) -> None:
    _start(store, lines)
    _end(store, lines)

    assert not _end(store, lines, "change")

    deliver_commands(store=store, system=oldbooks.system, now=NOW)
    assert [row["command"] for row in _outbox(oldbooks)] == ["start", "end"]


def test_are_refused_before_billing_has_started(store, lines) -> None:
    with pytest.raises(NothingToBill, match="SRV-1 never started"):
        _change(store, lines)
    with pytest.raises(NothingToBill, match="SRV-1 never started"):
        _end(store, lines)


def test_are_refused_behind_the_end(store, oldbooks, lines) -> None:
    _start(store, lines)
    _end(store, lines)

    with pytest.raises(BillingAlreadyEnded, match="billed until 2026-08-01"):
        _change(store, lines, ENDED_ON + timedelta(days=1))

    deliver_commands(store=store, system=oldbooks.system, now=NOW)
    assert [row["command"] for row in _outbox(oldbooks)] == ["start", "end"]


class TestPartsAndPlaces:
    def test_tell_of_an_add_on_by_its_name(self, store, oldbooks, lines) -> None:
        _start(store, lines)
        backup = AddOnTerms("backup", lines["suite"], Decimal(1), Decimal(30))
        with store.transaction() as tx:
            of_service = {"tx": tx, "service_id": lines["service"], "now": NOW}
            start_add_on_billing(
                **of_service, order_line_id=lines["change"], on=CHANGED_ON, add_on=backup
            )
            end_add_on_billing(**of_service, order_line_id=lines["end"], on=ENDED_ON, name="backup")

        deliver_commands(store=store, system=oldbooks.system, now=NOW)

        _, started, ended = _outbox(oldbooks)
        assert (started["command"], started["unit_price"]) == ("start", 30)
        assert started["payload"]["add_on"] == ended["payload"]["add_on"] == "backup"
        assert ended["key"] == f"end:line:{lines['end']}:backup"

    def test_refuse_to_end_an_add_on_nobody_started(self, store, lines) -> None:
        _start(store, lines)

        with pytest.raises(NothingToBill, match="add-on 'backup'"), store.transaction() as tx:
            end_add_on_billing(
                tx=tx,
                service_id=lines["service"],
                order_line_id=lines["end"],
                on=ENDED_ON,
                name="backup",
                now=NOW,
            )

    def test_tell_of_a_rest_as_a_change_of_nothing_else(self, store, oldbooks, lines) -> None:
        _start(store, lines)
        with store.transaction() as tx:
            of_service = {"tx": tx, "service_id": lines["service"], "now": NOW}
            suspend_service_billing(**of_service, order_line_id=lines["change"], on=CHANGED_ON)
            resume_service_billing(**of_service, order_line_id=lines["end"], on=ENDED_ON)

        deliver_commands(store=store, system=oldbooks.system, now=NOW)

        _, suspended, resumed = _outbox(oldbooks)
        assert (suspended["command"], suspended["payload"]["what"]) == ("change", "suspended")
        assert (resumed["quantity"], resumed["payload"]["what"]) == (5, "resumed")

    def test_end_on_one_account_and_start_on_the_other(self, store, oldbooks, lines) -> None:
        _start(store, lines)
        with store.transaction() as tx:
            account = tx.execute(text("SELECT id FROM account")).scalar_one()
            other = open_account(
                tx=tx, account_id=account, currency="EUR", terms=PayerTerms(), now=NOW
            )
            transfer_service_billing(
                tx=tx,
                service_id=lines["service"],
                order_line_id=lines["change"],
                on=CHANGED_ON,
                billing_account_id=other,
                now=NOW,
            )
            begun = tx.execute(text("SELECT billing_account_id, starts_on FROM charge")).one()

        deliver_commands(store=store, system=oldbooks.system, now=NOW)

        assert tuple(begun) == (other, CHANGED_ON)
        assert [(row["command"], row["effective_on"]) for row in _outbox(oldbooks)] == [
            ("start", ON),
            ("end", CHANGED_ON),
        ]

    def test_give_back_by_a_quantity_below_zero(self, store, oldbooks, lines) -> None:
        with store.transaction() as tx:
            payer = tx.execute(text("SELECT id FROM billing_account")).scalar_one()
            give_back_once(
                tx=tx,
                billing_account_id=payer,
                order_line_id=lines["end"],
                product_id=lines["suite"],
                quantity=Decimal(2),
                currency="EUR",
                on=ON,
                now=NOW,
            )

        deliver_commands(store=store, system=oldbooks.system, now=NOW)

        (back,) = _outbox(oldbooks)
        assert (back["command"], back["quantity"], back["unit_price"]) == ("charge", -2, None)
