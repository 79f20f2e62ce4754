"""Syntax trees to functions of a record."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from ..clock import from_epoch
from ..schema.model import Field, FieldType, ObjectType, Schema
from ..storage.tables import quoted
from ..storage.values import from_scaled, to_scaled
from .functions import PLAIN, equal, is_blank, truth
from .syntax import FormulaError, Literal, Name, Node

MAX_NESTING = 12
GLOBAL_OBJECTS = {"$user": "User", "$profile": "Profile", "$organization": "Organization"}
Row = Mapping[str, Any]


@dataclass(slots=True)
class Scene:
    """What a formula looks at: a record, what it was before, its parents, its user, the time."""

    connection: sqlite3.Connection
    row: Row
    now: datetime
    old: Row | None = None  # None outside of a save
    creating: bool = False
    user_id: str | None = None
    permissions: frozenset[str] = frozenset()
    blank_is_zero: bool = False
    depth: int = 0
    parents: dict[str, Row | None] = field(default_factory=dict)

    def parent(self, item: ObjectType, record_id: str) -> Row | None:
        """Return a stored record by id."""
        if record_id not in self.parents:
            names = [f.name for f in item.stored]
            columns = ", ".join(quoted(n) for n in names)
            sql = f'SELECT {columns} FROM {quoted(item.name)} WHERE "Id" = ?'
            row = self.connection.execute(sql, (record_id,)).fetchone()
            self.parents[record_id] = None if row is None else dict(zip(names, row, strict=True))
        return self.parents[record_id]


Formula = Callable[[Scene], Any]
FindFormula = Callable[[ObjectType, Field], "Formula | None"]


def read_value(item: Field, stored: Any) -> Any:
    """Return a stored value as formulas have it."""
    if item.type is FieldType.BOOLEAN:
        return stored == 1
    if stored is None:
        return None
    if item.is_decimal:
        return from_scaled(stored, scale=item.scale)
    if item.type is FieldType.INT:
        return Decimal(stored)
    if item.type is FieldType.DATETIME:
        return from_epoch(stored)
    return date.fromisoformat(stored) if item.type is FieldType.DATE else stored


def written_value(item: Field, value: Any) -> Any:
    """Return a result as the column of its field would store it; None where it does not fit."""
    if item.type is FieldType.BOOLEAN:
        return int(truth(value))
    if value is None or value == "":
        return None
    if item.is_decimal and isinstance(value, Decimal):
        scaled = to_scaled(value, scale=item.scale)
        return scaled if abs(scaled) < 2**63 else None
    if item.type is FieldType.DATETIME and isinstance(value, datetime):
        return int(value.timestamp())
    if item.type is FieldType.DATE and isinstance(value, date):
        day = value.astimezone(UTC).date() if isinstance(value, datetime) else value
        return day.isoformat()
    return value if item.is_text and isinstance(value, str) else None


class Compiler:
    """Compiles the formulas of one object."""

    def __init__(self, schema: Schema, item: ObjectType, find_formula: FindFormula) -> None:
        self._schema = schema
        self._item = item
        self._find_formula = find_formula

    def compile(self, node: Node) -> Formula:
        """Return the function that computes a formula.

        Raises:
            FormulaError: It names a field or function that is not known.
        """
        if isinstance(node, Literal):
            value = node.value
            return lambda _: value
        if isinstance(node, Name):
            return self._name(node)
        special = getattr(self, f"_call_{node.function}", None)
        if special is not None:
            return special(node.arguments)  # type: ignore[no-any-return]
        function = PLAIN.get(node.function)
        if function is None:
            raise FormulaError(f"the function {node.function.upper()} is not known")
        arguments = [self.compile(argument) for argument in node.arguments]
        return lambda scene: function(*[argument(scene) for argument in arguments])

    # --- names ---

    def _name(self, node: Name) -> Formula:
        first = node.parts[0].lower()
        if first == "$permission" and len(node.parts) == 2:
            wanted = node.parts[1].lower()
            return lambda scene: wanted in scene.permissions
        if first in GLOBAL_OBJECTS and len(node.parts) == 2:
            return self._global(GLOBAL_OBJECTS[first], node.parts[1])
        return self._path(self._item, node.parts)

    def _global(self, object_name: str, name: str) -> Formula:
        item = self._schema.get(object_name)
        read = self._path(item, (name,))
        sql = {
            "User": "SELECT ?1 WHERE ?1 IS NOT NULL",
            "Profile": 'SELECT "ProfileId" FROM "User" WHERE "Id" = ?1',
            "Organization": 'SELECT "Id" FROM "Organization" WHERE ?1 IS NOT NULL',
        }[object_name]

        def value(scene: Scene) -> Any:
            found = scene.connection.execute(sql, (scene.user_id,)).fetchone()
            row = scene.parent(item, found[0]) if found is not None else None
            return None if row is None else read(_moved(scene, row))

        return value

    def _path(self, item: ObjectType, parts: Sequence[str]) -> Formula:
        if len(parts) == 1:
            return self._field(item, parts[0])
        reference = item.by_relationship.get(parts[0].lower())
        if reference is None:
            if parts[0].lower() == item.name.lower():
                return self._path(item, parts[1:])
            raise FormulaError(f"{item.name} has no relationship {parts[0]}")
        reads = {}
        for target in map(self._schema.get, reference.reference_to):
            try:
                reads[target.prefix] = (target, self._path(target, parts[1:]))
            except FormulaError:
                if len(reference.reference_to) == 1:
                    raise
        if not reads:
            raise FormulaError(f"{'.'.join(parts)} leads nowhere")
        name = reference.name

        def value(scene: Scene) -> Any:
            record_id = scene.row.get(name)
            target = reads.get(record_id[:3]) if record_id else None
            row = scene.parent(target[0], record_id) if target is not None else None  # type: ignore[arg-type]
            return target[1](_moved(scene, row)) if target is not None and row is not None else None

        return value

    def _field(self, item: ObjectType, name: str) -> Formula:
        found = item.find(name)
        if found is None or not found.stored:
            raise FormulaError(f"{item.name} has no field {name}")
        if found.formula is not None:
            return self._nested(item, found)
        key, numeric = found.name, found.is_decimal or found.type is FieldType.INT

        def value(scene: Scene) -> Any:
            result = read_value(found, scene.row.get(key))
            return Decimal(0) if result is None and numeric and scene.blank_is_zero else result

        return value

    def _nested(self, item: ObjectType, found: Field) -> Formula:
        def value(scene: Scene) -> Any:
            formula = self._find_formula(item, found)
            if formula is None or scene.depth >= MAX_NESTING:
                return None
            inner = _moved(scene, scene.row)
            inner.blank_is_zero = found.blank_is_zero
            return formula(inner)

        return value

    # --- functions that do not compute all of their arguments ---

    def _all(self, arguments: Sequence[Node], least: int, most: int | None = None) -> list[Formula]:
        if len(arguments) < least or (most is not None and len(arguments) > most):
            raise FormulaError("a function has the wrong number of arguments")
        return [self.compile(argument) for argument in arguments]

    def _call_if(self, arguments: Sequence[Node]) -> Formula:
        condition, yes, no = self._all(arguments, 3, 3)
        return lambda scene: yes(scene) if truth(condition(scene)) else no(scene)

    def _call_and(self, arguments: Sequence[Node]) -> Formula:
        parts = self._all(arguments, 1)
        return lambda scene: all(truth(part(scene)) for part in parts)

    def _call_or(self, arguments: Sequence[Node]) -> Formula:
        parts = self._all(arguments, 1)
        return lambda scene: any(truth(part(scene)) for part in parts)

    def _call_case(self, arguments: Sequence[Node]) -> Formula:
        subject, *rest = self._all(arguments, 4)
        if len(rest) % 2 == 0:
            raise FormulaError("CASE needs a value for all other cases")
        pairs, other = list(zip(rest[:-1:2], rest[1:-1:2], strict=True)), rest[-1]

        def value(scene: Scene) -> Any:
            given = subject(scene)
            for wanted, result in pairs:
                if equal(given, wanted(scene)):
                    return result(scene)
            return other(scene)

        return value

    def _call_blankvalue(self, arguments: Sequence[Node]) -> Formula:
        given, other = self._all(arguments, 2, 2)

        def value(scene: Scene) -> Any:
            found = given(scene)
            return other(scene) if is_blank(found) else found

        return value

    _call_nullvalue = _call_blankvalue

    def _call_today(self, arguments: Sequence[Node]) -> Formula:
        self._all(arguments, 0, 0)
        return lambda scene: scene.now.date()

    def _call_now(self, arguments: Sequence[Node]) -> Formula:
        self._all(arguments, 0, 0)
        return lambda scene: scene.now.replace(microsecond=0)

    def _call_isnew(self, arguments: Sequence[Node]) -> Formula:
        self._all(arguments, 0, 0)
        return lambda scene: scene.creating

    def _call_isclone(self, arguments: Sequence[Node]) -> Formula:
        self._all(arguments, 0, 0)
        return lambda _: False

    def _call_ischanged(self, arguments: Sequence[Node]) -> Formula:
        name = self._own_field(arguments)
        return lambda scene: (
            scene.old is not None
            and not scene.creating
            and scene.old.get(name.name) != scene.row.get(name.name)
        )

    def _call_priorvalue(self, arguments: Sequence[Node]) -> Formula:
        name = self._own_field(arguments)

        def value(scene: Scene) -> Any:
            before = scene.row if scene.old is None or scene.creating else scene.old
            return read_value(name, before.get(name.name))

        return value

    def _own_field(self, arguments: Sequence[Node]) -> Field:
        if len(arguments) != 1 or not isinstance(arguments[0], Name):
            raise FormulaError("a field of the record is needed")
        found = self._item.find(arguments[0].parts[-1])
        if found is None or not found.stored or len(arguments[0].parts) > 1:
            raise FormulaError(f"{self._item.name} has no field {'.'.join(arguments[0].parts)}")
        return found


def _moved(scene: Scene, row: Row) -> Scene:
    """Look at another record in the same scene."""
    return Scene(
        connection=scene.connection,
        row=row,
        now=scene.now,
        user_id=scene.user_id,
        permissions=scene.permissions,
        blank_is_zero=scene.blank_is_zero,
        depth=scene.depth + 1,
        parents=scene.parents,
    )
