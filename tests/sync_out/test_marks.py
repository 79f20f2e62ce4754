"""No change of a pushed record goes unannounced, however it is made."""

import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sync_out.world import NOW, finalise, insert, make_account, make_world

from connector.store.engine import copy_rows
from connector.store.tables.catalog import product
from connector.sync.push.collapse import collapse, mark

ACCOUNT = "001000000000001AAA"

QUEUE = text(
    "SELECT e.name, q.key, q.version FROM push_queue q JOIN push_entity e ON e.code = q.entity"
)


def marked(tx) -> set[tuple[str, int]]:
    """Collapse the log, return what is owed, and forget it."""
    collapse(tx=tx)
    owed = {(row.name, row.key) for row in tx.execute(QUEUE)}
    tx.execute(text("DELETE FROM push_queue"))
    return owed


@pytest.fixture
def world(tx):
    made = make_world(tx, account_sfid=ACCOUNT, opportunity_sfid="006000000000001AAA")
    marked(tx)
    return made


def test_a_new_customer_owes_every_entity(tx):
    world = make_world(tx, account_sfid=ACCOUNT, opportunity_sfid="006000000000001AAA")

    assert {entity for entity, _ in marked(tx)} == {
        "account", "billing_account", "product", "price_entry", "location", "customer_order",
        "opportunity", "order_line", "service", "work_order", "task", "task_dependency",
        "invoice", "invoice_line", "payment", "allocation",
    }  # fmt: skip
    assert world


def test_copied_rows_are_announced_in_arrays_of_a_thousand(tx):
    brand, _, _ = make_account(tx, sfid=ACCOUNT)
    tx.execute(text("DELETE FROM push_log"))

    copy_rows(
        tx,
        product,
        ("brand_id", "key", "name", "display_name", "kind"),
        [(brand, f"P{number}", "Name", "Name", "Part") for number in range(2_500)],
    )

    arrays = tx.execute(text("SELECT cardinality(keys) FROM push_log")).scalars().all()
    assert sorted(arrays) == [500, 1_000, 1_000]
    assert len(marked(tx)) == 2_500


def test_a_task_marks_what_is_derived_from_it(tx, world):
    tx.execute(text("UPDATE task SET state = 'Completed' WHERE id = :id"), {"id": world.tasks[0]})

    assert marked(tx) == {
        ("task", world.tasks[0]),
        ("work_order", world.work_order),
        ("order_line", world.line),
        ("customer_order", world.order),
        ("opportunity", world.order),
    }


def test_money_marks_the_balances_it_moves(tx, world):
    payment = insert(
        tx, "payment", brand_id=world.brand, number="PAY-2", source="csv", reference="2",
        billing_account_id=world.billing_account, received_on="2026-07-11", amount="3.80",
        currency="EUR", created_at=NOW,
    )  # fmt: skip
    marked(tx)

    allocation = insert(
        tx, "allocation", invoice_id=world.invoice, payment_id=payment, amount="3.80",
        applied_at=NOW,
    )  # fmt: skip

    assert marked(tx) == {
        ("allocation", allocation),
        ("payment", payment),
        ("invoice", world.invoice),
        ("billing_account", world.billing_account),
        ("account", world.account),
    }


def test_an_update_that_changes_nothing_marks_nothing(tx, world):
    tx.execute(text("UPDATE service SET quantity = quantity"))
    tx.execute(text("UPDATE location SET sfid = 'a05000000000001AAA'"))

    assert marked(tx) == set()


def test_a_draft_is_announced_whole_when_it_is_finalised(tx, world):
    draft = insert(
        tx, "invoice", brand_id=world.brand, billing_account_id=world.billing_account, run_key="d",
        currency="EUR", invoice_on="2026-08-01", due_on="2026-08-15", period_start="2026-07-01",
        period_end="2026-08-01", subtotal=0, tax=0, total=0, created_at=NOW,
    )  # fmt: skip
    line = insert(
        tx, "invoice_line", invoice_id=draft, line_no=1, service_id=world.service, kind="Fee",
        description="x", quantity=1, unit_price=0, amount=0, tax_category="standard",
        tax_percent=0, tax_amount=0, service_from="2026-07-01", service_to="2026-07-31",
        accounting_code="4000", explanation={},
    )  # fmt: skip
    marked(tx)

    finalise(tx, draft, number="INV-9")

    assert marked(tx) == {
        ("invoice", draft),
        ("invoice_line", line),
        ("service", world.service),
        ("billing_account", world.billing_account),
        ("account", world.account),
    }


def test_a_deleted_row_marks_its_owner(tx, world):
    tx.execute(text("DELETE FROM allocation"))

    assert ("invoice", world.invoice) in marked(tx)


def test_truncate_is_refused_on_synced_tables(tx, world):
    with pytest.raises(DBAPIError, match="use DELETE instead of TRUNCATE"):
        tx.execute(text("TRUNCATE task_dependency"))


def test_a_change_that_is_rolled_back_owes_nothing(store):
    with store.transaction() as tx:
        make_account(tx, sfid=ACCOUNT)
        tx.rollback()

    with store.transaction() as tx:
        assert marked(tx) == set()


def test_a_burst_of_changes_is_one_key_with_a_version(store):
    with store.transaction() as tx:
        _, _, billing_account = make_account(tx, sfid=ACCOUNT)
        collapse(tx=tx)
    for day in (1, 2, 3):
        with store.transaction() as tx:
            tx.execute(text("UPDATE billing_account SET payment_terms_days = :d"), {"d": day})
        with store.transaction() as tx:
            collapse(tx=tx)

    with store.transaction() as tx:
        rows = [row for row in tx.execute(QUEUE) if row.name == "billing_account"]
    assert [(row.key, row.version) for row in rows] == [(billing_account, 4)]


def test_writers_that_mark_the_same_keys_in_opposite_order_do_not_deadlock(store):
    with store.transaction() as tx:
        make_account(tx, sfid=ACCOUNT)
    failures: list[BaseException] = []
    gate = threading.Barrier(2)

    def write(keys: list[int]) -> None:
        try:
            for _ in range(20):
                with store.transaction() as tx:
                    mark(tx=tx, entity="account", keys=keys)
                    gate.wait(10)
                    mark(tx=tx, entity="account", keys=keys[::-1])
                with store.transaction() as tx:
                    collapse(tx=tx)
        except BaseException as error:
            failures.append(error)
            gate.abort()

    threads = [threading.Thread(target=write, args=(keys,)) for keys in ([1, 2], [2, 1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert failures == []


def test_a_mark_that_commits_late_is_not_lost(store):
    with store.transaction() as tx:
        _, account, _ = make_account(tx, sfid=ACCOUNT)
        marked(tx)
    with store.transaction() as late:
        mark(tx=late, entity="account", keys=[account])
        with store.transaction() as tx:  # its row of the log is younger, and it commits first
            mark(tx=tx, entity="product", keys=[1])
        with store.transaction() as tx:
            assert marked(tx) == {("product", 1)}

    with store.transaction() as tx:
        assert marked(tx) == {("account", account)}
