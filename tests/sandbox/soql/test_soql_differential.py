"""The same answers as an evaluator in plain Python, for random queries over random worlds."""

from decimal import Decimal
from typing import Any

import pytest
from l2c_sandbox import clock
from l2c_sandbox.soql.execute import QueryEngine
from soql_evaluator import Evaluator, json_value
from soql_generator import Generator
from soql_tree import Query
from soql_world import NOW, Record, World

BASE = "/services/data/v60.0"
QUERIES_PER_WORLD = 50
NORMAL = range(8)
MANY = range(100, 300)


class Side:
    """The local org's side of a comparison."""

    def __init__(self, world: World) -> None:
        self.schema, self.database = world.load()
        self.engine = QueryEngine(self.schema, self.database)

    def ask(self, soql: str, *, user_id: str, deleted: bool, batch: int) -> dict[str, Any]:
        """Return a whole answer: its pages, and those of its children, put together."""
        page = self.engine.query(
            soql, base=BASE, user_id=user_id, include_deleted=deleted, batch=batch
        )
        return self._whole(page, user_id, batch)

    def _whole(self, page: dict[str, Any], user_id: str, batch: int) -> dict[str, Any]:
        records = list(page["records"])
        total = page["totalSize"]
        while not page["done"]:
            locator = page["nextRecordsUrl"].rsplit("/", 1)[1]
            page = self.engine.more(locator, base=BASE, user_id=user_id, batch=batch)
            assert page["totalSize"] == total
            records += page["records"]
        whole = [self._flat(record, user_id, batch) for record in records]
        return {"totalSize": total, "records": whole}

    def _flat(self, record: Record, user_id: str, batch: int) -> Record:
        """Reduce attributes to the id and child results to their records."""
        found = {}
        for key, value in record.items():
            if key == "attributes":
                found[key] = value["url"].rsplit("/", 1)[1] if "url" in value else value["type"]
            elif isinstance(value, dict) and "records" in value:
                inner = self._whole(value, user_id, batch)
                assert inner["totalSize"] == len(inner["records"])
                found[key] = inner["records"]
            else:
                found[key] = self._flat(value, user_id, batch) if isinstance(value, dict) else value
        return found


def compare(world: World, side: Side, number: int) -> None:
    """Ask one random query on both sides."""
    generator = Generator(world, number)
    query = generator.query()
    user_id = world.users[number % len(world.users)]
    deleted = number % 5 == 0
    batch = (1, 7, 2_000)[number % 3]
    soql = query.render()
    answer = side.ask(soql, user_id=user_id, deleted=deleted, batch=batch)
    evaluator = Evaluator(world, user_id=user_id, deleted=deleted)
    if query.aggregate:
        compare_groups(soql, query, answer, evaluator)
    else:
        compare_records(soql, query, answer, evaluator)


def compare_records(soql: str, query: Query, answer: dict[str, Any], evaluator: Evaluator) -> None:
    rows = evaluator.found(query)
    size = len(rows[query.offset :][: query.limit])
    assert answer["totalSize"] == len(answer["records"]) == size, soql
    by_id = {row["Id"]: row for row in rows}
    ids = [record["attributes"] for record in answer["records"]]
    assert len(set(ids)) == len(ids), soql
    assert set(ids) <= set(by_id), soql
    if query.limit is not None:
        last = query.offset + query.limit
        assert ids == [row["Id"] for row in rows[query.offset : last]], soql
    told = [evaluator.order_values(query, by_id[i]) for i in ids]
    meant = [evaluator.order_values(query, row) for row in rows[query.offset :][: query.limit]]
    assert told == meant, soql
    for record in answer["records"]:
        expected = evaluator.shown(query, by_id[record["attributes"]])
        assert settled(query, record) == settled(query, expected), soql


def settled(query: Query, record: Record) -> Record:
    """Put children in the order of their ids where the query leaves it open."""
    found = dict(record)
    for name, _, child in query.children:
        if found[name] is not None:
            inner = [settled(child, row) for row in found[name]]
            found[name] = inner if child.limit is not None else sorted(inner, key=identity)
    return found


def identity(record: Record) -> str:
    return str(record["attributes"])


def compare_groups(soql: str, query: Query, answer: dict[str, Any], evaluator: Evaluator) -> None:
    groups = evaluator.groups(query)[query.offset :][: query.limit]
    told = [
        [canonical(record[f"n{i}"]) for i in range(len(query.selected))]
        for record in (answer["records"])
    ]
    meant = [[canonical(json_value(v)) for v in values] for values, _ in groups]
    if query.limit is None:
        told, meant = sorted(told, key=repr), sorted(meant, key=repr)
    assert told == meant, soql
    assert answer["totalSize"] == len(groups), soql


def canonical(value: Any) -> Any:
    """Text without case: which of equal texts stands for a group is open."""
    if isinstance(value, str):
        return value.lower()
    if isinstance(value, float | Decimal | int) and not isinstance(value, bool):
        return f"{float(value):.9g}"
    return value


@pytest.fixture(autouse=True)
def _standing_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


def check_world(seed: int) -> None:
    world = World(seed)
    side = Side(world)
    try:
        for number in range(QUERIES_PER_WORLD):
            compare(world, side, seed * 1_000 + number)
    finally:
        side.database.close()


@pytest.mark.parametrize("seed", NORMAL)
def test_answers_like_the_evaluator(seed: int) -> None:
    check_world(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY)
def test_answers_ten_thousand_queries_like_the_evaluator(seed: int) -> None:
    check_world(seed)
