"""The ring keeps the events of a commit together and gives each away by its own number."""

from typing import Any

from l2c_sandbox import clock
from l2c_sandbox.events.avro import schema_of_text
from l2c_sandbox.events.bus import MOST_TOGETHER, Event, EventBus
from l2c_sandbox.events.packing import nth_id
from l2c_sandbox.storage.database import Database

SCHEMA = schema_of_text('{"type": "record", "name": "A", "fields": []}')
META = "CREATE TABLE sandbox_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)"
OLD_RING = (
    "CREATE TABLE sandbox_event (replay INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, "
    "created_ms INTEGER NOT NULL, event_id TEXT NOT NULL, schema_id TEXT NOT NULL, "
    "payload BLOB NOT NULL)"
)


def _bus(*before: str) -> tuple[EventBus, Database]:
    database = Database(None)
    bus = EventBus(database)
    with database.write() as connection:
        for statement in (META, *before):
            connection.execute(statement)
        bus.prepare(connection)
    return bus, database


def _append(bus: EventBus, database: Database, *events: tuple[str, str]) -> None:
    with database.write() as connection:
        bus.append_all(connection, [Event(t, SCHEMA, text.encode()) for t, text in events])


def _read(bus: EventBus, *topics: str, after: int, most: int = 1_000) -> list[Any]:
    events, _ = bus.read(topics, after=after, most=most)
    return [(event.replay, event.payload.decode()) for event in events]


def _row_count(database: Database) -> int:
    with database.read() as connection:
        return int(connection.execute("SELECT COUNT(*) FROM sandbox_event").fetchone()[0])


def test_events_of_one_commit_come_back_one_by_one_from_any_place() -> None:
    bus, database = _bus()
    first = bus.last() + 1
    texts = [f"event {n}" for n in range(MOST_TOGETHER + 50)]
    _append(bus, database, *[("a", text) for text in texts])

    numbered = list(enumerate(texts, start=first))
    assert _row_count(database) == 2
    assert _read(bus, "a", after=first - 1) == numbered
    assert _read(bus, "a", after=first + 9, most=3) == numbered[10:13]
    assert _read(bus, "a", after=first + MOST_TOGETHER - 2, most=2) == numbered[199:201]
    assert bus.counts()["kept"] == len(texts)
    assert bus.last() == first + len(texts) - 1


def test_events_keep_their_order_between_topics() -> None:
    bus, database = _bus()
    start = bus.last()
    _append(bus, database, ("a", "1"), ("a", "2"), ("b", "3"), ("a", "4"))

    assert [text for _, text in _read(bus, "a", "b", after=start)] == ["1", "2", "3", "4"]
    assert _read(bus, "b", after=start) == [(start + 3, "3")]


def test_each_event_has_an_id_that_stays_its_own() -> None:
    bus, database = _bus()
    start = bus.last()
    _append(bus, database, *[("a", str(n)) for n in range(150)])

    ids = [event.event_id for event in bus.read(["a"], after=start, most=150)[0]]

    assert len(set(ids)) == 150
    assert ids[100] == bus.read(["a"], after=start + 100, most=1)[0][0].event_id
    assert nth_id("ffffffff-ffff-ffff-ffff-ffffffffffff", 1) == "00000000-" + "0000-" * 3 + "0" * 12


def test_alike_events_take_little_room() -> None:
    bus, database = _bus()
    body = " and much that is the same in each of them" * 8
    _append(bus, database, *[("a", f"event {n}{body}") for n in range(MOST_TOGETHER)])

    with database.read() as connection:
        (size,) = connection.execute("SELECT SUM(LENGTH(payload)) FROM sandbox_event").fetchone()

    assert size < MOST_TOGETHER * len(body) / 10


def test_the_last_event_stays_a_place_to_go_on_from_when_all_are_dropped() -> None:
    bus, database = _bus()
    _append(bus, database, ("a", "1"), ("a", "2"))
    with database.write() as connection:
        assert bus.purge(connection, everything=True) == 2

    assert bus.counts()["kept"] == 0
    assert bus.position(bus.last().to_bytes(8, "big")) == bus.last()


def test_events_of_a_file_from_before_packing_are_read() -> None:
    old = f"INSERT INTO sandbox_event VALUES (1001, 'a', {clock.epoch_ms()}, 'x', 'y', 'old')"
    bus, database = _bus(OLD_RING, old)
    _append(bus, database, ("a", "new"), ("a", "newer"))

    events, _ = bus.read(["a"], after=1_000, most=10)

    assert [event.replay for event in events] == [1001, 1002, 1003]
    assert [event.payload for event in events] == ["old", b"new", b"newer"]
