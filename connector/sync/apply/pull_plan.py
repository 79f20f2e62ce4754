"""What a mapping says about records that come in, worked out once for many of them.

Per value nothing is looked up any more: which form it is remembered in, which column it goes to,
and what becomes of it on the way are functions that stand ready.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from typing import Any

from sqlalchemy import Connection

from connector.store.tables import metadata
from connector.sync.apply.kinds import KindReader, kind_reader
from connector.sync.apply.pulled_values import (
    KEEP,
    canonical,
    column_value,
    read_lookups,
    value_when_new,
)
from connector.sync.inbox.arrivals import OrgRow
from connector.sync.inbox.columns import RecordColumns
from connector.sync.mapping.definition import FieldWhen
from connector.sync.mapping.definition import Mapping as EntityMapping

Change = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class RecordReader:
    """Reads records into the form that is remembered and compared."""

    of_all: tuple[tuple[str, Change], ...]
    of_some: tuple[tuple[str, Change, FieldWhen], ...]  # fields that not every kind has
    kinds: KindReader

    def said(self, row: OrgRow) -> dict[str, Any]:
        """Return the canonical values of the fields this record has, and what its kind is."""
        value_of = row.values.get
        said = {name: change(value_of(name)) for name, change in self.of_all}
        if self.kinds.fields:
            kind = self.kinds.kind_of(row)
            said |= self.kinds.remembered(kind)
            for name, change, when in self.of_some:
                if kind.has(when):
                    said[name] = change(value_of(name))
        return said

    def columns(self, records: RecordColumns) -> dict[str, list[Any]]:
        """Return what `said` returns of each of many records, `KEEP` where it returns nothing."""
        if self.kinds.fields:
            said = [self.said(row) for row in records.rows()]
            names = dict.fromkeys(chain.from_iterable(said))
            return {name: [one.get(name, KEEP) for one in said] for name in names}
        return {name: [change(value) for value in records.of(name)] for name, change in self.of_all}


def record_reader(tx: Connection, mapping: EntityMapping) -> RecordReader:
    """Return what reads the records of a mapping."""
    assert mapping.pull is not None
    fields = mapping.pull.fields.items()
    return RecordReader(
        of_all=tuple((name, canonical(one)) for name, one in fields if one.when is None),
        of_some=tuple(
            (name, canonical(one), one.when) for name, one in fields if one.when is not None
        ),
        kinds=kind_reader(tx, mapping),
    )


@dataclass(frozen=True, slots=True)
class ColumnWriter:
    """Turns what records say into the values of hub columns.

    Attributes:
        when_new: What a new row gets in the columns of which nothing is said.
    """

    columns: tuple[tuple[str, str, Change], ...]  # field, column, what becomes of the value
    when_new: Mapping[str, Any]
    marks_deleted: bool

    def values(self, row: OrgRow, said: Mapping[str, Any], changed: Set[str]) -> dict[str, Any]:
        """Return the new values of the hub row; what is left out stays."""
        values = {}
        for name, column, change in self.columns:
            if name in changed and (value := change(said[name])) is not KEEP:
                values[column] = value
        if self.marks_deleted:
            values["deleted_at"] = row.version if row.is_deleted else None
        return values

    def new_columns(self, said: Mapping[str, Sequence[Any]], rows: int) -> list[list[Any]]:
        """Return the values of so many new rows, column by column, in the order of `when_new`.

        `said` has what the records say, by field, `KEEP` where one says nothing.
        """
        made = {column: [value] * rows for column, value in self.when_new.items()}
        for name, column, change in self.columns:
            if name not in said:
                continue
            values = [value if value is KEEP else change(value) for value in said[name]]
            if KEEP in values:
                values = [
                    former if value is KEEP else value
                    for value, former in zip(values, made[column], strict=True)
                ]
            made[column] = values
        return list(made.values())


def column_writer(
    tx: Connection, mapping: EntityMapping, said: Sequence[Mapping[str, Any]]
) -> ColumnWriter:
    """Return what writes records that say this; reads the ids of the rows they refer to."""
    assert mapping.pull is not None
    table = metadata.tables[mapping.table]
    lookups = read_lookups(tx, mapping, said)
    fields = mapping.pull.fields.items()
    return ColumnWriter(
        columns=tuple(
            (name, one.to, column_value(one, table.c[one.to], lookups)) for name, one in fields
        ),
        when_new={one.to: value_when_new(one) for _, one in fields},
        marks_deleted="deleted_at" in table.c,
    )
