"""Records and their children in one call, all or nothing (fact sheet D.5)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import ApiError, RowError
from ..records.save import Writer
from ..records.service import create
from ..schema.model import ObjectType
from .http import Answer, Request
from .rows import object_of

if TYPE_CHECKING:
    from ..org import Org

MOST_RECORDS = 200
MOST_LEVELS = 5
MOST_TYPES = 5


@dataclass(slots=True)
class _Node:
    """One record of the tree."""

    item: ObjectType
    reference_id: str
    values: dict[str, Any]
    parent: "_Node | None" = None
    parent_field: str = ""
    id: str | None = None
    errors: list[RowError] = field(default_factory=list)


class _RollBack(Exception):
    """Undoes the whole tree."""


def create_tree(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """POST /composite/tree/T."""
    item = object_of(org, found[0], request)
    levels = _levels(org, item, request.json_object())
    nodes = [node for level in levels for node in level]
    duplicates = _duplicates(nodes)
    if duplicates:
        return _refused(duplicates)
    try:
        with org.transaction(request.me.actor, request_id=request.request_id) as writer:
            for level in levels:
                _save_level(writer, level)
    except _RollBack:
        return _refused([node for node in nodes if node.errors])
    results = [{"referenceId": node.reference_id, "id": node.id} for node in nodes]
    return Answer(201, {"hasErrors": False, "results": results})


def _levels(org: "Org", item: ObjectType, body: dict[str, Any]) -> list[list[_Node]]:
    """Return the records level by level: roots, their children, and so on."""
    level = [_node(org, item, record) for record in _list(body)]
    levels: list[list[_Node]] = []
    pending = level
    while pending:
        levels.append(pending)
        if len(levels) > MOST_LEVELS:
            raise ApiError(400, "INVALID_INPUT", "The tree is deeper than 5 levels")
        following: list[_Node] = []
        for node in pending:
            following += _children(org, node)
        pending = following
    nodes = [node for one in levels for node in one]
    if len(nodes) > MOST_RECORDS:
        raise ApiError(400, "INVALID_INPUT", "The tree has more than 200 records")
    if len({node.item.name for node in nodes}) > MOST_TYPES:
        raise ApiError(400, "INVALID_INPUT", "The tree has more than 5 types of records")
    return levels


def _list(value: Any) -> list[Any]:
    records = value.get("records") if isinstance(value, dict) else None
    if not isinstance(records, list) or not records:
        raise ApiError(400, "INVALID_INPUT", "records must be a list of at least one record")
    return records


def _node(org: "Org", item: ObjectType, record: Any) -> _Node:
    attributes = record.get("attributes") if isinstance(record, dict) else None
    if not isinstance(attributes, dict) or not isinstance(attributes.get("referenceId"), str):
        message = "every record needs attributes with a type and a referenceId"
        raise ApiError(400, "INVALID_INPUT", message)
    named = org.schema.find(str(attributes.get("type", "")))
    if named is None or named.name != item.name:
        message = f"the type of a record must be {item.name}"
        raise ApiError(400, "INVALID_INPUT", message)
    return _Node(item=item, reference_id=attributes["referenceId"], values=dict(record))


def _children(org: "Org", node: _Node) -> list[_Node]:
    found = []
    for name in list(node.values):
        link = org.schema.child_link(node.item.name, name)
        if link is None or node.item.find(name) is not None:
            continue
        for record in _list(node.values.pop(name)):
            child = _node(org, link.child, record)
            child.parent, child.parent_field = node, link.field.name
            found.append(child)
    return found


def _duplicates(nodes: Sequence[_Node]) -> list[_Node]:
    names = [node.reference_id for node in nodes]
    doubled = [node for node in nodes if names.count(node.reference_id) > 1]
    for node in doubled:
        message = f"Duplicate ReferenceId provided in the request: {node.reference_id}"
        node.errors.append(RowError("INVALID_INPUT", message))
    return doubled


def _save_level(writer: Writer, level: Sequence[_Node]) -> None:
    by_type: dict[str, list[_Node]] = {}
    for node in level:
        if node.parent is not None:
            node.values[node.parent_field] = node.parent.id
        by_type.setdefault(node.item.name, []).append(node)
    for nodes in by_type.values():
        outcomes = create(writer, nodes[0].item, [node.values for node in nodes])
        for node, outcome in zip(nodes, outcomes, strict=True):
            node.id = outcome.id
            node.errors += outcome.errors
    if any(node.errors for node in level):
        raise _RollBack


def _refused(nodes: Sequence[_Node]) -> Answer:
    results = [
        {"referenceId": n.reference_id, "errors": [e.as_result() for e in n.errors]} for n in nodes
    ]
    return Answer(400, {"hasErrors": True, "results": results})
