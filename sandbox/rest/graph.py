"""Several graphs of dependent calls, each all or nothing (fact sheet D.6)."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ApiError
from .composite import Part, Result, RollBack, halted, read_parts, run_parts
from .http import Answer, Request

if TYPE_CHECKING:
    from ..org import Org

MOST_GRAPHS = 75
MOST_NODES = 500
MOST_FAILURES = 14
METHODS = frozenset({"GET", "POST", "PATCH", "DELETE"})
ALLOWED = re.compile(r"/services/data/v(\d+)\.0/sobjects/[^/?]+(/[^/?]+){0,2}/?(\?.*)?\Z")
FIRST_VERSION = 50


def graphs(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """POST /composite/graph."""
    items = request.json_object().get("graphs")
    if not isinstance(items, list) or not items:
        message = "graphs must be a list of graphs at [line:1, column:1]"
        raise ApiError(400, "JSON_PARSER_ERROR", message)
    if len(items) > MOST_GRAPHS:
        message = f"The request can have no more than {MOST_GRAPHS} graphs"
        raise ApiError(400, "INVALID_INPUT", message)
    read = [_read(item) for item in items]
    if len({name for name, _ in read}) != len(read):
        raise ApiError(400, "INVALID_INPUT", "The graphId values must be unique")
    if sum(len(parts) for _, parts in read) > MOST_NODES:
        message = f"The request can have no more than {MOST_NODES} nodes"
        raise ApiError(400, "INVALID_INPUT", message)
    failures = 0
    answers: list[dict[str, Any]] = []
    for name, parts in read:
        results = _run(org, request, parts) if failures < MOST_FAILURES else halted(parts, [])
        successful = not any(result.failed for result in results)
        failures += not successful
        answers.append(
            {
                "graphId": name,
                "graphResponse": {"compositeResponse": [r.as_json() for r in results]},
                "isSuccessful": successful,
            }
        )
    return Answer(200, {"graphs": answers})


def _read(item: Any) -> tuple[str, list[Part]]:
    if not isinstance(item, dict) or not isinstance(item.get("graphId"), str):
        raise ApiError(400, "INVALID_INPUT", "every graph needs a graphId")
    parts = read_parts(item, most=MOST_NODES)
    for part in parts:
        match = ALLOWED.match(part.url)
        if match is None or int(match.group(1)) < FIRST_VERSION or part.method not in METHODS:
            message = f"The url is not allowed in a composite graph: {part.method} {part.url}"
            raise ApiError(400, "INVALID_INPUT", message)
    return item["graphId"], parts


def _run(org: "Org", request: Request, parts: Sequence[Part]) -> list[Result]:
    results: list[Result] = []
    try:
        with org.transaction(request.me.actor, request_id=request.request_id):
            results = run_parts(org, request, parts, all_or_none=True)
            if any(result.failed for result in results):
                raise RollBack
    except RollBack:
        return halted(parts, results)
    return results
