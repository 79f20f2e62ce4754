"""Which SQL expressions a feed may use: scalar, total, and from a short list.

The text is read by DuckDB's own parser, so what is checked is what runs.
"""

import json
from typing import Any

import duckdb

from connector.errors import InvalidInput

FUNCTIONS = frozenset(
    {
        "trim",
        "ltrim",
        "rtrim",
        "lower",
        "upper",
        "replace",
        "regexp_replace",
        "regexp_extract",
        "regexp_matches",
        "starts_with",
        "ends_with",
        "contains",
        "substring",
        "substr",
        "left",
        "right",
        "length",
        "lpad",
        "rpad",
        "split_part",
        "concat",
        "nullif",
        "abs",
        "greatest",
        "least",
        "||",
        "+",
        "-",
        "*",
        "%",
    }
)
_NODES = frozenset(
    {"COLUMN_REF", "CONSTANT", "FUNCTION", "CASE", "COMPARISON", "CONJUNCTION", "CAST", "OPERATOR"}
)
_OPERATORS = frozenset(
    {
        "OPERATOR_COALESCE",
        "OPERATOR_NULLIF",
        "OPERATOR_NOT",
        "OPERATOR_IS_NULL",
        "OPERATOR_IS_NOT_NULL",
        "COMPARE_IN",
        "COMPARE_NOT_IN",
    }
)
LENGTH_MAX = 1_000


class BadExpression(InvalidInput):
    """A feed's expression is not allowed."""

    code = "mediation.bad_expression"


def check_expression(expression: str, *, columns: frozenset[str]) -> None:
    """Accept a scalar expression over the columns that calls allowed functions only.

    Raises:
        BadExpression: It does not parse, or does more than that.
    """
    if len(expression) > LENGTH_MAX:
        raise BadExpression(f"The expression is longer than {LENGTH_MAX} characters.")
    for node in _nodes(_only_expression(expression)):
        _check_node(node, columns)


def _only_expression(expression: str) -> dict[str, Any]:
    # The parentheses keep a comma, an alias or a FROM from being read as part of the statement.
    with duckdb.connect() as parser:
        row = parser.execute(
            "SELECT json_serialize_sql(?::VARCHAR)", [f"SELECT ({expression}\n)"]
        ).fetchone()
    assert row is not None
    parsed = json.loads(row[0])
    if parsed["error"]:
        raise BadExpression(f"'{expression}' is not an expression: {parsed['error_message']}.")
    statements = parsed["statements"]
    node = statements[0]["node"]
    if len(statements) != 1 or len(node["select_list"]) != 1:
        raise BadExpression(f"'{expression}' is more than one expression.")
    if node["from_table"]["type"] != "EMPTY":
        raise BadExpression(f"'{expression}' reads a table.")
    only: dict[str, Any] = node["select_list"][0]
    return only


def _nodes(value: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if "class" in one and one["class"] != "TYPE":
                found.append(one)
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    return found


def _check_node(node: dict[str, Any], columns: frozenset[str]) -> None:
    kind = node["class"]
    if kind not in _NODES:
        raise BadExpression(
            f"{kind.lower().replace('_', ' ')} is not allowed here.",
            remedy="Use columns, constants, CASE, comparisons and the listed text functions.",
        )
    if kind == "COLUMN_REF" and (
        len(node["column_names"]) != 1 or node["column_names"][0] not in columns
    ):
        raise BadExpression(
            f"'{'.'.join(node['column_names'])}' is not a column of the feed.",
            remedy=f"Its columns are: {', '.join(sorted(columns))}.",
        )
    if kind == "FUNCTION" and node["function_name"] not in FUNCTIONS:
        raise BadExpression(
            f"The function '{node['function_name']}' is not allowed here.",
            remedy=f"Allowed: {', '.join(sorted(FUNCTIONS))}.",
        )
    if kind == "OPERATOR" and node["type"] not in _OPERATORS:
        raise BadExpression(f"The operator {node['type']} is not allowed here.")
    if kind == "CAST" and not node.get("try_cast"):
        raise BadExpression(
            "CAST stops at the first bad line.", remedy="Write TRY_CAST: a bad value becomes NULL."
        )
