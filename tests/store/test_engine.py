"""The engine keeps numbers exact, transactions whole and callbacks in their place."""

from decimal import Decimal

import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import Column, Connection, Integer, MetaData, Numeric, Table, Text, insert, select
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError, IntegrityError

from connector.errors import Misconfigured
from connector.store.engine import (
    NoOpenTransaction,
    Store,
    advisory_lock,
    after_commit,
    copy_rows,
    driver_connection,
    try_advisory_lock,
    violated_constraint,
)

sample = Table(
    "sample",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("amount", Numeric(18, 4)),
    Column("note", Text),
    Column("facts", JSONB),
)


@pytest.fixture
def samples(tx: Connection) -> Connection:
    sample.create(tx)
    return tx


def test_numbers_come_back_as_decimals_even_from_json(samples: Connection) -> None:
    samples.execute(
        insert(sample).values(id=1, amount=Decimal("0.1"), facts={"rate": Decimal("0.10"), "n": 3})
    )

    row = samples.execute(select(sample)).one()

    assert row.amount == Decimal("0.1000")
    assert isinstance(row.facts["rate"], Decimal)
    assert str(row.facts["rate"]) == "0.10"
    assert row.facts["n"] == 3


def test_refuses_a_number_json_does_not_have(samples: Connection) -> None:
    with pytest.raises(Exception, match="JSON"):
        samples.execute(insert(sample).values(id=1, facts={"rate": Decimal("NaN")}))


def test_copies_rows_with_null_json_and_awkward_text(samples: Connection) -> None:
    awkward = "tab\t newline\n backslash\\ \\N é"
    rows = [
        (1, Decimal("1.2345"), awkward, {"price": Decimal("0.070")}),
        (2, None, None, Jsonb([1, 2])),
    ]

    copied = copy_rows(samples, sample, ("id", "amount", "note", "facts"), rows)

    assert copied == 2
    first, second = samples.execute(select(sample).order_by(sample.c.id)).all()
    assert (first.amount, first.note) == (Decimal("1.2345"), awkward)
    assert str(first.facts["price"]) == "0.070"
    assert (second.amount, second.note, second.facts) == (None, None, [1, 2])


def test_an_exception_leaves_nothing_behind(store: Store) -> None:
    with store.transaction() as tx:
        sample.create(tx)

    with pytest.raises(RuntimeError, match="stop"), store.transaction() as tx:
        tx.execute(insert(sample).values(id=1))
        raise RuntimeError("stop")

    with store.read() as tx:
        assert tx.execute(select(sample)).all() == []


def test_callbacks_run_after_the_commit_and_never_after_a_rollback(store: Store) -> None:
    seen: list[int] = []

    def look() -> None:
        with store.read() as other:
            seen.append(len(other.execute(select(sample)).all()))

    with store.transaction() as tx:
        sample.create(tx)
        tx.execute(insert(sample).values(id=1))
        after_commit(tx, look)
        assert seen == []
    assert seen == [1]

    with pytest.raises(RuntimeError), store.transaction() as tx:
        after_commit(tx, look)
        raise RuntimeError
    with store.transaction() as tx:
        after_commit(tx, look)
        tx.rollback()
    assert seen == [1]


def test_a_read_cannot_write_and_sees_one_instant(store: Store) -> None:
    with store.transaction() as tx:
        sample.create(tx)

    with store.read() as reading:
        assert reading.execute(select(sample)).all() == []
        with store.transaction() as tx:
            tx.execute(insert(sample).values(id=1))
        assert reading.execute(select(sample)).all() == []
    with pytest.raises(DBAPIError, match="read-only"), store.read() as reading:
        reading.execute(insert(sample).values(id=2))
    with store.transaction() as tx:
        tx.execute(insert(sample).values(id=2))  # the connection is writable again


def test_after_commit_needs_a_transaction_of_the_store(store: Store) -> None:
    with store.read() as reading, pytest.raises(NoOpenTransaction):
        after_commit(reading, lambda: None)


def test_a_connection_in_use_when_the_store_closes_is_closed_when_it_comes_back(
    store: Store,
) -> None:
    with store.transaction() as tx:
        connection = driver_connection(tx)
        store.close()
        assert tx.execute(sql("SELECT 1")).scalar_one() == 1

    assert connection.closed


def test_an_advisory_lock_is_held_until_the_transaction_ends(store: Store) -> None:
    with store.transaction() as first:
        advisory_lock(first, "bill-run")
        with store.transaction() as second:
            assert not try_advisory_lock(second, "bill-run")
            assert try_advisory_lock(second, "another")
    with store.transaction() as third:
        assert try_advisory_lock(third, "bill-run")


def test_names_the_constraint_that_refused(samples: Connection) -> None:
    samples.execute(insert(sample).values(id=1))

    with pytest.raises(IntegrityError) as refused, samples.begin_nested():
        samples.execute(insert(sample).values(id=1))
    with pytest.raises(DBAPIError) as failed, samples.begin_nested():
        samples.execute(sql("SELECT 1/0"))

    assert violated_constraint(refused.value) == "sample_pkey"
    assert violated_constraint(failed.value) is None


def test_instants_come_back_in_utc(samples: Connection) -> None:
    instant = samples.execute(sql("SELECT TIMESTAMPTZ '2026-03-29 03:30 Europe/Berlin'")).scalar()

    assert instant.isoformat() == "2026-03-29T01:30:00+00:00"


def test_refuses_another_database() -> None:
    with pytest.raises(Misconfigured, match="sqlite"):
        Store("sqlite:///hub.db")
