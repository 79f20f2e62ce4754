from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from connector.ledger.journal import Entry, Posting, UnbalancedEntry, balances, post
from connector.store.engine import Store
from connector.store.tables.ledger import journal_line

WHERE = {"account_code": "1200"}
NOW = datetime(2026, 7, 1, 9, tzinfo=UTC)


def entry(document_id: int, *amounts: tuple[str, str], currency: str = "EUR") -> Entry:
    return Entry(
        brand_id=None,
        document_type="payment",
        document_id=document_id,
        posted_on=date(2026, 7, 1),
        currency=currency,
        text=f"Payment {document_id}",
        postings=tuple(Posting(code, Decimal(amount)) for code, amount in amounts),
    )


class TestPost:
    def test_writes_debits_and_credits(self, tx: Connection) -> None:
        posted = post(
            tx=tx,
            entries=[
                entry(1, ("1000", "119.00"), ("1700", "-119.00")),
                entry(2, ("1700", "50.00"), ("1200", "-50.00")),
                entry(3, ("1000", "7"), ("1700", "-7"), currency="GBP"),
            ],
            now=NOW,
        )

        assert posted == 3
        assert [(b.account_code, b.currency, b.balance) for b in balances(tx=tx)] == [
            ("1000", "EUR", Decimal("119.00")),
            ("1000", "GBP", Decimal(7)),
            ("1200", "EUR", Decimal("-50.00")),
            ("1700", "EUR", Decimal("-69.00")),
            ("1700", "GBP", Decimal(-7)),
        ]

    def test_leaves_out_what_moves_nothing(self, tx: Connection) -> None:
        posted = post(
            tx=tx,
            entries=[
                entry(1, ("1200", "0"), ("4400", "0")),
                entry(2, ("1000", "1"), ("1776", "0"), ("1700", "-1")),
            ],
            now=NOW,
        )

        assert posted == 1
        assert tx.scalar(text("SELECT count(*) FROM journal_line")) == 2

    def test_refuses_a_document_twice(self, tx: Connection) -> None:
        post(tx=tx, entries=[entry(1, ("1000", "1"), ("1700", "-1"))], now=NOW)

        with pytest.raises(Exception, match="uq_journal_entry"):
            post(tx=tx, entries=[entry(1, ("1000", "1"), ("1700", "-1"))], now=NOW)


@given(amounts=st.lists(st.decimals("-1e6", "1e6", places=2), min_size=1))
def test_an_entry_balances_or_is_refused(amounts: list[Decimal]) -> None:
    postings = [("1200", str(amount)) for amount in amounts]
    rest = -sum(amounts, Decimal(0))

    assert entry(1, *postings, ("4400", str(rest)))
    with pytest.raises(UnbalancedEntry, match="payment 1 is off by"):
        entry(1, *postings, ("4400", str(rest + 1)))


@pytest.mark.parametrize("at_once", [True, False], ids=["in one statement", "line by line"])
def test_the_store_refuses_what_no_code_checked(store: Store, at_once: bool) -> None:
    lines = [{"line_no": 1, "debit": 5, "credit": 0}, {"line_no": 2, "debit": 0, "credit": 3}]
    off_by = "2" if at_once else "5"  # its first line alone is out of balance as well
    refused = pytest.raises(IntegrityError, match=f"out of balance by {off_by}")
    with refused, store.transaction() as tx:
        entry_id = tx.scalar(
            text(
                "INSERT INTO journal_entry (document_type, document_id, posted_on, currency, text, "
                "created_at) VALUES ('x', 1, '2026-07-01', 'EUR', '', now()) RETURNING id"
            )
        )
        for part in [lines] if at_once else [[line] for line in lines]:
            tx.execute(
                journal_line.insert().values([{**WHERE, **x, "entry_id": entry_id} for x in part])
            )
