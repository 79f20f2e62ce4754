"""Plans a query: SQL, parameters, and how rows become records."""

from dataclasses import dataclass, field
from itertools import combinations

from ..schema.model import Field, FieldType, ObjectType, Schema
from ..storage.folding import COLLATION, folded_sql
from .ast import Call, Comparison, FieldGroup, Path, Query, SelectItem, TypeOf
from .filters import LONG_TEXT, FilterBuilder, Myself, Operand, Params, Sql
from .joins import check_joins, check_link_filter, explicit_ids
from .lexer import error_at
from .operands import Grouping, Operands
from .parser import AGGREGATES, parse
from .scope import HINT_OBJECT, HINT_RELATIONSHIP, Scope
from .select import Column, SelectBuilder, Shape

LAST_VERSION = 67
FIELDS_SINCE, NESTED_SINCE = 51, 58
FIELDS_LIMIT = 200
MAX_ORDERED = 32
UNSORTABLE = frozenset({FieldType.MULTIPICKLIST, FieldType.BASE64, FieldType.ADDRESS})
UNGROUPABLE = UNSORTABLE | {
    FieldType.DATETIME,
    FieldType.CURRENCY,
    FieldType.DOUBLE,
    FieldType.PERCENT,
}


@dataclass(slots=True)
class ChildPlan:
    """A child subquery: planned like a query, joined to its parents by `reference`."""

    relationship: str
    plan: "Plan"


@dataclass(slots=True)
class GroupingSet:
    """One of the results that ROLLUP and CUBE put together."""

    select_sql: str
    tail_sql: str
    tail_params: Params


@dataclass(slots=True)
class Plan:
    """Everything needed to run a query."""

    item: ObjectType
    shape: Shape
    select_sql: str
    where_sql: str
    params: Params
    tail_sql: str = ""
    tail_params: Params = field(default_factory=list)
    order_sql: str = ""
    limit: int | None = None
    offset: int = 0
    is_count: bool = False
    is_aggregate: bool = False
    is_grouped: bool = False
    reference_sql: str = ""
    id_sql: str = ""
    alive_sql: str = "1"
    from_sql: str = ""
    children: list[ChildPlan] = field(default_factory=list)
    sets: list[GroupingSet] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)


def plan_query(
    text: str, schema: Schema, *, include_deleted: bool, version: int = LAST_VERSION
) -> Plan:
    """Return the plan of a query text.

    Args:
        text: SOQL.
        schema: What the asking user may see.
        include_deleted: Whether the recycle bin counts.
        version: Of the API; FIELDS() and nested subqueries came with 51 and 58.

    Raises:
        ApiError: What Salesforce answers to a query it does not understand.
    """
    query = parse(text)
    planner = _Planner(text, schema, include_deleted=include_deleted, version=version)
    return planner.plan(query, planner.object_of(query), depth=0)


class _Planner:
    def __init__(self, text: str, schema: Schema, *, include_deleted: bool, version: int) -> None:
        self._text = text
        self._schema = schema
        self._include_deleted = include_deleted
        self._version = version
        self._scopes = 0

    def object_of(self, query: Query) -> ObjectType:
        """Return the object a query reads."""
        item = self._schema.find(query.source)
        if item is None:
            message = f"sObject type '{query.source}' is not supported. {HINT_OBJECT}"
            raise error_at(self._text, query.source_at, message, code="INVALID_TYPE")
        if item.event:
            message = f"entity type {item.name} does not support query"
            code = "INVALID_TYPE_FOR_OPERATION"
            raise error_at(self._text, query.source_at, message, code=code)
        return item

    def _scope(self, query: Query, item: ObjectType, letter: str) -> Scope:
        self._scopes += 1
        prefix = f"{letter}{self._scopes}_"
        return Scope(
            text=self._text, schema=self._schema, item=item, alias=query.alias, prefix=prefix
        )

    def plan(
        self, query: Query, item: ObjectType, *, depth: int, reference: Field | None = None
    ) -> Plan:
        """Plan one query level; `reference` ties a child subquery to its parent."""
        scope = self._scope(query, item, "abcdefgh"[depth])
        operands = Operands(self._text, scope)
        if reference is None:
            check_link_filter(query, item)
        selected = self._expanded(query, item)
        count_only = self._is_count(query)
        aggregate = bool(query.group_by) or any(map(_is_aggregate, selected))
        if aggregate and not count_only:
            plan = self._aggregate(query, item, scope, operands, selected)
        else:
            builder = SelectBuilder(self._text, self._schema, scope)
            if not count_only:
                builder.records(selected)
            plan = Plan(
                item=item,
                shape=builder.shape,
                select_sql=", ".join(builder.columns) or "1",
                where_sql="",
                params=[],
                order_sql=self._order(query, operands),
                columns=builder.described,
            )
        plan.where_sql, plan.params = self._where(query, scope, operands)
        plan.limit, plan.offset = query.limit, query.offset
        plan.is_count = count_only
        plan.reference_sql = f'{scope.root.alias}."{reference.name}"' if reference else ""
        plan.id_sql = f'{scope.root.alias}."Id"'
        if not self._include_deleted:
            plan.alive_sql = f'{scope.root.alias}."IsDeleted" = 0'
        plan.from_sql = scope.from_sql()
        for child in query.children:
            plan.children.append(self._child(child, query, item, depth=depth, flat=aggregate))
        return plan

    def _is_count(self, query: Query) -> bool:
        first = query.select[0] if len(query.select) == 1 else None
        counts = isinstance(first, SelectItem) and _is_bare_count(first)
        return counts and not query.group_by and not query.children

    # --- SELECT ---

    def _expanded(self, query: Query, item: ObjectType) -> list[SelectItem | TypeOf]:
        selected: list[SelectItem | TypeOf] = []
        for part in query.select:
            if not isinstance(part, FieldGroup):
                selected.append(part)
                if isinstance(part, SelectItem) and _is_bare_count(part) and len(query.select) > 1:
                    message = "COUNT() must be the only element in the SELECT list"
                    raise error_at(self._text, part.expression.at, message)
                continue
            self._check_group(part, query)
            selected += [
                SelectItem(expression=Path(names=(f.name,), at=part.at))
                for f in item.fields
                if part.which == "ALL" or f.custom == (part.which == "CUSTOM")
            ]
        return selected

    def _check_group(self, group: FieldGroup, query: Query) -> None:
        if self._version < FIELDS_SINCE:
            raise error_at(self._text, group.at, "unexpected token: 'FIELDS'")
        if query.group_by:
            message = "The SOQL FIELDS function is not supported with GROUP BY"
            raise error_at(self._text, group.at, message)
        if group.which == "STANDARD":
            return
        ids = explicit_ids(query.where)
        limits = [count for count in (query.limit, ids) if count is not None]
        if not limits or min(limits) > FIELDS_LIMIT:
            message = f"The SOQL FIELDS function must have a LIMIT of at most {FIELDS_LIMIT}"
            raise error_at(self._text, group.at, message)

    # --- WHERE ---

    def _where(self, query: Query, scope: Scope, operands: Operands) -> Sql:
        parts = []
        params: Params = []
        if query.where is not None:
            check_joins(self._text, query)
            builder = FilterBuilder(
                text=self._text,
                operand=lambda e: self._where_operand(e, operands),
                subquery=self._subquery,
            )
            sql, params = builder.build(query.where)
            parts.append(f"({sql})")
        if query.scope != "EVERYTHING":
            parts.append(self._mine(query, scope))
            params = [*params, Myself()]
        if not self._include_deleted:
            parts.append(f'{scope.root.alias}."IsDeleted" = 0')
        return " AND ".join(parts), params

    def _mine(self, query: Query, scope: Scope) -> str:
        if query.scope != "MINE" or not scope.root.item.has("OwnerId"):
            message = f"The filter scope {query.scope} is not supported on {query.source}"
            raise error_at(self._text, query.scope_at, message)
        return f'{scope.root.alias}."OwnerId" = ?'

    def _where_operand(self, expression: Path | Call, operands: Operands) -> Operand:
        if isinstance(expression, Call) and expression.function in AGGREGATES | {"GROUPING"}:
            message = f"unexpected token: '{expression.function}'"
            raise error_at(self._text, expression.at, message)
        return operands.of(expression)

    def _subquery(self, condition: Comparison, left: Operand) -> Sql:
        """Plan a semi-join or anti-join; its form has been checked."""
        query = condition.subquery
        assert query is not None
        if left.field.type not in {FieldType.ID, FieldType.REFERENCE}:
            message = f"Cannot use a foreign key for outer field for semi join: {left.field.name}"
            raise error_at(self._text, condition.left.at, message, code="INVALID_FIELD")
        item = self.object_of(query)
        first = query.select[0]
        if not isinstance(first, SelectItem) or not isinstance(first.expression, Path):
            message = "semi join sub-selects must select exactly one id field"
            raise error_at(self._text, query.source_at, message)
        check_link_filter(query, item)
        scope = self._scope(query, item, "s")
        operands = Operands(self._text, scope)
        found = scope.resolve(first.expression)
        if found.field.type not in {FieldType.ID, FieldType.REFERENCE}:
            message = f"semi join sub-selects can only select id fields: {found.field.name}"
            raise error_at(self._text, first.expression.at, message)
        where_sql, params = self._where(query, scope, operands)
        parts = [f"{found.sql} IS NOT NULL", *([where_sql] if where_sql else [])]
        inner = f"SELECT {found.sql} FROM {scope.from_sql()} WHERE {' AND '.join(parts)}"
        sql = f"{left.sql} IN ({inner})"
        return (sql if condition.operator == "IN" else f"NOT COALESCE({sql}, 0)"), params

    # --- GROUP BY ---

    def _aggregate(
        self,
        query: Query,
        item: ObjectType,
        scope: Scope,
        operands: Operands,
        selected: list[SelectItem | TypeOf],
    ) -> Plan:
        items = []
        for part in selected:
            if isinstance(part, TypeOf):
                message = "TYPEOF is not supported in aggregate queries"
                raise error_at(self._text, part.relationship.at, message)
            items.append(part)
        keys = [self._key(e, operands) for e in query.group_by]
        if not keys and (query.limit is not None or query.offset):
            message = (
                "Non-grouped query that uses overall aggregate functions cannot also use LIMIT"
            )
            raise error_at(self._text, items[0].expression.at, message)
        plan: Plan | None = None
        sets = []
        for rolled in _rolled(keys, query.grouping):
            grouping = Grouping(keys=tuple(keys), rolled=rolled)
            builder = SelectBuilder(self._text, self._schema, scope)
            builder.aggregate(items, operands, grouping)
            orders = self._order_operands(query, operands, grouping)
            tail = self._tail([k for k in keys if k not in rolled], query, operands, grouping)
            columns = (
                [*builder.columns, *(o.sql for o in orders)]
                if query.grouping
                else (builder.columns)
            )
            if plan is None:
                plan = Plan(
                    item=item,
                    shape=builder.shape,
                    select_sql=", ".join(columns),
                    where_sql="",
                    params=[],
                    tail_sql=tail[0],
                    tail_params=tail[1],
                    is_aggregate=True,
                    is_grouped=bool(keys),
                    columns=builder.described,
                )
                places = [f"{len(builder.columns) + n + 1}" for n in range(len(orders))]
                plan.order_sql = _order_sql(query, orders, places if query.grouping else None)
            sets.append(GroupingSet(", ".join(columns), *tail))
        assert plan is not None
        plan.sets = sets if query.grouping else []
        return plan

    def _key(self, expression: Path | Call, operands: Operands) -> str:
        if isinstance(expression, Call) and expression.function in {"GROUPING", "TOLABEL"}:
            message = f"unexpected token: '{expression.function}'"
            raise error_at(self._text, expression.at, message)
        operand = operands.of(expression)
        kind = operand.field.type
        long = kind is FieldType.TEXTAREA and operand.field.length > LONG_TEXT
        if operand.is_aggregate or long or kind in UNGROUPABLE:
            message = f"field '{operand.field.name}' can not be grouped in a query call"
            raise error_at(self._text, expression.at, message)
        return operand.sql

    def _tail(self, keys: list[str], query: Query, operands: Operands, grouping: Grouping) -> Sql:
        sql = f" GROUP BY {', '.join(keys)}" if keys else ""
        if query.grouping and not keys:
            sql = " GROUP BY NULL"  # the grand total; none where nothing was found
        if query.having is None:
            return sql, []
        builder = FilterBuilder(
            text=self._text,
            operand=lambda e: self._grouped(e, operands, grouping, "Having field"),
            subquery=self._no_subquery,
        )
        having, params = builder.build(query.having)
        return f"{sql} HAVING {having}", params

    def _no_subquery(self, condition: Comparison, left: Operand) -> Sql:
        message = "semi join sub-selects are only allowed in WHERE clauses"
        raise error_at(self._text, condition.left.at, message)

    def _grouped(
        self, expression: Path | Call, operands: Operands, grouping: Grouping, what: str
    ) -> Operand:
        plain = operands.of(expression, Grouping(keys=grouping.keys))
        if not plain.is_aggregate and plain.sql not in grouping.keys:
            message = f"{what} must be grouped or aggregated: {plain.field.name}"
            raise error_at(self._text, expression.at, message)
        return operands.of(expression, grouping)

    # --- ORDER BY ---

    def _order_operands(
        self, query: Query, operands: Operands, grouping: Grouping
    ) -> list[Operand]:
        return [
            self._grouped(order.expression, operands, grouping, "Ordered field")
            for order in query.order_by
        ]

    def _order(self, query: Query, operands: Operands) -> str:
        if len(query.order_by) > MAX_ORDERED:
            at = query.order_by[MAX_ORDERED].expression.at
            raise error_at(self._text, at, f"a query can be sorted by {MAX_ORDERED} fields")
        found = []
        for order in query.order_by:
            operand = self._where_operand(order.expression, operands)
            kind = operand.field.type
            long = kind is FieldType.TEXTAREA and operand.field.length > LONG_TEXT
            if long or kind in UNSORTABLE:
                message = f"field '{operand.field.name}' can not be sorted in a query call"
                raise error_at(self._text, order.expression.at, message)
            found.append(operand)
        return _order_sql(query, found, None)

    # --- children ---

    def _child(
        self, child: Query, query: Query, parent: ObjectType, *, depth: int, flat: bool
    ) -> ChildPlan:
        link = self._schema.child_link(parent.name, child.source)
        if link is None or flat:
            message = (
                f"Didn't understand relationship '{child.source}' in FROM part of query call. "
                f"{HINT_RELATIONSHIP}"
            )
            raise error_at(self._text, child.source_at, message, code="INVALID_TYPE")
        if depth and self._version < NESTED_SINCE:
            message = (
                "SOQL statements cannot query aggregate relationships more than 1 level away "
                "from the root entity object."
            )
            raise error_at(self._text, child.source_at, message)
        if child.offset and query.limit != 1:
            message = "OFFSET in a subquery needs LIMIT 1 in the parent query"
            raise error_at(self._text, child.offset_at, message)
        plan = self.plan(child, link.child, depth=depth + 1, reference=link.field)
        if plan.is_aggregate or plan.is_count:
            raise error_at(self._text, child.source_at, "aggregates are not allowed in a subquery")
        return ChildPlan(relationship=link.field.children or child.source, plan=plan)


def _is_aggregate(selection: SelectItem | TypeOf) -> bool:
    if isinstance(selection, TypeOf) or not isinstance(selection.expression, Call):
        return False
    return selection.expression.function in AGGREGATES


def _is_bare_count(selection: SelectItem) -> bool:
    expression = selection.expression
    return isinstance(expression, Call) and expression.path is None


def _rolled(keys: list[str], grouping: str) -> list[tuple[str, ...]]:
    """Return the keys each grouping set sums over, the plain grouping first."""
    if grouping == "ROLLUP":
        return [tuple(keys[size:]) for size in range(len(keys), -1, -1)]
    if grouping == "CUBE":
        sizes = range(len(keys) + 1)
        return [rolled for size in sizes for rolled in combinations(keys, size)]
    return [()]


def _order_sql(query: Query, operands: list[Operand], places: list[str] | None) -> str:
    """Return the ORDER BY clause; `places` are column numbers to use instead of expressions."""
    parts = []
    for number, (order, operand) in enumerate(zip(query.order_by, operands, strict=True)):
        direction = "DESC" if order.descending else "ASC"
        nulls = "LAST" if order.nulls_last else "FIRST"
        # The default of SQLite for ASC is NULLS FIRST; saying so would not use an index.
        natural = not order.descending and not order.nulls_last
        item = operand.field
        if places is not None:
            sql = places[number] + (f" COLLATE {COLLATION}" if item.folds else "")
        else:
            sql = folded_sql(operand.sql) if item.folds else operand.sql
        parts.append(f"{sql} {direction}" + ("" if natural else f" NULLS {nulls}"))
    return f" ORDER BY {', '.join(parts)}" if parts else ""
