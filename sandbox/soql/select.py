"""From the SELECT list to columns, and how a row of them becomes a record."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..schema.model import Field, FieldType, ObjectType, Schema
from ..storage.values import Decoder, decoder
from .ast import Branch, Call, Path, SelectItem, TypeOf
from .filters import Operand
from .lexer import error_at
from .operands import ZONE, Grouping, Operands
from .scope import HINT_OBJECT, Resolved, Scope
from .show import formatter, labeller

ADDRESS_PARTS = ("City", "Country", "PostalCode", "State", "Street")


@dataclass(slots=True)
class Shape:
    """How columns of a row become one JSON record; parents are shapes inside.

    `variants` are the branches of a TYPEOF by object name, "" for its ELSE.
    """

    item: ObjectType | None  # None where the id tells (polymorphic) or for an aggregate
    id_column: int = -1
    columns: list[tuple[str, int, Decoder | None]] = field(default_factory=list)
    addresses: list[tuple[str, tuple[tuple[str, int], ...]]] = field(default_factory=list)
    blobs: list[tuple[str, int]] = field(default_factory=list)
    parents: dict[str, "Shape"] = field(default_factory=dict)
    variants: "dict[str, Shape] | None" = None
    order: list[str] = field(default_factory=list)

    @property
    def is_flat(self) -> bool:
        """Whether a record is nothing but its columns."""
        return not (self.parents or self.addresses or self.blobs)


@dataclass(frozen=True, slots=True)
class Column:
    """What `columns=true` tells about one selected column."""

    name: str
    field: Field | None
    parents: tuple[str, ...] = ()
    aggregate: bool = False


class SelectBuilder:
    """Collects selected columns and the shape of records."""

    def __init__(self, text: str, schema: Schema, scope: Scope) -> None:
        self._text = text
        self._schema = schema
        self._scope = scope
        self._seen: set[tuple[str, ...]] = set()
        self.columns: list[str] = []
        self.described: list[Column] = []
        self.shape = Shape(item=None)

    def records(self, selected: Sequence[SelectItem | TypeOf]) -> None:
        """Select fields of records; the id is always read."""
        self.shape.item = self._scope.root.item
        self.shape.id_column = self._column(f'{self._scope.root.alias}."Id"')
        for selection in selected:
            if isinstance(selection, TypeOf):
                self._type_of(selection)
                continue
            path = selection.expression
            shown = selection.formatted
            if isinstance(path, Call) and path.function == "TOLABEL" and path.path is not None:
                path, shown = path.path, True
            if not isinstance(path, Path) or (
                selection.alias is not None and not (shown or path.converted)
            ):
                token = selection.alias or "("
                raise error_at(self._text, path.at, f"unexpected token: '{token}'")
            self._field(selection, path)

    def _field(self, selection: SelectItem, path: Path) -> None:
        found = self._scope.resolve(path)
        names = tuple(name for name, _ in found.parents)
        name = selection.alias or found.field.name
        self._once((*names, name), path)
        shape = self._parent_shape(self.shape, found.parents)
        self.described.append(Column(name=name, field=found.field, parents=names))
        if selection.formatted:
            timed = found.field.type is FieldType.DATETIME
            sql = f"local_seconds({found.sql}, {ZONE})" if timed else found.sql
            shape.columns.append((name, self._column(sql), formatter(found.field)))
            shape.order.append(name)
        elif isinstance(selection.expression, Call):
            shape.columns.append((name, self._column(found.sql), labeller(found.field)))
            shape.order.append(name)
        elif selection.alias is not None:
            shape.columns.append((name, self._column(found.sql), decoder(found.field)))
            shape.order.append(name)
        else:
            self._value(shape, found)

    def _once(self, key: tuple[str, ...], path: Path) -> None:
        if key in self._seen:
            message = f"duplicate field selected: {path.text}"
            raise error_at(self._text, path.at, message, code="INVALID_FIELD")
        self._seen.add(key)

    def _value(self, shape: Shape, found: Resolved) -> None:
        item = found.field
        shape.order.append(item.name)
        if item.type is FieldType.ADDRESS:
            self._address(shape, item, found.table.alias, found.table.item)
        elif item.type is FieldType.BASE64:
            shape.blobs.append((item.name, self._column(f"{found.sql} IS NOT NULL")))
        else:
            shape.columns.append((item.name, self._column(found.sql), decoder(item)))

    def _parent_shape(self, shape: Shape, parents: tuple[tuple[str, str], ...]) -> Shape:
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

    # --- TYPEOF ---

    def _type_of(self, choice: TypeOf) -> None:
        reference = self._scope.reference_of(choice.relationship)
        name = reference.relationship or reference.name
        self._once((name,), choice.relationship)
        id_column = self._column(f'{self._scope.root.alias}."{reference.name}"')
        variants: dict[str, Shape] = {}
        for branch in choice.branches:
            target = self._schema.find(branch.object_name)
            if target is None or target.name not in reference.reference_to:
                message = f"sObject type '{branch.object_name}' is not supported. {HINT_OBJECT}"
                raise error_at(self._text, branch.at, message, code="INVALID_TYPE")
            if target.name in variants:
                message = f"duplicate WHEN in TYPEOF: {target.name}"
                raise error_at(self._text, branch.at, message)
            variants[target.name] = self._branch(branch, reference, target, id_column)
        if choice.otherwise is not None:
            variants[""] = self._branch(choice.otherwise, reference, None, id_column)
        self.shape.parents[name] = Shape(item=None, id_column=id_column, variants=variants)
        self.shape.order.append(name)
        self.described.append(Column(name=name, field=reference))

    def _branch(
        self, branch: Branch, reference: Field, target: ObjectType | None, id_column: int
    ) -> Shape:
        shape = Shape(item=target, id_column=id_column)
        seen = set()
        for path in branch.paths:
            if target is not None:
                found = self._scope.resolve_in(reference, target, path)
                parents = found.parents
            else:
                names = (reference.relationship or reference.name, *path.names)
                found = self._scope.resolve(Path(names=names, at=path.at))
                parents = found.parents[1:]
            key = (*(name for name, _ in parents), found.field.name)
            if key in seen:
                message = f"duplicate field selected: {path.text}"
                raise error_at(self._text, path.at, message, code="INVALID_FIELD")
            seen.add(key)
            self._value(self._parent_shape(shape, parents), found)
        return shape

    # --- aggregates ---

    def aggregate(
        self, selected: Sequence[SelectItem], operands: Operands, grouping: Grouping
    ) -> None:
        """Select aggregates and grouped fields into flat rows."""
        unnamed = 0
        for selection in selected:
            operand = operands.of(selection.expression, Grouping(keys=grouping.keys))
            if not operand.is_aggregate and operand.sql not in grouping.keys:
                name = operand.field.name
                message = f"Field must be grouped or aggregated: {name}"
                raise error_at(self._text, selection.expression.at, message)
            name = selection.alias or ""
            if not name and isinstance(selection.expression, Path):
                name = operand.field.name
            elif not name:
                name = f"expr{unnamed}"
                unnamed += 1
            if (name.lower(),) in self._seen:
                message = f"duplicate alias: {name}"
                raise error_at(self._text, selection.expression.at, message)
            self._seen.add((name.lower(),))
            index = self._column(operands.of(selection.expression, grouping).sql)
            self.shape.columns.append((name, index, _decoder_of(selection, operand)))
            self.shape.order.append(name)
            self.described.append(Column(name=name, field=operand.field, aggregate=True))

    def _column(self, sql: str) -> int:
        self.columns.append(sql)
        return len(self.columns) - 1


def _decoder_of(selection: SelectItem, operand: Operand) -> Decoder | None:
    if selection.formatted and not operand.is_float:
        return formatter(operand.field)
    if operand.field.type is FieldType.BOOLEAN:
        return _boolean_or_null
    return decoder(operand.field)


def _boolean_or_null(value: int | None) -> bool | None:
    """A sum over all values, and a checkbox of a missing parent, are null."""
    return None if value is None else value == 1
