"""The first invoices of a deal before it is won, to the cent (mission row B22).

The deal is ordered, delivered on its days and billed by the very code that will do so later, in a
transaction that the caller rolls back. So the later invoices can only say the same, as long as
nothing else happens to the customer meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import Connection, select

from connector.billing.compose import compose
from connector.billing.draft import DocumentDraft
from connector.billing.earned_discounts import with_earned_discounts
from connector.billing.finalise import finalise
from connector.billing.queries import (
    already_billed,
    drop_drafts,
    insert_drafts,
    load_books,
    load_taxes,
)
from connector.charging.policy import Partials
from connector.errors import StateConflict
from connector.flows.billing_milestone import carry_out
from connector.flows.rules import DeliveryRules
from connector.flows.win import enter_deal
from connector.ordering.queries import LineFacts, line_facts, lines_worked_by_people
from connector.ordering.request_types import MAKES_SERVICE, Effect, request_of
from connector.ordering.tasks import BILLING_MILESTONES
from connector.parties.billing_accounts import BUILT_IN
from connector.store.tables.ordering import customer_order, order_line
from connector.store.tables.parties import billing_account
from connector.sync.apply.opportunity import OpportunityTree

INVOICES = 2
BILL_DAYS_MAX = 60  # a delivery may lie ahead, and what is billed by the year in arrears waits
_HORIZON = timedelta(days=366)  # what begins later cannot be in the period billed in advance


class DealIsOrdered(StateConflict):
    """A deal that is asked for has become an order already."""

    code = "flows.deal_is_ordered"
    remedy = "See its invoices: l2c invoices list."


class BilledElsewhere(StateConflict):
    """A foreign system makes the invoices of the customer."""

    code = "flows.billed_elsewhere"
    remedy = "Ask that system what it would bill."


@dataclass(frozen=True, slots=True)
class EstimatedBill:
    """An invoice or credit note as it would be, and which of its charges the deal makes."""

    document: DocumentDraft
    order_line_ids: frozenset[int]


def estimate_deal(
    *, tx: Connection, tree: OpportunityTree, rules: DeliveryRules, on: date
) -> tuple[EstimatedBill, ...]:
    """Return the documents of a deal that is won on a day, up to the second invoice.

    What nobody has to carry out, such as a new price, is known at once, for the day it asks for.
    Other lines are done on the day of the deal, or on the later day they ask for. Bills before the
    first line takes effect are made but not returned. Invoices hold what else the customer owes
    then. The caller has to roll the transaction back.

    Raises:
        DealIsOrdered: It was won before.
        DealNotDeliverable: Something in it is unknown or not possible.
        BilledElsewhere: Another system bills the customer.
    """
    standing = tx.scalar(
        select(customer_order.c.number).where(
            customer_order.c.origin_key == f"opportunity:{tree.sfid}"
        )
    )
    if standing is not None:
        raise DealIsOrdered(f"'{tree.name}' is order {standing} already.")
    order_id = enter_deal(
        tx=tx,
        tree=replace(tree, is_won=True),
        rules=rules,
        origin_key=f"estimate:{tree.sfid}",
        now=_noon(on),
    )
    payer = tx.execute(
        select(billing_account.c.id, billing_account.c.number, billing_account.c.system)
        .join(customer_order, customer_order.c.billing_account_id == billing_account.c.id)
        .where(customer_order.c.id == order_id)
    ).one()
    if payer.system != BUILT_IN:
        raise BilledElsewhere(f"'{payer.system}' bills account {payer.number}.")
    lines = _lines(tx, order_id, on)
    documents = _Course(tx, rules, payer.id, list(lines)).first_bills(on)
    return tuple(EstimatedBill(one, frozenset(line.id for line in lines)) for one in documents)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the order, the day on which it is done, and the day from which it counts."""

    id: int
    done_on: date
    counts_from: date


def _lines(tx: Connection, order_id: int, on: date) -> list[_Line]:
    """Return the lines of an order as they are done, one after the other."""
    rows = tx.execute(
        select(order_line.c.id, order_line.c.requested_on, order_line.c.request_type)
        .where(order_line.c.order_id == order_id)
        .order_by(order_line.c.sequence)
    )
    by_people = lines_worked_by_people(tx=tx, order_id=order_id)
    lines = []
    for row in rows:
        asked = row.requested_on or on
        # No service is in service before its first day, whoever turns it up.
        waits = row.id in by_people or request_of(row.request_type).effect in MAKES_SERVICE
        lines.append(
            _Line(row.id, max(on, asked), max(on, asked)) if waits else _Line(row.id, on, asked)
        )
    return sorted(lines, key=lambda one: one.done_on)


@dataclass(slots=True)
class _Course:
    """What happens to a payer day by day: lines take effect, then bills are made."""

    tx: Connection
    rules: DeliveryRules
    payer_id: int
    waiting: list[_Line]

    def first_bills(self, on: date) -> Sequence[DocumentDraft]:
        drop_drafts(self.tx, ids=[self.payer_id])
        begins_on = min(line.counts_from for line in self.waiting)
        self._carry_out(on)
        documents: list[DocumentDraft] = []
        (book,) = load_books(self.tx, ids=[self.payer_id], horizon=on + _HORIZON)
        if any(one.policy.invoice_partials_on is Partials.ON_ORDER for one in book.charges):
            documents += _bill(self.tx, self.payer_id, on, on_order=True)
        cycle = book.payer.cycle
        day = cycle.boundary_from(on)
        for _ in range(BILL_DAYS_MAX):
            if sum(one.type == "Invoice" for one in documents) >= INVOICES:
                break
            self._carry_out(day)
            if not already_billed(self.tx, ids=[self.payer_id], billed_to=day):
                made = _bill(self.tx, self.payer_id, day, on_order=False)
                documents += made if day >= begins_on else ()
            following = cycle.period_of(day).end
            assert following is not None
            day = following
        return documents

    def _carry_out(self, today: date) -> None:
        """Do the lines whose day has come: nobody bills a delivery that lies ahead."""
        while self.waiting and self.waiting[0].done_on <= today:
            line = self.waiting.pop(0)
            facts = line_facts(tx=self.tx, order_line_id=line.id)
            for milestone in BILLING_MILESTONES if _is_twofold(facts) else (None,):
                carry_out(
                    tx=self.tx,
                    line=facts,
                    milestone=milestone,
                    on=line.counts_from,
                    policy=self.rules.policy,
                    now=_noon(line.done_on),
                )


def _is_twofold(line: LineFacts) -> bool:
    """Tell whether a line turns one side up and then ends the other."""
    return request_of(line.request_type).effect in (Effect.MOVE, Effect.REPLACE)


def _bill(tx: Connection, payer_id: int, on: date, *, on_order: bool) -> tuple[DocumentDraft, ...]:
    """Bill a payer as the bill run does, or as the bill on the day of an order does."""
    books = load_books(tx, ids=[payer_id], horizon=on + _HORIZON)
    (book,) = with_earned_discounts(tx, books=books, billed_to=on, keep=True)
    taxes = load_taxes(tx, ids=[payer_id])
    drafts = compose(book.payer, book.charges, book.booked, taxes, on, on_order=on_order)
    if on_order:  # leaves the key of the day to the bill run
        drafts = tuple(replace(one, run_key=f"estimate:{one.run_key}") for one in drafts)
    ids = insert_drafts(tx, documents=drafts, bill_run_id=None, now=_noon(on))
    finalise(tx=tx, drafts=list(zip(ids, drafts, strict=True)), now=_noon(on))
    return drafts


def _noon(day: date) -> datetime:
    """Return an instant that lies on the day in every time zone but those of the date line."""
    return datetime.combine(day, time(12), UTC)
