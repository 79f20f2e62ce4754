"""What a query means, over dictionaries. Shares nothing with the local org's planner."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cmp_to_key
from itertools import combinations
from typing import Any
from zoneinfo import ZoneInfo

from soql_tree import Choice, Expression, Join, Logic, Query, Sort, Test, Word
from soql_world import NOW, Column, Record, Thing, World

AGGREGATES = {"COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX"}


class Evaluator:
    """Answers queries as one user."""

    def __init__(self, world: World, *, user_id: str, deleted: bool) -> None:
        self._world = world
        self._user_id = user_id
        self._deleted = deleted
        found = world.find(user_id)
        assert found is not None
        self._zone = ZoneInfo(found[1]["TimeZoneSidKey"])

    # --- values ---

    def column_of(self, source: str, path: tuple[str, ...]) -> Column:
        """Return the field at the end of a path."""
        thing = self._world.things[source]
        for name in path[:-1]:
            reference = next(c for c in thing.columns if c.relationship == name)
            if path[-1] == "Type":
                return Column("Type", "string")
            thing = self._world.things[reference.targets[0]]
        return thing.named(path[-1])

    def value(self, source: str, record: Record | None, path: tuple[str, ...]) -> Any:
        """Return the value at the end of a path; None through a missing parent."""
        for name in path[:-1]:
            if record is None:
                return None
            thing = self._world.things[source]
            reference = next(c for c in thing.columns if c.relationship == name)
            found = self._world.find(record[reference.name])
            if found is None:
                return None
            source, record = found
        if path[-1] == "Type":
            return source
        return None if record is None else record.get(path[-1])

    def _evaluate(self, source: str, record: Record, expression: Expression) -> Any:
        value = self.value(source, record, expression.path)
        if not expression.function or value is None:
            return value
        if isinstance(value, datetime):
            value = value.astimezone(self._zone if expression.zoned else UTC)
        return date_part(expression.function, value)

    # --- conditions ---

    def _holds(self, condition: Any, get: Callable[[Expression], Any], source: str) -> bool:
        if isinstance(condition, Logic):
            parts = (self._holds(part, get, source) for part in condition.parts)
            if condition.operator == "AND":
                return all(parts)
            return any(parts) if condition.operator == "OR" else not next(parts)
        if isinstance(condition, Join):
            return self._joins(condition, get)
        return self._passes(condition, get(condition.left), self._folds(source, condition.left))

    def _joins(self, join: Join, get: Callable[[Expression], Any]) -> bool:
        rows = self._rows(join.source, join.where)
        ids = {self.value(join.source, row, join.selected.path) for row in rows} - {None}
        return (get(join.left) in ids) != join.negated

    def _folds(self, source: str, expression: Expression) -> bool:
        kinds = {"string", "picklist", "multipicklist"}
        return bool(expression.path) and self.column_of(source, expression.path).kind in kinds

    def _passes(self, test: Test, value: Any, folds: bool) -> bool:
        def fold(text: Any) -> Any:
            return text.lower() if folds and isinstance(text, str) else text

        wanted = test.values[0]
        if test.operator in {"IN", "NOT IN"}:
            return passes_in(test, fold(value), [fold(v) for v in test.values])
        if test.operator == "LIKE":
            return value is not None and like(wanted, value)
        if test.operator in {"INCLUDES", "EXCLUDES"}:
            held = set() if value is None else set(fold(value).split(";"))
            found = any(held >= {fold(p) for p in group} for group in test.values)
            return found == (test.operator == "INCLUDES")
        if isinstance(wanted, Word):
            return self._passes_word(test.operator, value, wanted)
        if wanted is None:
            return {"=": value is None, "!=": value is not None}.get(test.operator, False)
        return compare(test.operator, fold(value), fold(wanted))

    def _passes_word(self, operator: str, value: Any, word: Word) -> bool:
        first, last = days(word.text, NOW.astimezone(self._zone).date())
        begin: Any = first
        end: Any = last
        if isinstance(value, datetime):
            begin = datetime(first.year, first.month, first.day, tzinfo=self._zone)
            end = datetime(last.year, last.month, last.day, tzinfo=self._zone)
            begin, end = begin.astimezone(UTC), end.astimezone(UTC)
            if word.text.startswith("LAST_N_DAYS"):
                end = NOW + timedelta(seconds=1)
        if value is None:
            return operator == "!="
        inside = begin <= value < end
        return {
            "=": inside,
            "!=": not inside,
            "<": value < begin,
            "<=": value < end,
            ">": value >= end,
            ">=": value >= begin,
        }[operator]

    # --- rows ---

    def _rows(self, source: str, where: Any, *, mine: bool = False) -> list[Record]:
        rows = []
        for row in self._world.things[source].records:
            if row["IsDeleted"] and not self._deleted:
                continue
            if mine and row["OwnerId"] != self._user_id:
                continue

            def get(expression: Expression, row: Record = row) -> Any:
                return self._evaluate(source, row, expression)

            if where is None or self._holds(where, get, source):
                rows.append(row)
        return rows

    def found(self, query: Query) -> list[Record]:
        """Return the records of a query in order, LIMIT and OFFSET not applied."""
        rows = self._rows(query.source, query.where, mine=query.mine)
        return self.sorted_rows(query, rows)

    def sorted_rows(self, query: Query, rows: list[Record]) -> list[Record]:
        """Return records in the order of a query."""
        return sorted(
            rows,
            key=sort_key(
                query.order,
                lambda row, e: self._evaluate(query.source, row, e),
                lambda e: self._folds(query.source, e),
            ),
        )

    def order_values(self, query: Query, row: Record) -> list[Any]:
        """Return what a record is sorted by."""
        values = [self._evaluate(query.source, row, sort.expression) for sort in query.order]
        folds = [self._folds(query.source, sort.expression) for sort in query.order]
        return [
            v.lower() if f and isinstance(v, str) else v for v, f in zip(values, folds, strict=True)
        ]

    # --- records ---

    def shown(self, query: Query, record: Record) -> Record:
        """Return a record as the API shows it."""
        thing = self._world.things[query.source]
        found: Record = {"attributes": record["Id"]}
        for expression in self._expanded(query, thing):
            self._show(found, query.source, record, expression.path)
        for choice in query.choices:
            found[choice.relationship] = self._chosen(choice, record)
        for name, reference, child in query.children:
            rows = [r for r in self.found(child) if r[reference] == record["Id"]]
            last = None if child.limit is None else child.offset + child.limit
            rows = rows[child.offset : last]
            found[name] = [self.shown(child, row) for row in rows] or None
        return found

    def _expanded(self, query: Query, thing: Thing) -> list[Expression]:
        if not query.fields:
            return query.selected
        chosen = {"ALL": (True, False), "CUSTOM": (True,), "STANDARD": (False,)}[query.fields]
        return [Expression((c.name,)) for c in thing.columns if c.custom in chosen]

    def _show(
        self, shown: Record, source: str, record: Record | None, path: tuple[str, ...]
    ) -> None:
        if len(path) == 1:
            shown[path[0]] = json_value(self.value(source, record, path))
            return
        thing = self._world.things[source]
        reference = next(c for c in thing.columns if c.relationship == path[0])
        parent = self._world.find(record[reference.name]) if record else None
        if parent is None:
            shown[path[0]] = None
            return
        inner = shown.setdefault(path[0], {"attributes": parent[1]["Id"]})
        self._show(inner, parent[0], parent[1], path[1:])

    def _chosen(self, choice: Choice, record: Record) -> Record | None:
        found = self._world.find(record[choice.reference])
        if found is None:
            return None
        names = choice.branches.get(found[0], choice.otherwise)
        if names is None:
            return None
        shown = {"attributes": found[1]["Id"]}
        return shown | {n: json_value(self.value(found[0], found[1], (n,))) for n in names}

    # --- groups ---

    def groups(self, query: Query) -> list[tuple[list[Any], list[Any]]]:
        """Return the shown values and the sort values of every group, in order."""
        rows = self._rows(query.source, query.where)
        found = []
        for kept in self._sets(query):
            grouped: dict[tuple[Any, ...], list[Record]] = {} if query.grouped else {(): rows}
            for row in rows if query.grouped else ():
                key = tuple(self._key(query, row, e) if e in kept else None for e in query.grouped)
                grouped.setdefault(key, []).append(row)
            for members in grouped.values():
                get = self._getter(query, members, kept)
                if query.having is None or self._holds(query.having, get, query.source):
                    values = [self._fold(query, e, get(e)) for e in query.selected]
                    order = [
                        self._fold(query, s.expression, get(s.expression)) for s in query.order
                    ]
                    found.append((values, order))
        places = {id(sort.expression): n for n, sort in enumerate(query.order)}
        key = sort_key(query.order, lambda g, e: g[1][places[id(e)]], lambda e: False)
        return sorted(found, key=key)

    def _sets(self, query: Query) -> list[tuple[Expression, ...]]:
        keys = tuple(query.grouped)
        if query.grouping == "ROLLUP":
            return [keys[:size] for size in range(len(keys) + 1)]
        if query.grouping == "CUBE":
            return [kept for size in range(len(keys) + 1) for kept in combinations(keys, size)]
        return [keys]

    def _key(self, query: Query, row: Record, expression: Expression) -> Any:
        return self._fold(query, expression, self._evaluate(query.source, row, expression))

    def _fold(self, query: Query, expression: Expression, value: Any) -> Any:
        folds = isinstance(value, str) and self._folds(query.source, expression)
        return value.lower() if folds else value

    def _getter(
        self, query: Query, rows: list[Record], kept: tuple[Expression, ...]
    ) -> Callable[[Expression], Any]:
        def get(expression: Expression) -> Any:
            if expression.function == "GROUPING":
                return int(Expression(expression.path) not in kept)
            if expression.function not in AGGREGATES:
                if expression not in kept:
                    return None
                return self._evaluate(query.source, rows[0], expression)
            if not expression.path:
                return len(rows)
            values = [self.value(query.source, row, expression.path) for row in rows]
            known = [self._fold(query, expression, v) for v in values if v is not None]
            return aggregate(expression.function, known)

        return get


def aggregate(function: str, values: list[Any]) -> Any:
    """Return an aggregate of values that are not null."""
    if function == "COUNT":
        return len(values)
    if function == "COUNT_DISTINCT":
        return len(set(values))
    if not values:
        return None
    if function == "SUM":
        return sum(values)
    if function == "AVG":
        return Decimal(sum(values)) / len(values)
    return min(values) if function == "MIN" else max(values)


def compare(operator: str, value: Any, wanted: Any) -> bool:
    """Compare with a value that is not null; a null differs from it."""
    if value is None:
        return operator == "!="
    return {
        "=": lambda: value == wanted,
        "!=": lambda: value != wanted,
        "<": lambda: value < wanted,
        "<=": lambda: value <= wanted,
        ">": lambda: value > wanted,
        ">=": lambda: value >= wanted,
    }[operator]()


def passes_in(test: Test, value: Any, values: list[Any]) -> bool:
    """Return whether a value is in a list, or not in it."""
    if test.operator == "IN":
        return value in values
    return value not in values


def like(pattern: str, value: str) -> bool:
    """Match a pattern in which a backslash makes wildcards plain."""
    found = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            at += 1
            found.append(re.escape(pattern[at].lower()))
        elif char in "%_":
            found.append(".*" if char == "%" else ".")
        else:
            found.append(re.escape(char.lower()))
        at += 1
    return re.fullmatch("".join(found), value.lower(), re.DOTALL) is not None


def sort_key(
    order: list[Sort], get: Callable[[Any, Expression], Any], folds: Callable[[Expression], bool]
) -> Any:
    """Return a key for `sorted`."""

    def one(sort: Sort, left: Any, right: Any) -> int:
        a, b = get(left, sort.expression), get(right, sort.expression)
        if a is None or b is None:
            if a is b:
                return 0
            last = bool(sort.nulls_last)
            return (1 if last else -1) if a is None else (-1 if last else 1)
        if folds(sort.expression):
            a, b = a.lower(), b.lower()
        sign = (a > b) - (a < b)
        return -sign if sort.descending else sign

    def both(left: Any, right: Any) -> int:
        return next((sign for sort in order if (sign := one(sort, left, right))), 0)

    return cmp_to_key(both)


def json_value(value: Any) -> Any:
    """Return a value as the API shows it."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    return value.isoformat() if isinstance(value, date) else value


def date_part(function: str, value: date) -> Any:
    """Return what a date function takes from a date or a local time."""
    if function == "HOUR_IN_DAY":
        assert isinstance(value, datetime)
        return value.hour
    if function == "DAY_ONLY":
        return date(value.year, value.month, value.day)
    in_year = value.timetuple().tm_yday
    return {
        "YEAR": value.year,
        "QUARTER": (value.month - 1) // 3 + 1,
        "MONTH": value.month,
        "DAY_IN_MONTH": value.day,
        "DAY_IN_YEAR": in_year,
        "DAY_IN_WEEK": value.isoweekday() % 7 + 1,
        "WEEK_IN_MONTH": -(-value.day // 7),
        "WEEK_IN_YEAR": -(-in_year // 7),
    }[function.removeprefix("CALENDAR_").removeprefix("FISCAL_")]


def days(word: str, today: date) -> tuple[date, date]:
    """Return the first day of a date literal and the day after its last."""
    one = timedelta(days=1)
    if word in {"TODAY", "YESTERDAY", "TOMORROW"}:
        day = today + {"TODAY": 0, "YESTERDAY": -1, "TOMORROW": 1}[word] * one
        return day, day + one
    if word == "LAST_90_DAYS":
        return today - 90 * one, today + one
    if word == "NEXT_90_DAYS":
        return today + one, today + 91 * one
    name, _, count = word.partition(":")
    parts = name.replace("FISCAL_", "").split("_")
    if not count:
        shift = {"THIS": 0, "LAST": -1, "NEXT": 1}[parts[0]]
        return period(today, parts[1], shift), period(today, parts[1], shift + 1)
    number = int(count)
    if parts[0] == "N":  # N_DAYS_AGO:3
        unit = parts[1].removesuffix("S")
        return period(today, unit, -number), period(today, unit, 1 - number)
    unit = parts[2].removesuffix("S")
    if parts[0] == "LAST":
        return period(today, unit, -number), today + one if unit == "DAY" else (
            period(today, unit, 0)
        )
    return period(today, unit, 1), period(today, unit, number + 1)


def period(today: date, unit: str, shift: int) -> date:
    """Return the first day of the period that is `shift` periods away."""
    if unit == "DAY":
        return today + timedelta(days=shift)
    if unit == "WEEK":
        return today - timedelta(days=today.isoweekday() % 7) + timedelta(weeks=shift)
    if unit == "YEAR":
        return date(today.year + shift, 1, 1)
    year, month = today.year, today.month
    if unit == "QUARTER":
        month = (month - 1) // 3 * 3 + 1
        shift *= 3
    while shift > 0:
        year, month, shift = (
            (year + 1, 1, shift - 1) if month == 12 else (year, month + 1, shift - 1)
        )
    while shift < 0:
        year, month, shift = (
            (year - 1, 12, shift + 1) if month == 1 else (year, month - 1, shift + 1)
        )
    return date(year, month, 1)
