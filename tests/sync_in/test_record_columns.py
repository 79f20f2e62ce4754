"""Records of a Bulk result, read column by column."""

import json
from decimal import Decimal

import pytest
from sqlalchemy import text

from connector.adapters.salesforce.errors import OrgUnavailable
from connector.sync.apply.newcomers import newcomers_among
from connector.sync.capture.bulk_cells import read_columns
from connector.sync.inbox.arrivals import UnreadableRecord, row_of
from connector.sync.inbox.columns import columns_of

STAMP = "2026-11-29T09:00:00.000+0000"
TYPES = {"SystemModstamp": "datetime", "Is": "boolean", "Amount": "currency", "Name": "string"}


def accounts(*sfids: str):
    values = {
        "Id": list(sfids),
        "SystemModstamp": [STAMP] * len(sfids),
        "Name": [f"Account {number}" for number, _ in enumerate(sfids)],
        "IsDeleted": [False] * len(sfids),
    }
    return columns_of("Account", values, source="bulk")


def test_cells_become_what_rest_would_answer() -> None:
    lines = [
        ["2026-11-29T09:00:00.000Z", "true", "12.50", "Acme"],
        ["", "false", "", ""],
    ]

    columns = read_columns(["SystemModstamp", "Is", "Amount", "Name"], lines, TYPES)

    assert columns == {
        "SystemModstamp": [STAMP, None],
        "Is": [True, False],
        "Amount": [Decimal("12.50"), None],
        "Name": ["Acme", None],
    }


def test_a_line_that_is_cut_short_moves_no_cell_into_another_column() -> None:
    lines = [["Acme", "1", "2"], ["Brook", "1"], ["Cliff", "1", "2", "3"]]

    with pytest.raises(OrgUnavailable, match="2 cells, not 3"):
        read_columns(["Name", "A", "B"], lines, {})


def test_single_records_are_those_that_rest_would_have_brought() -> None:
    records = accounts("001000000000001AAA", "001000000000002", "001000000000003AAA")

    first, last = records.only([0, 2]).rows()
    (short,) = records.rows([1])

    assert (first.sfid, last.values["Name"]) == ("001000000000001AAA", "Account 2")
    assert short == row_of("Account", dict(short.values), source="bulk")
    assert (short.sfid, short.values["Id"]) == ("001000000000002AAA", "001000000000002")


def test_a_field_nobody_read_is_empty() -> None:
    assert accounts("001000000000001AAA", "001000000000002AAA").of("Phone") == [None, None]


@pytest.mark.parametrize(
    "values",
    [{"Id": ["001000000000001AAA"]}, {"Id": [None], "SystemModstamp": [STAMP]}],
    ids=["no stamp", "no id"],
)
def test_a_record_without_id_or_stamp_is_refused(values) -> None:
    with pytest.raises(UnreadableRecord, match="Account"):
        columns_of("Account", values, source="bulk")


def test_of_records_that_came_twice_none_is_entered_unseen(way_in) -> None:
    (account,) = (one for one in way_in.mappings.of_object("Account") if one.pull is not None)
    once = accounts("001000000000001AAA", "001000000000002AAA")
    twice = accounts("001000000000001AAA", "001000000000001AAA")

    with way_in.store.read() as tx:
        assert newcomers_among(tx, account, once) is not None
        assert newcomers_among(tx, account, twice) is None


def test_what_is_known_of_a_newcomer_comes_in_the_order_postgresql_keeps(way_in) -> None:
    (account,) = (one for one in way_in.mappings.of_object("Account") if one.pull is not None)

    with way_in.store.read() as tx:
        arrived = newcomers_among(tx, account, accounts("001000000000001AAA"))
        assert arrived is not None
        kept = tx.execute(
            text("SELECT CAST(CAST(:known AS jsonb) AS text)"), {"known": arrived.known[0]}
        )

        assert list(json.loads(kept.scalar_one())) == list(json.loads(arrived.known[0]))
