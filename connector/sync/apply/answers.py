"""Answers asks on the CRM record itself: empties the asking field, tells why one is parked.

Best effort and repeatable: what fails is tried at the next pass, and until a field is emptied the
same words count as the same ask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import Row, text

from connector.adapters.salesforce.client import OrgClient
from connector.errors import ConnectorError
from connector.store.engine import Store
from connector.sync.inbox.arrivals import ID
from connector.sync.mapping.definition import IntentRule, Mapping, Mappings
from connector.sync.mapping.state_sql import conflict_words

log = structlog.get_logger(__name__)

ANSWERS_PER_PASS_MAX = 1_000
_TOLD_MAX = 1_000

_OPEN = text(
    f"""
    SELECT id, flow, object, sfid, facts, state, reason, remedy, cleared_at, told,
           (SELECT {conflict_words("r.in_conflict")} FROM crm_record r
             WHERE r.sfid = intent.sfid) AS conflict
      FROM intent
     WHERE (state = 'done' AND cleared_at IS NULL AND flow = ANY(:clearing))
        OR (state = 'done' AND told IS NOT NULL)
        OR (state IN ('parked', 'failed')
            AND told IS DISTINCT FROM left(concat_ws(' ', reason, remedy), :length))
     ORDER BY id LIMIT :limit
    """  # noqa: S608 - constants
)
_ANSWERED = text(
    """
    UPDATE intent SET cleared_at = CASE WHEN state = 'done' THEN now() ELSE cleared_at END,
           told = CASE WHEN state = 'done' THEN NULL
                       ELSE left(concat_ws(' ', reason, remedy), :length) END
     WHERE id = ANY(:ids)
    """
)


@dataclass(frozen=True, slots=True)
class _Answer:
    intent: Row[Any]
    mapping: Mapping
    rule: IntentRule

    @property
    def clears(self) -> bool:
        return self.intent.state == "done" and bool(self.rule.clear)

    def body(self, current: dict[str, Any] | None) -> dict[str, object]:
        """Return the fields to write; none when the record needs nothing."""
        fields: dict[str, object] = {}
        # A person may have asked for something else meanwhile: that must not be wiped away.
        if self.clears and current is not None and self._still_asks(current):
            fields |= dict.fromkeys(self.rule.clear)
        stamps = self.mapping.push.stamps if self.mapping.push else None
        if stamps is not None and self.intent.state != "done":
            told = " ".join(filter(None, (self.intent.reason, self.intent.remedy)))
            fields |= {stamps.status: "Error", stamps.error: told[:_TOLD_MAX]}
        elif stamps is not None and self.intent.told is not None:
            conflict = self.intent.conflict
            fields |= {stamps.status: "Conflict" if conflict else "In Sync", stamps.error: conflict}
        return fields

    def _still_asks(self, current: dict[str, Any]) -> bool:
        asked = self.intent.facts.get(self.rule.when.field)
        return bool(current.get(self.rule.when.field) == asked)


def answer_intents(*, store: Store, org: OrgClient, mappings: Mappings) -> int:
    """Write the answers that are owed; return how many asks are answered.

    Costs nothing when none is owed, else one call to look and one to write.
    """
    answers = _owed(store, mappings)
    if not answers:
        return 0
    try:
        answered = _write(org, answers)
    except ConnectorError as error:
        log.warning("intent.answer_later", count=len(answers), code=error.code)
        return 0
    with store.transaction() as tx:
        tx.execute(_ANSWERED, {"ids": answered, "length": _TOLD_MAX})
    return len(answered)


def _owed(store: Store, mappings: Mappings) -> list[_Answer]:
    rules = {
        (mapping.object, rule.flow): (mapping, rule)
        for mapping in mappings
        for rule in mapping.intents
    }
    clearing = sorted({rule.flow for _, rule in rules.values() if rule.clear})
    with store.read() as tx:
        found = tx.execute(
            _OPEN,
            {"clearing": clearing, "length": _TOLD_MAX, "limit": ANSWERS_PER_PASS_MAX},
        ).all()
    return [
        _Answer(row, *rules[row.object, row.flow])
        for row in found
        if (row.object, row.flow) in rules
    ]


def _write(org: OrgClient, answers: Sequence[_Answer]) -> list[int]:
    current = _current(org, [answer for answer in answers if answer.clears])
    by_object: dict[str, dict[str, dict[str, object]]] = {}
    for answer in answers:
        fields = answer.body(current.get(answer.intent.sfid))
        if fields:
            rows = by_object.setdefault(answer.intent.object, {})
            rows.setdefault(answer.intent.sfid, {ID: answer.intent.sfid}).update(fields)
    for object_name, rows in by_object.items():
        results = org.update_collections(object_name, list(rows.values()))
        for sfid, result in zip(rows, results, strict=True):
            if not result.success:
                codes = [error.code for error in result.errors]
                log.warning("intent.answer_refused", object=object_name, sfid=sfid, codes=codes)
    return [answer.intent.id for answer in answers]


def _current(org: OrgClient, answers: Sequence[_Answer]) -> dict[str, dict[str, Any]]:
    wanted: dict[str, dict[str, None]] = {}
    fields: dict[str, dict[str, None]] = {}
    for answer in answers:
        wanted.setdefault(answer.intent.object, {})[answer.intent.sfid] = None
        names = fields.setdefault(answer.intent.object, {ID: None})
        names[answer.rule.when.field] = None
    if not wanted:
        return {}
    found = org.retrieve_many(
        {name: list(sfids) for name, sfids in wanted.items()},
        fields={name: list(names) for name, names in fields.items()},
    )
    return {record[ID]: record for records in found.values() for record in records}
