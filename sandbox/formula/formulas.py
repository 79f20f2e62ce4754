"""The formula fields and validation rules of an org."""

import logging
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import clock
from ..errors import SetupError
from ..schema.automation import Automation
from ..schema.left_out import leave_out
from ..schema.model import Field, ObjectType, Schema
from ..schema.xml import SUFFIX, metadata_files, read_xml
from .compiler import Compiler, Formula, Row, Scene, written_value
from .syntax import FormulaError, parse

if TYPE_CHECKING:
    from ..records.draft import Draft
    from ..records.transaction import Transaction

KIND = "validationRule"
LOG = logging.getLogger("l2c_sandbox")
NO_VALUE = (FormulaError, ArithmeticError, ValueError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class ValidationRule:
    """A condition under which a record is not saved."""

    name: str
    condition: Formula
    message: str
    field: str | None


class Formulas:
    """Computes formula fields when they are read; defaults and rules when records are saved.

    What cannot be understood is told once at start: such a field stays null, such a
    rule is off.
    """

    def __init__(self, schema: Schema, folder: Path | None) -> None:
        self._schema = schema
        self._fields: dict[tuple[str, str], tuple[ObjectType, Field, Formula]] = {}
        self._defaults: dict[str, list[tuple[Field, Formula]]] = {}
        self._conditions: dict[tuple[str, str], Formula] = {}
        self.notes: list[str] = []
        for item in schema:
            for field in item.fields:
                if field.formula is not None:
                    self._add(item, field, field.formula)
                if field.default_formula is not None:
                    self._add_default(item, field, field.default_formula)
        self._rules = self._read_rules(folder) if folder is not None else {}
        for note in self.notes:
            LOG.warning("%s", note)

    def _compile(self, item: ObjectType, text: str) -> Formula:
        return Compiler(self._schema, item, self._find).compile(parse(text))

    def _find(self, item: ObjectType, field: Field) -> Formula | None:
        known = self._fields.get((item.name, field.name))
        return None if known is None else known[2]

    def _add(self, item: ObjectType, field: Field, text: str) -> None:
        try:
            formula = self._compile(item, text)
        except FormulaError as error:
            self.notes.append(f"{item.name}.{field.name} stays null: {error}")
            return
        self._fields[item.name, field.name] = (item, field, formula)

    def _add_default(self, item: ObjectType, field: Field, text: str) -> None:
        try:
            formula = self._compile(item, text)
        except FormulaError as error:
            self.notes.append(f"{item.name}.{field.name} has no default: {error}")
            return
        self._defaults.setdefault(item.name, []).append((field, formula))

    def _read_rules(self, folder: Path) -> dict[str, list[ValidationRule]]:
        rules: dict[str, list[ValidationRule]] = {}
        for path in metadata_files(folder, f"objects/*/validationRules/*.{KIND}{SUFFIX}"):
            root = read_xml(path)
            name = path.name.removesuffix(f".{KIND}{SUFFIX}")
            item = self._schema.find(path.parent.parent.name)
            text, shown = root.text("errorConditionFormula"), root.text("errorDisplayField")
            if text is None:
                raise SetupError(f"{path}: a validation rule needs a formula")
            if item is None:
                leave_out(path.name, f"the local org has no {path.parent.parent.name}")
                continue
            if shown is not None and item.find(shown) is None:
                shown = None  # left out, or one of the layout alone
            if not root.flag("active"):
                continue
            try:
                condition = self._compile(item, text)
            except FormulaError as error:
                self.notes.append(f"{item.name}: the validation rule {name} is off: {error}")
                continue
            message = root.text("errorMessage") or name
            rules.setdefault(item.name, []).append(ValidationRule(name, condition, message, shown))
        return rules

    def read_conditions(self, automation: Automation) -> None:
        """Read the formulas that flows and workflow rules run by."""
        for flow in automation.flows:
            if flow.formula is None:
                continue
            item = self._schema.get(flow.object)
            try:
                self._conditions[item.name, flow.formula] = self._compile(item, flow.formula)
            except FormulaError as error:
                LOG.warning("%s never runs: %s", flow.name, error)

    def meets(self, tx: "Transaction", item: ObjectType, text: str, old: Row, new: Row) -> bool:
        """Return whether a condition holds for a saved record; one not understood never does."""
        condition = self._conditions.get((item.name, text))
        if condition is None:
            return False
        scene = Scene(
            connection=tx.connection,
            row=new,
            now=clock.now(),
            old=old,
            creating=not old,
            user_id=tx.actor.user_id,
            permissions=tx.actor.permissions,
        )
        return _holds(condition, scene)

    def stored_value(self, connection: sqlite3.Connection, key: str, record_id: str) -> Any:
        """Return the value of a formula field of a record as its column would store it."""
        object_name, _, field_name = key.partition(".")
        known = self._fields.get((object_name, field_name))
        if known is None or record_id is None:
            return None
        item, field, formula = known
        scene = Scene(connection=connection, row={}, now=clock.now())
        row = scene.parent(item, record_id)
        if row is None:
            return None
        scene.row, scene.blank_is_zero = row, field.blank_is_zero
        return _result(field, formula, scene)

    def fill_defaults(self, tx: "Transaction", item: ObjectType, drafts: Iterable["Draft"]) -> None:
        """Give new records the computed defaults of fields that nobody gave a value to."""
        defaults = self._defaults.get(item.name)
        if not defaults:
            return
        now = clock.now()
        for draft in drafts:
            if not draft.creating:
                continue
            scene = Scene(
                connection=tx.connection,
                row=draft.new,
                now=now,
                creating=True,
                user_id=tx.actor.user_id,
                permissions=tx.actor.permissions,
            )
            for field, formula in defaults:
                if field.name not in draft.values:
                    draft.new[field.name] = _result(field, formula, scene)

    def check(self, tx: "Transaction", item: ObjectType, drafts: Iterable["Draft"]) -> None:
        """Refuse the drafts that violate a rule of their object."""
        rules = self._rules.get(item.name)
        if not rules:
            return
        scene = Scene(
            connection=tx.connection,
            row={},
            now=clock.now(),
            user_id=tx.actor.user_id,
            permissions=tx.actor.permissions,
        )
        for draft in drafts:
            if draft.errors:
                continue
            scene.row, scene.old, scene.creating = draft.new, draft.old, draft.creating
            for rule in rules:
                if _holds(rule.condition, scene):
                    fields = () if rule.field is None else (rule.field,)
                    draft.refuse("FIELD_CUSTOM_VALIDATION_EXCEPTION", rule.message, *fields)


def _result(field: Field, formula: Formula, scene: Scene) -> Any:
    try:
        return written_value(field, formula(scene))
    except NO_VALUE:
        return written_value(field, None)


def _holds(condition: Formula, scene: Scene) -> bool:
    try:
        return condition(scene) is True
    except NO_VALUE:
        return False
