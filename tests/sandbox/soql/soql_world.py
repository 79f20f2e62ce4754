"""Random objects and records, as plain dictionaries and as a local org's tables."""

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from l2c_sandbox.ids import make_id
from l2c_sandbox.schema.model import Field, FieldType, ObjectType, PicklistValue, Schema
from l2c_sandbox.storage.database import Database
from l2c_sandbox.storage.tables import create_tables

NOW = datetime(2026, 3, 29, 22, 30, 15, tzinfo=UTC)  # in Berlin the clocks went forward today
ZONES = (
    "GMT",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Pacific/Auckland",
    "America/St_Johns",
)
TEXTS = (
    "Acme", "acme", "ACME GmbH", "Ärzte", "ärzte", "O'Neil", "100%", "a_b", "a\\b", "Zoë",
    "two\nlines", " x", "beta", "Beta", "(AND)", "b", "ab", "aab",
)  # fmt: skip
CHOICES = ("Draft", "Open", "Paid", "Void")
NUMBERS = {"currency": 2, "double": 3, "percent": 1}
PLAIN = ("string", "exact", "picklist", "multipicklist", "boolean", "int", "date", "datetime")
Record = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A field: `kind` is its type, `exact` is text with regard to case."""

    name: str
    kind: str
    scale: int = 0
    targets: tuple[str, ...] = ()
    relationship: str | None = None
    children: str | None = None

    @property
    def custom(self) -> bool:
        return self.name.endswith("__c")

    @property
    def is_number(self) -> bool:
        return self.kind in NUMBERS or self.kind == "int"


@dataclass
class Thing:
    """An object with its records."""

    name: str
    prefix: str
    columns: list[Column]
    records: list[Record] = field(default_factory=list)

    def named(self, name: str) -> Column:
        return next(c for c in self.columns if c.name == name)


class World:
    """Some objects that refer to each other, and their records."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.users: list[str] = []
        self.things: dict[str, Thing] = {}
        self._by_id: dict[str, tuple[str, Record]] = {}
        self._make_users()
        names = [f"Thing{letter}__c" for letter in "ABCD"[: self.random.randint(2, 4)]]
        for number, name in enumerate(names):
            self.things[name] = Thing(name, f"a0{number}", self._columns(name, names))
        for name in names:
            self._fill(self.things[name])

    def find(self, record_id: str | None) -> tuple[str, Record] | None:
        """Return the object name and the record of an id."""
        return self._by_id.get(record_id) if record_id is not None else None

    def children_of(self, parent: str) -> list[tuple[Thing, Column]]:
        """Return the objects whose records refer to an object, and by which field."""
        return [
            (thing, column)
            for thing in self.things.values()
            for column in thing.columns
            if column.children is not None and parent in column.targets
        ]

    def _make_users(self) -> None:
        base = [Column("Id", "id"), Column("IsDeleted", "boolean")]
        base += [Column("SystemModstamp", "datetime"), Column("Name", "string")]
        user = Thing("User", "005", [*base, Column("TimeZoneSidKey", "string")])
        for number, zone in enumerate(ZONES, start=1):
            record_id = make_id(prefix="005", number=number)
            record = {"Id": record_id, "IsDeleted": False, "SystemModstamp": NOW}
            record |= {"Name": f"User {number}", "TimeZoneSidKey": zone}
            user.records.append(record)
            self._by_id[record_id] = ("User", record)
            self.users.append(record_id)
        self.things["User"] = user

    def _columns(self, name: str, names: list[str]) -> list[Column]:
        pick = self.random
        columns = [
            Column("Id", "id"),
            Column("IsDeleted", "boolean"),
            Column("CreatedDate", "datetime"),
            Column("SystemModstamp", "datetime"),
            Column("Name", "string"),
            Column("OwnerId", "reference", targets=("User",), relationship="Owner"),
        ]
        for number in range(pick.randint(4, 9)):
            kind = pick.choice((*PLAIN, *NUMBERS))
            columns.append(Column(f"F{number}__c", kind, scale=NUMBERS.get(kind, 0)))
        for number in range(pick.randint(1, 2)):
            targets = (pick.choice(names),)
            columns.append(_reference(name, f"P{number}", targets))
        several = tuple(pick.sample(names, k=min(len(names), pick.randint(2, 3))))
        columns.append(_reference(name, "Any", several))
        return columns

    def _fill(self, thing: Thing) -> None:
        pick = self.random
        count = pick.choice((0, 15, 40, 40, 60))
        ids = [make_id(prefix=thing.prefix, number=n + 1) for n in range(count)]
        for record_id in ids:
            record = {c.name: self._value(c) for c in thing.columns}
            record |= {"Id": record_id, "IsDeleted": pick.random() < 0.1}
            thing.records.append(record)
            self._by_id[record_id] = (thing.name, record)

    def _value(self, column: Column) -> Any:
        pick = self.random
        kind = column.kind
        if kind == "boolean":
            return pick.random() < 0.5
        if column.name in {"CreatedDate", "SystemModstamp"}:
            return _moment(pick)
        if column.name == "OwnerId":
            return pick.choice(self.users)
        if pick.random() < 0.2:
            return None
        if kind == "reference":
            # Only to what exists already, or to one of the first records of a later object.
            target = self.things.get(pick.choice(column.targets))
            return pick.choice(target.records)["Id"] if target and target.records else None
        return plain_value(column, pick)

    def load(self) -> tuple[Schema, Database]:
        """Return the same objects and records as the local org keeps them."""
        schema = Schema(objects=tuple(_object_type(t) for t in self.things.values()))
        database = Database(None)
        with database.write() as connection:
            create_tables(connection, schema)
            for thing in self.things.values():
                marks = ", ".join("?" for _ in thing.columns)
                names = ", ".join(f'"{c.name}"' for c in thing.columns)
                rows = [[_stored(c, r[c.name]) for c in thing.columns] for r in thing.records]
                sql = f'INSERT INTO "{thing.name}" ({names}) VALUES ({marks})'
                connection.executemany(sql, rows)
        return schema, database


def _reference(owner: str, stem: str, targets: tuple[str, ...]) -> Column:
    short = owner.removesuffix("__c")
    return Column(
        f"{stem}__c",
        "reference",
        targets=targets,
        relationship=f"{stem}__r",
        children=f"{short}_{stem}s__r",
    )


def _moment(pick: random.Random) -> datetime:
    span = timedelta(days=pick.choice((2, 40, 800)))
    return NOW + timedelta(seconds=pick.randint(-int(span.total_seconds()), 86_400))


def plain_value(column: Column, pick: random.Random) -> Any:
    """Return a random value that is neither null nor an id nor a boolean."""
    kind = column.kind
    if kind in {"string", "exact"}:
        return pick.choice(TEXTS)
    if kind == "picklist":
        return pick.choice(CHOICES)
    if kind == "multipicklist":
        return ";".join(sorted(pick.sample(CHOICES, k=pick.randint(1, 3))))
    if kind == "int":
        return pick.randint(-3, 12)
    if kind == "date":
        return _moment(pick).date()
    if kind == "datetime":
        return _moment(pick)
    return Decimal(pick.randint(-2_000, 20_000)).scaleb(-column.scale)


def _stored(column: Column, value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value.scaleb(column.scale))
    if isinstance(value, datetime):
        return int(value.timestamp())
    return value.isoformat() if isinstance(value, date) else value


def _object_type(thing: Thing) -> ObjectType:
    fields = tuple(_field(column) for column in thing.columns)
    return ObjectType(
        name=thing.name,
        label=thing.name,
        plural=thing.name,
        prefix=thing.prefix,
        fields=fields,
        custom=thing.name != "User",
    )


def _field(column: Column) -> Field:
    kind = FieldType.STRING if column.kind == "exact" else FieldType(column.kind)
    choices = column.kind in {"picklist", "multipicklist"}
    return Field(
        name=column.name,
        label=column.name,
        type=kind,
        length=255,
        precision=18,
        scale=column.scale,
        case_sensitive=column.kind == "exact",
        custom=column.custom,
        picklist=tuple(PicklistValue(c, f"The {c}") for c in CHOICES) if choices else (),
        reference_to=column.targets,
        relationship=column.relationship,
        children=column.children,
    )
