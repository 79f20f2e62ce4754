"""The order state arithmetic as one table (domain 3.1, 3.4): tasks and intents in, states out."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, insert, text

from connector.store.tables.catalog import product
from connector.store.tables.ordering import customer_order, order_line, task, work_order
from connector.store.tables.parties import account, brand_table

NOW = datetime(2026, 6, 8, 9, tzinfo=UTC)
P, R, I, W, C, X, S, E = (  # noqa: E741
    "Pending",
    "Ready",
    "In Progress",
    "Waiting",
    "Completed",
    "Canceled",
    "Skipped",
    "Error",
)


def order_of(tx: Connection, lines: list[list[str]], **intents: Any) -> int:
    """Enter an order whose lines have one work order each, with tasks in these states."""
    brand = tx.execute(
        insert(brand_table)
        .values(key="b", name="B", legal_name="B", invoice_prefix="B")
        .returning(brand_table.c.id)
    ).scalar_one()
    owner = tx.execute(
        insert(account)
        .values(brand_id=brand, sfid="0" * 18, kind="business", name="A")
        .returning(account.c.id)
    ).scalar_one()
    sold = tx.execute(
        insert(product)
        .values(brand_id=brand, key="p", name="P", display_name="P", kind="Widget")
        .returning(product.c.id)
    ).scalar_one()
    order = tx.execute(
        insert(customer_order)
        .values(
            brand_id=brand,
            number="ORD-1",
            account_id=owner,
            origination="API",
            origin_key="k",
            currency="EUR",
            created_at=NOW,
            **({"started_at": NOW} | intents),
        )
        .returning(customer_order.c.id)
    ).scalar_one()
    for n, states in enumerate(lines, start=1):
        line = tx.execute(
            insert(order_line)
            .values(order_id=order, sequence=n, request_type="WIDGET", product_id=sold)
            .returning(order_line.c.id)
        ).scalar_one()
        work = tx.execute(
            insert(work_order)
            .values(number=f"WO-{n}", order_line_id=line, role="Ship", template="t", created_at=NOW)
            .returning(work_order.c.id)
        ).scalar_one()
        for m, state in enumerate(states, start=1):
            tx.execute(
                insert(task).values(
                    number=f"TSK-{n}{m}",
                    work_order_id=work,
                    sequence=m,
                    name=f"step {n}.{m}",
                    kind="Manual",
                    state=state,
                    ready_at=None if state in (P, X) else NOW,
                    actual_end_at=NOW if state in (C, S, X) else None,
                    error_message="broken" if state == E else None,
                )
            )
    return int(order)


@pytest.mark.parametrize(
    ("lines", "intents", "order", "work_orders"),
    [
        ([], {"started_at": None}, "Pending", []),
        ([], {}, "Pending", []),
        ([], {"cancel_requested_at": NOW}, "Canceled", []),
        ([[P], [P]], {}, "Pending", ["Pending", "Pending"]),
        ([[P, P]], {"started_at": None}, "Pending", ["Pending"]),
        ([[R, P], [P]], {}, "In Progress", ["In Progress", "Pending"]),
        ([[C, P], [P]], {}, "In Progress", ["In Progress", "Pending"]),
        ([[W], [C]], {}, "In Progress", ["In Progress", "Completed"]),
        ([[E, P], [C]], {}, "In Progress", ["In Progress", "Completed"]),
        ([[C, C], [S]], {}, "Completed", ["Completed", "Completed"]),
        ([[C], [X]], {}, "Partial", ["Completed", "Canceled"]),
        ([[C, X], [C]], {}, "Partial", ["Canceled", "Completed"]),
        ([[X, X], [X]], {"cancel_requested_at": NOW}, "Canceled", ["Canceled", "Canceled"]),
        ([[C, X]], {"cancel_requested_at": NOW}, "Canceled", ["Canceled"]),
        ([[I], [X]], {"cancel_requested_at": NOW}, "Pending Cancel", ["In Progress", "Canceled"]),
        ([[I], [C]], {"held_at": NOW}, "On Hold", ["On Hold", "Completed"]),
        ([[P]], {"held_at": NOW, "started_at": None}, "On Hold", ["On Hold"]),
        ([[C]], {"held_at": NOW}, "Completed", ["Completed"]),
    ],
)
def test_follow_from_tasks_and_intents(
    tx: Connection,
    lines: list[list[str]],
    intents: dict[str, Any],
    order: str,
    work_orders: list[str],
) -> None:
    order_id = order_of(tx, lines, **intents)

    found = tx.execute(text("SELECT * FROM v_order_state WHERE order_id = :id"), {"id": order_id})
    of_work = tx.scalars(
        text("SELECT state FROM v_work_order_state WHERE order_id = :id ORDER BY work_order_id"),
        {"id": order_id},
    )
    of_lines = tx.scalars(
        text(
            "SELECT v.state FROM v_order_line_state v JOIN order_line l ON l.id = v.order_line_id "
            "WHERE l.order_id = :id ORDER BY l.sequence"
        ),
        {"id": order_id},
    )

    assert found.one().state == order
    assert list(of_work) == work_orders
    assert list(of_lines) == work_orders


def test_show_progress_next_step_and_what_is_stuck(tx: Connection) -> None:
    order_id = order_of(tx, [[C, P], [C, E]])

    found = tx.execute(
        text("SELECT * FROM v_order_state WHERE order_id = :id"), {"id": order_id}
    ).one()

    assert (found.progress_pct, found.tasks_total, found.tasks_done) == (50, 4, 2)
    assert found.next_step == "step 2.2"
    assert found.blocker == "TSK-22 step 2.2: broken"


def test_count_only_the_work_that_is_left_to_count(tx: Connection) -> None:
    order_id = order_of(tx, [[C], [X, X]])

    found = tx.execute(
        text("SELECT * FROM v_order_state WHERE order_id = :id"), {"id": order_id}
    ).one()

    assert (found.state, found.progress_pct, found.tasks_total) == ("Partial", 100, 1)
    assert found.actual_end_at == NOW
