"""Plans a query: SQL, parameters, and how rows become records."""

from dataclasses import dataclass, field

from ..errors import ApiError
from ..schema.model import Field, FieldType, ObjectType, Schema
from ..storage.values import Decoder, decoder
from .ast import Call, Comparison, Condition, Path, Query, SelectItem
from .filters import FilterBuilder, Operand, Params, Sql
from .lexer import error_at
from .operands import operand_of
from .parser import AGGREGATES, parse
from .scope import HINT_OBJECT, HINT_RELATIONSHIP, Scope

FIELDS_LIMIT = 200
ADDRESS_PARTS = ("City", "Country", "PostalCode", "State", "Street")


@dataclass(slots=True)
class Shape:
    """How columns of a row become one JSON record; parents are shapes inside."""

    item: ObjectType | None  # None where the id tells (polymorphic) or for an aggregate
    id_column: int = -1
    columns: list[tuple[str, int, Decoder | None]] = field(default_factory=list)
    addresses: list[tuple[str, tuple[tuple[str, int], ...]]] = field(default_factory=list)
    parents: dict[str, "Shape"] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ChildPlan:
    """A child subquery: planned like a query, joined to its parents by `reference`."""

    relationship: str
    plan: "Plan"


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
    reference_sql: str = ""
    id_sql: str = ""
    alive_sql: str = "1"
    from_sql: str = ""
    children: list[ChildPlan] = field(default_factory=list)


def plan_query(text: str, schema: Schema, *, include_deleted: bool) -> Plan:
    """Return the plan of a query text.

    Raises:
        ApiError: What Salesforce answers to a query it does not understand.
    """
    query = parse(text)
    item = schema.find(query.source)
    if item is None:
        message = f"sObject type '{query.source}' is not supported. {HINT_OBJECT}"
        raise error_at(text, query.source_at, message, code="INVALID_TYPE")
    return _Planner(text, schema, include_deleted=include_deleted).plan(query, item, depth=0)


class _Planner:
    def __init__(self, text: str, schema: Schema, *, include_deleted: bool) -> None:
        self._text = text
        self._schema = schema
        self._include_deleted = include_deleted
        self._scopes = 0

    def plan(
        self, query: Query, item: ObjectType, *, depth: int, reference: Field | None = None
    ) -> Plan:
        """Plan one query level; `reference` ties a child subquery to its parent."""
        self._scopes += 1
        scope = Scope(
            text=self._text,
            schema=self._schema,
            item=item,
            alias=query.alias,
            prefix=f"{'abcdefgh'[depth]}{self._scopes}_",
        )
        aggregate = bool(query.group_by) or any(
            isinstance(s.expression, Call) and s.expression.function in AGGREGATES
            for s in query.select
        )
        builder = _SelectBuilder(self._text, self._schema, scope)
        count_only = self._is_count(query)
        if not count_only:
            self._select(query, item, builder, aggregate=aggregate)
        if reference is None:
            self._check_link_filter(query, item)
        where_sql, params = self._where(query, scope)
        group_sql, group_params = self._grouping(query, scope)
        order_sql = self._order(query, scope, aggregate=aggregate)
        columns = ", ".join(builder.columns) or "1"
        reference_sql = f'{scope.root.alias}."{reference.name}"' if reference else ""
        plan = Plan(
            item=item,
            shape=builder.shape,
            select_sql=columns,
            where_sql=where_sql,
            params=params,
            tail_sql=group_sql,
            tail_params=group_params,
            order_sql=order_sql,
            limit=query.limit,
            offset=query.offset,
            is_count=count_only,
            is_aggregate=aggregate and not count_only,
            reference_sql=reference_sql,
            id_sql=f'{scope.root.alias}."Id"',
            alive_sql="1" if self._include_deleted else f'{scope.root.alias}."IsDeleted" = 0',
            from_sql=scope.from_sql(),
        )
        for child in query.children:
            plan.children.append(self._child(child, item, depth=depth, aggregate=aggregate))
        return plan

    def _is_count(self, query: Query) -> bool:
        first = query.select[0].expression if len(query.select) == 1 else None
        return isinstance(first, Call) and first.path is None and not query.group_by

    def _select(
        self, query: Query, item: ObjectType, builder: "_SelectBuilder", *, aggregate: bool
    ) -> None:
        selected = [*query.select]
        for group in query.groups:
            if group.which != "STANDARD" and (query.limit is None or query.limit > FIELDS_LIMIT):
                message = "The SOQL FIELDS function must have a LIMIT of at most 200"
                raise error_at(self._text, group.at, message)
            selected += [
                SelectItem(expression=Path(names=(f.name,), at=group.at))
                for f in item.fields
                if group.which == "ALL" or f.custom == (group.which == "CUSTOM")
            ]
        if aggregate:
            builder.aggregate(selected, query)
        else:
            builder.records(selected)

    def _where(self, query: Query, scope: Scope) -> Sql:
        parts = []
        params: Params = []
        if query.where is not None:
            builder = FilterBuilder(
                text=self._text,
                operand=lambda e: self._where_operand(e, scope),
                subquery=self._subquery,
            )
            sql, params = builder.build(query.where)
            parts.append(f"({sql})")
        if not self._include_deleted:
            parts.append(f'{scope.root.alias}."IsDeleted" = 0')
        return " AND ".join(parts), params

    def _where_operand(self, expression: Path | Call, scope: Scope) -> Operand:
        if isinstance(expression, Path):
            found = scope.resolve(expression)
            return Operand(sql=found.sql, field=found.field)
        if expression.function in AGGREGATES:
            message = f"unexpected token: '{expression.function}'"
            raise error_at(self._text, expression.at, message)
        return operand_of(expression, scope, self._text)

    def _subquery(self, condition: Comparison, left: Operand) -> Sql:
        """Plan a semi-join or anti-join."""
        query = condition.subquery
        assert query is not None
        if left.field.type not in {FieldType.ID, FieldType.REFERENCE}:
            message = f"Cannot use a foreign key for outer field for semi join: {left.field.name}"
            raise error_at(self._text, condition.left.at, message, code="INVALID_FIELD")
        item = self._schema.find(query.source)
        if item is None:
            message = f"sObject type '{query.source}' is not supported. {HINT_OBJECT}"
            raise error_at(self._text, query.source_at, message, code="INVALID_TYPE")
        first = query.select[0].expression if len(query.select) == 1 else None
        if not isinstance(first, Path) or query.children or query.group_by or query.limit:
            message = "semi join sub-selects must select exactly one id field"
            raise error_at(self._text, query.source_at, message)
        plan_alias = f"s{self._scopes + 1}_"
        self._scopes += 1
        scope = Scope(
            text=self._text, schema=self._schema, item=item, alias=query.alias, prefix=plan_alias
        )
        self._check_link_filter(query, item)
        found = scope.resolve(first)
        if found.field.type not in {FieldType.ID, FieldType.REFERENCE}:
            message = f"semi join sub-selects can only select id fields: {found.field.name}"
            raise error_at(self._text, first.at, message)
        where_sql, params = self._where(query, scope)
        parts = [f"{found.sql} IS NOT NULL", *([where_sql] if where_sql else [])]
        inner = f"SELECT {found.sql} FROM {scope.from_sql()} WHERE {' AND '.join(parts)}"
        sql = f"{left.sql} IN ({inner})"
        return (sql if condition.operator == "IN" else f"NOT COALESCE({sql}, 0)"), params

    def _check_link_filter(self, query: Query, item: ObjectType) -> None:
        """ContentDocumentLink cannot be read as a whole (fact sheet C.9)."""
        if item.name != "ContentDocumentLink" or _filters_link(query.where):
            return
        message = (
            "Implementation restriction: ContentDocumentLink requires a filter by a single Id on "
            "ContentDocumentId or LinkedEntityId using the equals operator or multiple Id's using "
            "the IN operator."
        )
        raise ApiError(400, "MALFORMED_QUERY", message)

    def _grouping(self, query: Query, scope: Scope) -> Sql:
        if not query.group_by:
            return "", []
        keys = [operand_of(e, scope, self._text).sql for e in query.group_by]
        sql = f" GROUP BY {', '.join(keys)}"
        if query.having is None:
            return sql, []
        builder = FilterBuilder(
            text=self._text,
            operand=lambda e: operand_of(e, scope, self._text),
            subquery=self._subquery,
        )
        having, params = builder.build(query.having)
        return f"{sql} HAVING {having}", params

    def _order(self, query: Query, scope: Scope, *, aggregate: bool) -> str:
        parts = []
        for order in query.order_by:
            if isinstance(order.expression, Path) or aggregate:
                operand = operand_of(order.expression, scope, self._text)
            else:
                operand = self._where_operand(order.expression, scope)
            direction = "DESC" if order.descending else "ASC"
            nulls = "LAST" if order.nulls_last else "FIRST"
            # The default of SQLite for ASC is NULLS FIRST; saying so would not use an index.
            natural = not order.descending and not order.nulls_last
            parts.append(f"{operand.sql} {direction}" + ("" if natural else f" NULLS {nulls}"))
        return f" ORDER BY {', '.join(parts)}" if parts else ""

    def _child(self, child: Query, parent: ObjectType, *, depth: int, aggregate: bool) -> ChildPlan:
        link = self._schema.child_link(parent.name, child.source)
        if link is None or aggregate:
            message = (
                f"Didn't understand relationship '{child.source}' in FROM part of query call. "
                f"{HINT_RELATIONSHIP}"
            )
            raise error_at(self._text, child.source_at, message, code="INVALID_TYPE")
        plan = self.plan(child, link.child, depth=depth + 1, reference=link.field)
        if plan.is_aggregate or plan.is_count:
            raise error_at(self._text, child.source_at, "aggregates are not allowed in a subquery")
        return ChildPlan(relationship=link.field.children or child.source, plan=plan)


class _SelectBuilder:
    """Collects selected columns and the shape of records."""

    def __init__(self, text: str, schema: Schema, scope: Scope) -> None:
        self._text = text
        self._schema = schema
        self._scope = scope
        self.columns: list[str] = []
        self.shape = Shape(item=None)

    def records(self, selected: list[SelectItem]) -> None:
        """Select fields of records; the id is always read."""
        self.shape.item = self._scope.root.item
        self.shape.id_column = self._column(f'{self._scope.root.alias}."Id"')
        seen: set[tuple[str, ...]] = set()
        for selection in selected:
            path = selection.expression
            if not isinstance(path, Path) or selection.alias is not None:
                alias = selection.alias or ""
                raise error_at(self._text, path.at, f"unexpected token: '{alias}'")
            found = self._scope.resolve(path)
            key = (*(name for name, _ in found.parents), found.field.name)
            if key in seen:
                message = f"duplicate field selected: {path.text}"
                raise error_at(self._text, path.at, message, code="INVALID_FIELD")
            seen.add(key)
            shape = self._parent_shape(found.parents)
            if found.field.type is FieldType.ADDRESS:
                self._address(shape, found.field, found.table.alias, found.table.item)
            else:
                column = (found.field.name, self._column(found.sql), decoder(found.field))
                shape.columns.append(column)
                shape.order.append(found.field.name)

    def _parent_shape(self, parents: tuple[tuple[str, str], ...]) -> Shape:
        shape = self.shape
        for name, id_sql in parents:
            inner = shape.parents.get(name)
            if inner is None:
                inner = Shape(item=None, id_column=self._column(id_sql))
                shape.parents[name] = inner
                shape.order.append(name)
            shape = inner
        return shape

    def _address(self, shape: Shape, compound: Field, alias: str, item: ObjectType) -> None:
        prefix = compound.name.removesuffix("Address")
        parts = tuple(
            (part[0].lower() + part[1:], self._column(f'{alias}."{prefix}{part}"'))
            for part in ADDRESS_PARTS
            if item.has(prefix + part)
        )
        shape.addresses.append((compound.name, parts))
        shape.order.append(compound.name)

    def aggregate(self, selected: list[SelectItem], query: Query) -> None:
        """Select aggregates and grouped fields into flat rows."""
        grouped = {operand_of(e, self._scope, self._text).sql for e in query.group_by}
        unnamed = 0
        for selection in selected:
            operand = operand_of(selection.expression, self._scope, self._text)
            if not operand.is_aggregate and operand.sql not in grouped:
                name = operand.field.name
                message = f"Field must be grouped or aggregated: {name}"
                raise error_at(self._text, selection.expression.at, message)
            name = selection.alias or ""
            if not name and isinstance(selection.expression, Path):
                name = operand.field.name
            elif not name:
                name = f"expr{unnamed}"
                unnamed += 1
            self.shape.columns.append((name, self._column(operand.sql), decoder(operand.field)))
            self.shape.order.append(name)

    def _column(self, sql: str) -> int:
        self.columns.append(sql)
        return len(self.columns) - 1


def _filters_link(condition: Condition | None) -> bool:
    if isinstance(condition, Comparison):
        names = {"contentdocumentid", "linkedentityid"}
        path = condition.left
        is_key = isinstance(path, Path) and path.names[-1].lower() in names
        return is_key and condition.operator in {"=", "IN"}
    if condition is None or condition.operator != "AND":
        return False
    return any(_filters_link(part) for part in condition.parts)
