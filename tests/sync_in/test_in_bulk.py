"""Many records at once cost what one costs, and one bad record costs the others nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import event

from connector.adapters.salesforce.answers import Subrequest


@contextmanager
def watched(way_in, see: Callable[[str], None]) -> Iterator[None]:
    """Show every statement before it is executed."""

    def show(_connection, _cursor, statement, *_rest) -> None:
        see(statement)

    event.listen(way_in.store.engine, "before_cursor_execute", show)
    try:
        yield
    finally:
        event.remove(way_in.store.engine, "before_cursor_execute", show)


def statements(way_in) -> int:
    """Count the statements that applying what waits takes."""
    seen: list[str] = []
    with watched(way_in, seen.append):
        way_in.apply()
    return len(seen)


def make_accounts(client, count: int, **fields: object) -> list[str]:
    records = [
        {"attributes": {"type": "Account"}, "Name": f"Account {n}"} | fields for n in range(count)
    ]
    made: list[str] = []
    for start in range(0, count, 200):
        body = {"allOrNone": True, "records": records[start : start + 200]}
        (answer,) = client.composite([Subrequest("POST", "composite/sobjects", "c", body)])
        made += [row["id"] for row in answer.body]
    return made


def tell_about(way_in, sfids: list[str]) -> None:
    for start in range(0, len(sfids), 100):
        way_in.tell("Account", *sfids[start : start + 100])


def test_two_hundred_new_records_take_the_statements_of_one(way_in, client) -> None:
    (first, *rest) = make_accounts(client, 201, Phone="1")

    tell_about(way_in, [first])
    of_one = statements(way_in)
    tell_about(way_in, rest)
    of_many = statements(way_in)

    assert of_one == of_many
    assert way_in.rows("SELECT count(*) AS n FROM account") == [{"n": 201}]


def test_two_hundred_changes_take_the_statements_of_one(way_in, client) -> None:
    (first, *rest) = make_accounts(client, 201)
    tell_about(way_in, [first, *rest])
    way_in.apply()
    client.update_collections("Account", [{"Id": sfid, "Phone": "2"} for sfid in (first, *rest)])

    tell_about(way_in, [first])
    of_one = statements(way_in)
    tell_about(way_in, rest)
    of_many = statements(way_in)

    assert of_one == of_many
    assert way_in.rows("SELECT count(*) AS n FROM account WHERE phone = '2'") == [{"n": 201}]


def test_one_of_a_hundred_that_the_hub_refuses_does_not_stop_the_others(way_in, client) -> None:
    sfids = make_accounts(client, 100)
    way_in.run_sql("ALTER TABLE account ADD CHECK (name <> 'Account 57')")
    tell_about(way_in, sfids)

    report = way_in.apply()

    assert way_in.rows("SELECT count(*) AS n FROM account") == [{"n": 99}]
    assert len(report.problems) == 1
    assert sfids[57] in report.problems[0]


def test_new_records_are_inserted_whole_and_not_updated_after(way_in, client) -> None:
    seen: list[str] = []
    tell_about(way_in, make_accounts(client, 3, Phone="1"))

    with watched(way_in, seen.append):
        way_in.apply()

    assert way_in.rows("SELECT count(*) AS n FROM account WHERE phone = '1'") == [{"n": 3}]
    assert not [one for one in seen if one.lstrip().startswith('UPDATE "account" t')]
    assert way_in.rows("SELECT count(*) AS n FROM crm_record WHERE known_from ? '*'") == [{"n": 3}]


def test_a_record_entered_by_another_while_we_looked_gets_the_values_too(way_in, client) -> None:
    (sfid,) = make_accounts(client, 1, Phone="1")
    tell_about(way_in, [sfid])

    def enter_first(statement: str) -> None:
        if statement.lstrip().startswith('INSERT INTO "account"'):
            way_in.run_sql(
                "INSERT INTO account (brand_id, sfid, kind, name) "
                f"SELECT min(id), '{sfid}', 'business', 'Entered first' FROM brand"
            )

    with watched(way_in, enter_first):
        way_in.apply()

    (account,) = way_in.rows("SELECT sfid, name, phone FROM account")
    assert account == {"sfid": sfid, "name": "Account 0", "phone": "1"}
