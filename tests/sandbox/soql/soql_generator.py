"""Random queries over a random world."""

import random
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from soql_tree import Choice, Expression, Join, Logic, Query, Sort, Test, Word
from soql_world import CHOICES, NUMBERS, Column, Thing, World, plain_value

PARTS = (
    "CALENDAR_YEAR", "CALENDAR_QUARTER", "CALENDAR_MONTH", "DAY_IN_MONTH", "DAY_IN_WEEK",
    "DAY_IN_YEAR", "DAY_ONLY", "FISCAL_YEAR", "FISCAL_QUARTER", "FISCAL_MONTH", "HOUR_IN_DAY",
    "WEEK_IN_MONTH", "WEEK_IN_YEAR",
)  # fmt: skip
ORDERED = ("=", "!=", "<", "<=", ">", ">=")
UNITS = ("WEEK", "MONTH", "QUARTER", "YEAR", "FISCAL_QUARTER", "FISCAL_YEAR")
COUNT = Column("count", "int")
DAY = Column("day", "date")
AVERAGE = Column("average", "double", scale=3)
PATTERNS = ("%", "a%", "%B%", "_b%", "%\\%", "a\\_b", "a\\\\b", "%ä%", "acme", "%o'n%", "__", "")


class Generator:
    """Makes queries; equal seeds make equal queries."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._pick = random.Random(seed)

    def query(self) -> Query:
        """Return a query of records, of groups, or a bare count."""
        names = [n for n in self._world.things if n != "User"]
        source = self._pick.choice(names)
        if self._pick.random() < 0.35:
            return self._groups(source)
        return self._records(source, depth=1)

    # --- records ---

    def _records(self, source: str, *, depth: int) -> Query:
        pick = self._pick
        query = Query(source)
        thing = self._world.things[source]
        if depth == 1 and pick.random() < 0.1:
            query.fields = pick.choice(("ALL", "CUSTOM", "STANDARD"))
        else:
            paths = {self._path(source) for _ in range(pick.randint(1, 5))}
            query.selected = [Expression(path) for path in sorted(paths)]
            if pick.random() < 0.2:
                query.choices = [self._choice(thing)]
                name = query.choices[0].relationship
                query.selected = [e for e in query.selected if e.path[0] != name]
        if pick.random() < 0.7:
            query.where = self._condition(source, depth=0, joins=depth == 1)
        query.mine = depth == 1 and pick.random() < 0.05
        query.order = [self._sort(self._sortable(source)) for _ in range(pick.randint(0, 2))]
        if pick.random() < 0.4 or query.fields:
            query.order.append(Sort(Expression(("Id",)), descending=pick.random() < 0.5))
            query.limit = pick.choice((1, 2, 10, 100))
            query.offset = pick.choice((0, 0, 1, 5)) if depth == 1 else 0
        if depth < 4 and pick.random() < 0.4 / depth:
            self._add_children(query, depth=depth)
        return query

    def _add_children(self, query: Query, *, depth: int) -> None:
        known = self._world.children_of(query.source)
        if not known:
            return
        for thing, column in self._pick.sample(known, k=min(len(known), self._pick.randint(1, 2))):
            assert column.children is not None
            child = self._records(thing.name, depth=depth + 1)
            query.children.append((column.children, column.name, child))

    def _choice(self, thing: Thing) -> Choice:
        pick = self._pick
        column = thing.named("Any__c")
        assert column.relationship is not None
        branches = {}
        for target in pick.sample(column.targets, k=pick.randint(1, len(column.targets))):
            names = [c.name for c in self._world.things[target].columns]
            branches[target] = tuple(pick.sample(names, k=pick.randint(1, 3)))
        otherwise = pick.choice((None, ("Name",), ("Id", "Name"), ("Type",)))
        return Choice(column.relationship, column.name, branches, otherwise)

    def _path(self, source: str) -> tuple[str, ...]:
        """Return a path of up to five parents to any field."""
        pick = self._pick
        path: list[str] = []
        while len(path) < 5 and pick.random() < 0.3:
            thing = self._world.things[source]
            known = [c for c in thing.columns if c.relationship]
            if not known:
                break
            column = pick.choice(known)
            assert column.relationship is not None
            path.append(column.relationship)
            if len(column.targets) > 1:
                return (*path, pick.choice(("Id", "Name", "Type", "CreatedDate")))
            source = column.targets[0]
        return (*path, pick.choice(self._world.things[source].columns).name)

    def _column(self, source: str, path: tuple[str, ...]) -> Column:
        for name in path[:-1]:
            if path[-1] == "Type":
                return Column("Type", "string")
            thing = self._world.things[source]
            source = next(c for c in thing.columns if c.relationship == name).targets[0]
        return self._world.things[source].named(path[-1])

    def _sortable(self, source: str) -> Expression:
        while True:
            expression, column = self._operand(source)
            if column.kind != "multipicklist":
                return expression

    def _sort(self, expression: Expression) -> Sort:
        nulls = self._pick.choice((None, None, True, False))
        return Sort(expression, self._pick.random() < 0.5, nulls)

    # --- conditions ---

    def _condition(self, source: str, *, depth: int, joins: bool) -> Any:
        pick = self._pick
        if depth == 0 and joins and pick.random() < 0.2:
            found = [self._join(source) for _ in range(pick.randint(1, 2))]
            rest = [self._condition(source, depth=1, joins=False)] if pick.random() < 0.5 else []
            parts = tuple(part for part in (*found, *rest) if part is not None)
            if len(parts) > 1:
                return Logic("AND", parts)
            if parts:
                return parts[0]
        if depth < 3 and pick.random() < 0.45:
            word = pick.choice(("AND", "OR", "NOT"))
            size = 1 if word == "NOT" else pick.randint(2, 3)
            parts = tuple(
                self._condition(source, depth=depth + 1, joins=False) for _ in range(size)
            )
            return Logic(word, parts)
        expression, column = self._operand(source)
        return self._test(expression, column)

    def _operand(self, source: str) -> tuple[Expression, Column]:
        path = self._path(source)
        column = self._column(source, path)
        if column.kind in {"date", "datetime"} and self._pick.random() < 0.4:
            return self._part(path, column)
        return Expression(path), column

    def _part(self, path: tuple[str, ...], column: Column) -> tuple[Expression, Column]:
        names = [p for p in PARTS if column.kind == "datetime" or p != "HOUR_IN_DAY"]
        function = self._pick.choice(names)
        zoned = column.kind == "datetime" and self._pick.random() < 0.5
        made = DAY if function == "DAY_ONLY" else COUNT
        return Expression(path, function, zoned), made

    def _test(self, left: Expression, column: Column) -> Test:
        pick = self._pick
        kind = column.kind
        if kind == "boolean":
            value = pick.choice((True, False))
            operator = pick.choice(("=", "!="))
            return Test(left, operator, (value,), f"{left.text} {operator} {str(value).lower()}")
        if pick.random() < 0.1:
            operator = pick.choice(("=", "!="))
            return Test(left, operator, (None,), f"{left.text} {operator} null")
        if kind == "multipicklist" and pick.random() < 0.7:
            return self._includes(left)
        if kind in {"string", "exact", "picklist"} and pick.random() < 0.3:
            pattern = pick.choice(PATTERNS)
            written = pattern.replace("'", "\\'")
            return Test(left, "LIKE", (pattern,), f"{left.text} LIKE '{written}'")
        if kind in {"date", "datetime"} and pick.random() < 0.5:
            operator = pick.choice(ORDERED)
            word = self._word()
            return Test(left, operator, (Word(word),), f"{left.text} {operator} {word}")
        if pick.random() < 0.25:
            return self._in(left, column)
        operator = pick.choice(ORDERED)
        value = self._value(column)
        return Test(left, operator, (value,), f"{left.text} {operator} {self._literal(value)}")

    def _in(self, left: Expression, column: Column) -> Test:
        pick = self._pick
        values = [self._value(column) for _ in range(pick.randint(1, 4))]
        if pick.random() < 0.2:
            values.append(None)
        operator = pick.choice(("IN", "NOT IN"))
        written = ", ".join("null" if v is None else self._literal(v) for v in values)
        return Test(left, operator, tuple(values), f"{left.text} {operator} ({written})")

    def _includes(self, left: Expression) -> Test:
        pick = self._pick
        operator = pick.choice(("INCLUDES", "EXCLUDES"))
        groups = [
            tuple(pick.sample(CHOICES, k=pick.randint(1, 2))) for _ in range(pick.randint(1, 2))
        ]
        written = ", ".join(f"'{pick.choice((str, str.upper))(';'.join(g))}'" for g in groups)
        folded = tuple(tuple(p.lower() for p in g) for g in groups)
        return Test(left, operator, folded, f"{left.text} {operator} ({written})")

    def _join(self, source: str) -> Join | None:
        pick = self._pick
        thing = self._world.things[source]
        keys = [c.name for c in thing.columns if c.kind in {"id", "reference"}]
        others = [n for n in self._world.things if n not in {source, "User"}]
        left = Expression((pick.choice(keys),))
        other = self._world.things[pick.choice(others)]
        inner = [c.name for c in other.columns if c.kind in {"id", "reference"}]
        selected = Expression((pick.choice(inner),))
        where = None
        if pick.random() < 0.5:
            where = self._condition(other.name, depth=2, joins=False)
        negated = pick.random() < 0.5
        tail = f" WHERE {where.text}" if where else ""
        text = (
            f"{left.text} {'NOT IN' if negated else 'IN'} "
            f"(SELECT {selected.text} FROM {other.name}{tail})"
        )
        return Join(left, negated, other.name, selected, where, text)

    # --- values ---

    def _word(self) -> str:
        pick = self._pick
        simple = ("TODAY", "YESTERDAY", "TOMORROW", "LAST_90_DAYS", "NEXT_90_DAYS")
        kind = pick.choice(("simple", "plain", "last", "next", "ago"))
        unit = pick.choice((*UNITS, "DAY"))
        count = pick.randint(1, 9)
        if kind == "simple":
            return pick.choice(simple)
        if kind == "plain":
            return f"{pick.choice(('THIS', 'LAST', 'NEXT'))}_{pick.choice(UNITS)}"
        if kind == "ago":
            return f"N_{unit}S_AGO:{count}"
        return f"{kind.upper()}_N_{unit}S:{count}"

    def _value(self, column: Column) -> Any:
        pick = self._pick
        if column.kind in {"id", "reference"}:
            targets = column.targets or tuple(self._world.things)
            records = self._world.things[pick.choice(targets)].records
            records = records or self._world.things["User"].records
            return pick.choice(records)["Id"]
        if column.kind == "int" or column.kind in NUMBERS:
            known = self._known(column)
            if known is not None and pick.random() < 0.5:
                return known + Decimal(pick.choice(("0", "0.0004", "-0.0004")))
            digits = pick.choice((0, 1, 2, 4))
            span = 3_000 if column.name == "count" else 30
            return Decimal(pick.randint(-5, span * 10**digits)).scaleb(-digits)
        if column.kind in {"multipicklist", "picklist"}:
            return pick.choice((*CHOICES, "draft", "Draft;Open"))
        known = self._known(column)
        return known if known is not None and pick.random() < 0.5 else plain_value(column, pick)

    def _known(self, column: Column) -> Any:
        """Return a value that some record holds in a field of this name and kind."""
        things = [t for t in self._world.things.values() if column in t.columns and t.records]
        if not things:
            return None
        thing = self._pick.choice(things)
        return self._pick.choice(thing.records)[column.name]

    def _literal(self, value: Any) -> str:
        pick = self._pick
        if isinstance(value, str):
            text = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
            if pick.random() < 0.2:
                text = text.replace("ä", "\\u00e4").replace("ë", "\\u00EB")
            return f"'{text}'"
        if isinstance(value, Decimal):
            return pick.choice(("", "EUR")) + f"{value:f}" if value >= 0 else f"{value:f}"
        if isinstance(value, datetime):
            offset = pick.choice((0, 2, -5))
            moment = value.astimezone(timezone(timedelta(hours=offset)))
            return moment.strftime("%Y-%m-%dT%H:%M:%S") + (
                "Z" if not offset else f"{offset:+03d}:00"
            )
        assert isinstance(value, date)
        return value.isoformat()

    # --- groups ---

    def _groups(self, source: str) -> Query:
        pick = self._pick
        query = Query(source, aggregate=True)
        if pick.random() < 0.7:
            query.where = self._condition(source, depth=1, joins=False)
        for _ in range(pick.choice((0, 1, 1, 2, 3))):
            key = self._group_key(source)
            if key not in query.grouped:
                query.grouped.append(key)
        if query.grouped and pick.random() < 0.4:
            query.grouping = pick.choice(("ROLLUP", "CUBE"))
        query.selected = [key for key in query.grouped if pick.random() < 0.8]
        query.selected += [self._aggregate(source)[0] for _ in range(pick.randint(1, 3))]
        plain = [key for key in query.grouped if not key.function]
        if query.grouping and plain:
            query.selected.append(Expression(pick.choice(plain).path, "GROUPING"))
        if query.grouped and pick.random() < 0.5:
            query.having = self._having(query)
        if query.grouped and pick.random() < 0.6:
            query.order = [self._sort(e) for e in query.grouped]
            pick.shuffle(query.order)
            if not query.grouping and pick.random() < 0.5:
                query.limit = pick.choice((1, 3, 50))
                query.offset = pick.choice((0, 0, 2))
            elif pick.random() < 0.5:
                query.order.insert(0, self._sort(self._aggregate(source)[0]))
        return query

    def _group_key(self, source: str) -> Expression:
        while True:
            expression, column = self._operand(source)
            barred = column.kind in {"datetime", "multipicklist"} or column.kind in NUMBERS
            if not barred:
                return expression

    def _aggregate(self, source: str) -> tuple[Expression, Column]:
        pick = self._pick
        path = self._path(source)
        column = self._column(source, path)
        names = ["COUNT", "COUNT_DISTINCT"]
        if column.is_number:
            names += ["SUM", "AVG", "MIN", "MAX"]
        elif column.kind not in {"boolean", "multipicklist"}:
            names += ["MIN", "MAX"]
        function = pick.choice(names)
        made = {"COUNT": COUNT, "COUNT_DISTINCT": COUNT, "AVG": AVERAGE}.get(function, column)
        return Expression(path, function), made

    def _having(self, query: Query) -> Any:
        parts = []
        for _ in range(self._pick.randint(1, 2)):
            expression, column = self._aggregate(query.source)
            if expression.function == "AVG" or not self._pick.random() < 0.3:
                parts.append(self._test(expression, column))
            else:
                key = self._pick.choice(query.grouped)
                parts.append(self._test(key, self._key_column(query, key)))
        word = self._pick.choice(("AND", "OR"))
        return parts[0] if len(parts) == 1 else Logic(word, tuple(parts))

    def _key_column(self, query: Query, key: Expression) -> Column:
        if key.function:
            return DAY if key.function == "DAY_ONLY" else COUNT
        return self._column(query.source, key.path)
