"""Reads outbound messages, the flows and workflow rules that send them (fact sheet K.3, K.4)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import SetupError
from ..ids import make_id
from .left_out import NotHere, leave_out
from .model import ObjectType, Schema
from .xml import SUFFIX, Node, metadata_files, read_xml

ACTION_PREFIX = "04k"
MAX_CHAIN = 50
SENDING = "OutboundMessage"
RECORD = re.compile(r"\{!\$Record\.([\w.]+)\}")
PRIOR_RECORD = re.compile(r"\{!\$Record__Prior\.([\w.]+)\}")
# How rules compare, as flows say it, and whether the opposite is meant.
RULE_OPERATORS = {
    "contains": ("Contains", False),
    "equals": ("EqualTo", False),
    "greaterOrEqual": ("GreaterThanOrEqualTo", False),
    "greaterThan": ("GreaterThan", False),
    "lessOrEqual": ("LessThanOrEqualTo", False),
    "lessThan": ("LessThan", False),
    "notContain": ("Contains", True),
    "notEqual": ("EqualTo", True),
    "startsWith": ("StartsWith", False),
}


@dataclass(frozen=True, slots=True)
class OutboundMessage:
    """A message definition: which fields of which object go to which address."""

    name: str
    object: str
    endpoint_url: str
    fields: tuple[str, ...]
    api_version: str
    include_session: bool
    action_id: str

    @property
    def full_name(self) -> str:
        """The name flows use: `Opportunity.L2C_Opportunity_Won`."""
        return f"{self.object}.{self.name}"


@dataclass(frozen=True, slots=True)
class Condition:
    """One filter of a flow's start element; `value` is the metadata's text."""

    field: str
    operator: str
    value: str | None


@dataclass(frozen=True, slots=True)
class RecordFlow:
    """A flow, or a workflow rule, that runs after a record was saved."""

    name: str
    object: str
    on_create: bool
    on_update: bool
    logic: str
    conditions: tuple[Condition, ...]
    only_when_changed_to_meet: bool
    messages: tuple[OutboundMessage, ...]
    formula: str | None = None  # has to be true as well


@dataclass(frozen=True, slots=True)
class Automation:
    """Everything that reacts to saved records."""

    messages: tuple[OutboundMessage, ...] = ()
    flows: tuple[RecordFlow, ...] = ()

    def flows_of(self, object_name: str) -> tuple[RecordFlow, ...]:
        """Return the flows of one object."""
        return tuple(flow for flow in self.flows if flow.object == object_name)


def read_automation(folder: Path | None, schema: Schema) -> Automation:
    """Return the outbound messages, active rules and flows of an SFDX source folder.

    Those about objects or fields the org lacks are left out.

    Raises:
        SetupError: An outbound message has no name or no address.
    """
    if folder is None:
        return Automation()
    messages: dict[str, OutboundMessage] = {}
    flows: list[RecordFlow] = []
    for path in metadata_files(folder, f"workflows/*.workflow{SUFFIX}"):
        root = read_xml(path)
        nodes = tuple(root.all("outboundMessages"))
        target = schema.find(path.name.removesuffix(f".workflow{SUFFIX}"))
        if target is None:
            if nodes:
                leave_out(path.name, "the local org has no such object")
            continue
        for node in nodes:
            message = _message(node, target, number=len(messages) + 1, path=path)
            messages[message.full_name] = message
        flows += _rules(root, target, messages)
    for path in metadata_files(folder, f"flows/*.flow{SUFFIX}"):
        try:
            flow = _flow(read_xml(path), schema, messages, path)
        except NotHere as missing:
            leave_out(path.name, missing)
            continue
        if flow is not None:
            flows.append(flow)
    return Automation(messages=tuple(messages.values()), flows=tuple(flows))


def _message(node: Node, target: ObjectType, *, number: int, path: Path) -> OutboundMessage:
    name = node.text("fullName")
    endpoint = node.text("endpointUrl")
    if name is None or endpoint is None:
        raise SetupError(f"{path}: an outbound message without fullName or endpointUrl")
    fields = []
    for text in node.texts("fields"):
        found = target.find(text)
        if found is None:
            leave_out(f"{text} of outbound message {name}", f"no field of {target.name}")
        else:
            fields.append(found.name)
    # Id first, the others in ASCII order (fact sheet G.2).
    ordered = sorted(set(fields) - {"Id"})
    return OutboundMessage(
        name=name,
        object=target.name,
        endpoint_url=endpoint,
        fields=tuple(ordered),
        api_version=node.text("apiVersion") or "64.0",
        include_session=node.flag("includeSessionId"),
        action_id=make_id(prefix=ACTION_PREFIX, number=number),
    )


def _rules(
    root: Node, target: ObjectType, messages: dict[str, OutboundMessage]
) -> Iterator[RecordFlow]:
    """Yield the active workflow rules of an object that send messages."""
    for rule in root.all("rules"):
        name = f"{target.name}.{rule.text('fullName')}"
        names = [a.text("name") or "" for a in rule.all("actions") if a.text("type") == SENDING]
        if not names or not rule.flag("active"):
            continue
        try:
            sent = tuple(_sent(f"{target.name}.{sent}", messages) for sent in names)
            conditions, logic = _criteria(rule, target)
        except NotHere as missing:
            leave_out(f"workflow rule {name}", missing)
            continue
        trigger = rule.text("triggerType")
        yield RecordFlow(
            name=name,
            object=target.name,
            on_create=True,
            on_update=trigger != "onCreateOnly",
            logic=logic,
            conditions=conditions,
            only_when_changed_to_meet=trigger == "onCreateOrTriggeringUpdate",
            messages=sent,
            formula=rule.text("formula"),
        )


def _criteria(rule: Node, target: ObjectType) -> tuple[tuple[Condition, ...], str]:
    """Return the conditions of a rule, and how they hold together.

    A value with commas means any of its parts; then a condition becomes several.
    """
    conditions: list[Condition] = []
    groups = []
    for item in rule.all("criteriaItems"):
        field, operation = item.text("field") or "", item.text("operation") or ""
        found = target.find(field.removeprefix(f"{target.name}."))
        if found is None or operation not in RULE_OPERATORS:
            raise NotHere(f"{field} {operation} is no condition the local org knows")
        operator, is_negated = RULE_OPERATORS[operation]
        first = len(conditions) + 1
        for value in (item.text("value") or "").split(","):
            conditions.append(Condition(found.name, operator, value.strip() or None))
        joined = " or ".join(map(str, range(first, len(conditions) + 1)))
        groups.append(f"{'not ' if is_negated else ''}({joined})")
    text = (rule.text("booleanFilter") or "").lower()
    if not text:
        return tuple(conditions), " and ".join(groups) or "and"
    by_number = {str(number): group for number, group in enumerate(groups, start=1)}
    try:
        return tuple(conditions), re.sub(r"\d+", lambda number: by_number[number[0]], text)
    except KeyError:
        raise NotHere(f"there is no condition for each number of {text}") from None


def _flow(
    root: Node, schema: Schema, messages: dict[str, OutboundMessage], path: Path
) -> RecordFlow | None:
    start = root.one("start")
    if start is None or root.text("status") != "Active":
        return None
    if start.text("triggerType") != "RecordAfterSave":
        return None
    sent = _messages_sent(root, start, messages)
    if not sent:
        return None
    target = schema.find(start.text("object") or "")
    if target is None:
        raise NotHere(f"the local org has no {start.text('object')}")
    trigger = start.text("recordTriggerType") or ""
    return RecordFlow(
        name=path.name.removesuffix(f".flow{SUFFIX}"),
        object=target.name,
        on_create="Create" in trigger,
        on_update="Update" in trigger,
        logic=(start.text("filterLogic") or "and").lower(),
        conditions=tuple(_condition(node, target) for node in start.all("filters")),
        only_when_changed_to_meet=start.flag("doesRequireRecordChangedToMeetCriteria"),
        messages=sent,
        formula=_flow_formula(start.text("filterFormula")),
    )


def _flow_formula(text: str | None) -> str | None:
    """Return the formula of a flow with its record's fields named as elsewhere."""
    if text is None:
        return None
    return RECORD.sub(r"\1", PRIOR_RECORD.sub(r"PRIORVALUE(\1)", text))


def _condition(node: Node, target: ObjectType) -> Condition:
    name = node.text("field") or ""
    found = target.find(name)
    if found is None:
        raise NotHere(f"the flow filters on {name}, no field of {target.name}")
    value = node.one("value")
    leaf = value.leaf() if value is not None else None
    operator = node.text("operator") or "EqualTo"
    return Condition(field=found.name, operator=operator, value=leaf[1] if leaf else None)


def _messages_sent(
    root: Node, start: Node, messages: dict[str, OutboundMessage]
) -> tuple[OutboundMessage, ...]:
    """Follow the connectors from the start and collect the outbound messages on the way."""
    actions = {node.text("name"): node for node in root.all("actionCalls")}
    sent: list[OutboundMessage] = []
    node: Node | None = start
    for _ in range(MAX_CHAIN):
        connector = node.one("connector") if node is not None else None
        node = actions.get(connector.text("targetReference")) if connector else None
        if node is None:
            break
        if node.text("actionType") == "outboundMessage":
            sent.append(_sent(node.text("actionName") or "", messages))
    return tuple(sent)


def _sent(name: str, messages: dict[str, OutboundMessage]) -> OutboundMessage:
    if name not in messages:
        raise NotHere(f"there is no outbound message {name}")
    return messages[name]
