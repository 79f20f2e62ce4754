"""Evaluates record-triggered flows and workflow rules; queues the notifications they send."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from ..ids import make_id
from ..records.convert import Refused, converter
from ..records.transaction import Row, Transaction
from ..schema.automation import Condition, RecordFlow
from ..schema.model import ObjectType, Schema

NOTIFICATION_PREFIX = "04l"
MS = 1_000

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "GreaterThan": lambda a, b: a > b,
    "GreaterThanOrEqualTo": lambda a, b: a >= b,
    "LessThan": lambda a, b: a < b,
    "LessThanOrEqualTo": lambda a, b: a <= b,
    "Contains": lambda a, b: str(b).lower() in str(a).lower(),
    "StartsWith": lambda a, b: str(a).lower().startswith(str(b).lower()),
    "EndsWith": lambda a, b: str(a).lower().endswith(str(b).lower()),
}


def fire_flows(tx: Transaction, item: ObjectType, changes: Sequence[tuple[Row, Row]]) -> None:
    """Queue a notification for every flow that runs on a saved record.

    Nothing is queued for a user without the permission to send outbound messages.
    """
    if not tx.actor.sends_outbound_messages:
        return
    for flow in tx.automation.flows_of(item.name):
        hits = [new["Id"] for old, new in changes if _runs(tx, flow, item, old, new)]
        for message in flow.messages if hits else ():
            _enqueue(tx, message.full_name, hits)


def _enqueue(tx: Transaction, message: str, record_ids: list[str]) -> None:
    sql = (
        "INSERT INTO sandbox_counter (object, next) VALUES ('notification', 1 + ?) "
        "ON CONFLICT (object) DO UPDATE SET next = next + ? RETURNING next"
    )
    count = len(record_ids)
    (following,) = tx.connection.execute(sql, (count, count)).fetchone()
    rows = [
        (
            make_id(prefix=NOTIFICATION_PREFIX, number=following - count + offset),
            message,
            record_id,
            tx.now_s,
            tx.now_s * MS,
        )
        for offset, record_id in enumerate(record_ids)
    ]
    tx.connection.executemany(
        "INSERT INTO sandbox_notification (id, message, record_id, created_s, next_attempt_ms) "
        "VALUES (?, ?, ?, ?, ?)",
        rows,
    )
    tx.messages.add(message)


def _runs(tx: Transaction, flow: RecordFlow, item: ObjectType, old: Row, new: Row) -> bool:
    creating = not old
    if not (flow.on_create if creating else flow.on_update):
        return False
    if not _meets(tx, flow, item, old, new):
        return False
    if flow.only_when_changed_to_meet and not creating:
        return not _meets(tx, flow, item, {}, old)
    return True


def _meets(tx: Transaction, flow: RecordFlow, item: ObjectType, old: Row, new: Row) -> bool:
    if flow.formula is not None and not tx.formulas.meets(tx, item, flow.formula, old, new):
        return False
    results = [_holds(c, old, new, tx.schema, item) for c in flow.conditions]
    if flow.logic in {"and", ""}:
        return all(results)
    if flow.logic == "or":
        return any(results) or not results
    return _LogicReader(flow.logic, results).read()


def _holds(condition: Condition, old: Row, new: Row, schema: Schema, item: ObjectType) -> bool:
    field = item.by_name[condition.field.lower()]
    value = new.get(field.name)
    if condition.operator == "IsNull":
        return (value is None) == (condition.value == "true")
    if condition.operator == "IsChanged":
        changed = bool(old) and old.get(field.name) != value
        return changed == (condition.value == "true")
    wanted: Any = None
    if condition.value not in {None, ""}:
        try:
            wanted = converter(field, schema)(condition.value)
        except Refused:
            wanted = condition.value
    if condition.operator == "EqualTo":
        return bool(_folded(value) == _folded(wanted))
    if condition.operator == "NotEqualTo":
        return bool(_folded(value) != _folded(wanted))
    compare = _COMPARE.get(condition.operator)
    if compare is None or value is None or wanted is None:
        return False
    return compare(value, wanted)


def _folded(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class _LogicReader:
    """Evaluates custom filter logic such as `1 and (2 or not 3)`."""

    def __init__(self, text: str, results: Sequence[bool]) -> None:
        self._tokens = re.findall(r"\d+|and|or|not|[()]", text)
        self._results = results
        self._at = 0

    def read(self) -> bool:
        """Return the value of the whole expression."""
        value = self._and()
        while self._next_is("or"):
            right = self._and()
            value = value or right
        return value

    def _and(self) -> bool:
        value = self._one()
        while self._next_is("and"):
            right = self._one()
            value = value and right
        return value

    def _one(self) -> bool:
        if self._next_is("not"):
            return not self._one()
        if self._next_is("("):
            value = self.read()
            self._next_is(")")
            return value
        if self._at >= len(self._tokens) or not self._tokens[self._at].isdigit():
            return False
        number = int(self._tokens[self._at])
        self._at += 1
        return 0 < number <= len(self._results) and self._results[number - 1]

    def _next_is(self, token: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == token:
            self._at += 1
            return True
        return False
