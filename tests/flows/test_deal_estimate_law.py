"""Row B22 as a law: whatever a deal asks for, its first real invoices are the estimated ones."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from delivery_world import DeliveryWorld, at, customer, line
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.billing.bill_run import run_cycle
from connector.billing.draft import DocumentDraft
from connector.flows.deal_estimate import INVOICES, estimate_deal
from connector.kernel.period import Cycle, Interval
from connector.store.engine import Store
from connector.sync.apply.opportunity import DealLine

STANDING = date(2026, 5, 4)
MANY = 1_000
REAL = 100  # of these each takes a database of its own
count = REAL if settings().max_examples >= MANY else 5
PLACE = "Practice Mainz, Rheinallee 12, 55116 Mainz, DE"
MOST_DAYS = 800  # two invoices by the year

# A request, a product, facts of the line, and how many days later it is to be.
Wish = tuple[str, str, dict[str, object], int | None]

days_later = st.none() | st.integers(0, 40)
new_products = st.sampled_from(
    [("line-100", 12, PLACE), ("line-100", 24, PLACE), ("seat", 24, PLACE), ("cloud", 0, None)]
)
what_is_new = st.builds(
    lambda product, quantity, percent, own, later: (
        "NEW",
        product[0],
        {
            "term_months": product[1],
            "location_text": product[2],
            "quantity": Decimal(quantity),
            "discount_percent": percent,
            "new_mrr": own,
        },
        later,
    ),
    new_products,
    st.integers(1, 9),
    st.decimals(0, 99, places=1),  # for nothing there would never be a second invoice
    st.none() | st.decimals(1, 500, places=2),
    days_later,
)
what_is_sold_once = st.builds(
    lambda kind, quantity, percent: (
        kind[0],
        kind[1],
        {"quantity": Decimal(quantity), "discount_percent": percent},
        None,
    ),
    st.sampled_from([("WIDGET", "router"), ("SERVICE_REQUEST", "audit")]),
    st.integers(1, 9),
    st.decimals(0, 100, places=1),
)
what_changes = st.builds(
    lambda request, own, later: (
        request[0],
        request[1],
        {"new_mrr": own if request[0] == "RE_RATE" else None, "target": True} | request[2],
        later,
    ),
    st.sampled_from(
        [
            ("UPGRADE", "line-500", {}),
            ("RE_RATE", "line-100", {}),
            ("CANCEL", "line-100", {}),
            ("MOVE", "line-100", {"location_text": "Office, Ring 1, 10115 Berlin, DE"}),
            ("ADD_ON_CHANGE", "line-100", {"add_ons_added": "backup*2"}),
        ]
    ),
    st.decimals(0, 300, places=2),
    days_later,
)


@settings(max_examples=count, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cycle=st.sampled_from([None, *Interval]),
    has_service=st.booleans(),
    won=st.dates(date(2026, 6, 1), date(2026, 8, 31)),
    wishes=st.tuples(what_is_new, st.lists(what_is_new | what_is_sold_once, max_size=3)),
    change=what_changes,
)
def test_the_first_invoices_are_the_estimated_ones(
    cycle: Interval | None,
    has_service: bool,
    won: date,
    wishes: tuple[Wish, list[Wish]],
    change: Wish,
    new_store: Callable[[], AbstractContextManager[Store]],
) -> None:
    with new_store() as store:
        world = DeliveryWorld(store)
        world.open_shop()
        account = customer(cycle=cycle and cycle.value)
        key = None
        lines = [wishes[0], *wishes[1]]
        if has_service:
            key = f"l2c:service:{world.delivered_service(STANDING, account=account)}"
            lines.append(change)
        deal = world.deal([wished(won, key, *wish) for wish in lines], account=account)

        with store.transaction() as tx:
            bills = estimate_deal(tx=tx, tree=world.read_tree(deal), rules=world.rules, on=won)
            tx.rollback()

        world.win(deal, won)
        asked = {wish.requested_on or won for wish in world.read_tree(deal).lines}
        live(world, won, asked, cycle or Interval.MONTH)

        assert documents(world, min(asked)) == [told(one.document) for one in bills]


def wished(
    won: date,
    key: str | None,
    request: str,
    product: str,
    facts: dict[str, object],
    later: int | None,
) -> DealLine:
    told = dict(facts)
    if told.pop("target", False):
        told["target_service_key"] = key
    if later is not None:
        told["requested_on"] = won + timedelta(days=later)
    return line(product, request, **told)


def live(world: DeliveryWorld, won: date, asked: set[date], every: Interval) -> None:
    """Go through the days from the deal on: deliver what is due, then bill who is."""
    cycle = Cycle.calendar(every, 1)
    days = (won + timedelta(days=n) for n in range(MOST_DAYS))
    for day in days:
        if day == won or day in asked:
            deliver_what_is_due(world, day)
        if cycle.boundary_from(day) != day:
            continue
        assert run_cycle(store=world.store, billed_to=day, now=at(day)).problems == ()
        if world.one(INVOICES_SINCE, won=won).n >= INVOICES:
            return
    raise AssertionError("there are no two invoices")


INVOICES_SINCE = """
    SELECT count(*) AS n FROM invoice
     WHERE type = 'Invoice'
       AND invoice_on >= (SELECT min(coalesce(requested_on, :won)) FROM order_line l
                           WHERE order_id = (SELECT max(id) FROM customer_order))
    """
DUE = """
    SELECT t.id FROM task t
      JOIN work_order w ON w.id = t.work_order_id
      JOIN order_line l ON l.id = w.order_line_id
     WHERE t.state = 'Ready' AND t.kind = 'Manual' AND coalesce(l.requested_on, :day) <= :day
    """


def deliver_what_is_due(world: DeliveryWorld, day: date) -> None:
    for _ in range(10):
        world.run_code(at(day))
        if world.complete(world.rows(DUE, day=day), day) == 0:
            return
    raise AssertionError("the delivery does not come to an end")


def documents(world: DeliveryWorld, begins_on: date) -> list[dict[str, Any]]:
    rows = world.rows(
        "SELECT i.id, i.type, i.invoice_on, i.total, l.description, l.amount, l.tax_amount, "
        "       l.quantity, l.unit_price, l.service_from, l.service_to "
        "  FROM invoice i JOIN invoice_line l ON l.invoice_id = i.id "
        " WHERE i.invoice_on >= :begins_on ORDER BY i.id, l.line_no",
        begins_on=begins_on,
    )
    return [
        {
            "type": lines[0].type,
            "invoice_on": lines[0].invoice_on,
            "total": lines[0].total,
            "lines": [tuple(one)[4:] for one in lines],
        }
        for lines in (list(group) for _, group in groupby(rows, key=lambda row: row.id))
    ]


def told(document: DocumentDraft) -> dict[str, Any]:
    return {
        "type": document.type,
        "invoice_on": document.invoice_on,
        "total": document.total,
        "lines": [
            (
                taxed.line.description,
                taxed.line.amount,
                taxed.tax_amount,
                taxed.line.quantity,
                taxed.line.unit_price,
                taxed.line.service_from,
                taxed.line.service_to,
            )
            for taxed in document.lines
        ],
    }
