"""Reads outbound messages and the record-triggered flows that send them (fact sheet K.3, K.4)."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import SetupError
from ..ids import make_id
from .metadata import SUFFIX
from .model import ObjectType, Schema
from .xml import Node, metadata_files, read_xml

ACTION_PREFIX = "04k"
MAX_CHAIN = 50


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
    """A flow that runs after a record was saved."""

    name: str
    object: str
    on_create: bool
    on_update: bool
    logic: str
    conditions: tuple[Condition, ...]
    only_when_changed_to_meet: bool
    messages: tuple[OutboundMessage, ...]


@dataclass(frozen=True, slots=True)
class Automation:
    """Everything that reacts to saved records."""

    messages: tuple[OutboundMessage, ...] = ()
    flows: tuple[RecordFlow, ...] = ()

    def flows_of(self, object_name: str) -> tuple[RecordFlow, ...]:
        """Return the flows of one object."""
        return tuple(flow for flow in self.flows if flow.object == object_name)


def read_automation(folder: Path | None, schema: Schema) -> Automation:
    """Return the outbound messages and active flows of an SFDX source folder.

    Raises:
        SetupError: A flow or message names an object or field that does not exist.
    """
    if folder is None:
        return Automation()
    messages: dict[str, OutboundMessage] = {}
    for path in metadata_files(folder, f"workflows/*.workflow{SUFFIX}"):
        target = _object(schema, path.name.removesuffix(f".workflow{SUFFIX}"), path)
        for node in read_xml(path).all("outboundMessages"):
            message = _message(node, target, number=len(messages) + 1, path=path)
            messages[message.full_name] = message
    flows = []
    for path in metadata_files(folder, f"flows/*.flow{SUFFIX}"):
        flow = _flow(read_xml(path), schema, messages, path)
        if flow is not None:
            flows.append(flow)
    return Automation(messages=tuple(messages.values()), flows=tuple(flows))


def _object(schema: Schema, name: str, path: Path) -> ObjectType:
    found = schema.find(name)
    if found is None:
        raise SetupError(f"{path}: there is no object {name}")
    return found


def _message(node: Node, target: ObjectType, *, number: int, path: Path) -> OutboundMessage:
    name = node.text("fullName")
    endpoint = node.text("endpointUrl")
    if name is None or endpoint is None:
        raise SetupError(f"{path}: an outbound message without fullName or endpointUrl")
    fields = []
    for text in node.texts("fields"):
        found = target.find(text)
        if found is None:
            raise SetupError(f"{path}: outbound message {name} sends {text}, no field of it")
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


def _flow(
    root: Node, schema: Schema, messages: dict[str, OutboundMessage], path: Path
) -> RecordFlow | None:
    start = root.one("start")
    if start is None or root.text("status") != "Active":
        return None
    if start.text("triggerType") != "RecordAfterSave":
        return None
    target = _object(schema, start.text("object") or "", path)
    trigger = start.text("recordTriggerType") or ""
    sent = _messages_sent(root, start, messages, path)
    if not sent:
        return None
    return RecordFlow(
        name=path.name.removesuffix(f".flow{SUFFIX}"),
        object=target.name,
        on_create="Create" in trigger,
        on_update="Update" in trigger,
        logic=(start.text("filterLogic") or "and").lower(),
        conditions=tuple(_condition(node, target, path) for node in start.all("filters")),
        only_when_changed_to_meet=start.flag("doesRequireRecordChangedToMeetCriteria"),
        messages=sent,
    )


def _condition(node: Node, target: ObjectType, path: Path) -> Condition:
    name = node.text("field") or ""
    found = target.find(name)
    if found is None:
        raise SetupError(f"{path}: the flow filters on {name}, no field of {target.name}")
    value = node.one("value")
    leaf = value.leaf() if value is not None else None
    operator = node.text("operator") or "EqualTo"
    return Condition(field=found.name, operator=operator, value=leaf[1] if leaf else None)


def _messages_sent(
    root: Node, start: Node, messages: dict[str, OutboundMessage], path: Path
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
            name = node.text("actionName") or ""
            if name not in messages:
                raise SetupError(f"{path}: there is no outbound message {name}")
            sent.append(messages[name])
    return tuple(sent)
