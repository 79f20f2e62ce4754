"""What semi-joins and anti-joins may not do (fact sheet C.3), and where links must be filtered."""

from ..errors import ApiError
from ..schema.model import ObjectType
from .ast import Comparison, Condition, Logic, Path, Query
from .lexer import error_at

MAX_JOINS = 2


def check_joins(text: str, query: Query) -> None:
    """Refuse subqueries of a WHERE clause that Salesforce does not run.

    Raises:
        ApiError: MALFORMED_QUERY, or EXCEEDED_MAX_SEMIJOIN_SUBSELECTS for more than two.
    """
    found: list[Comparison] = []
    _collect(text, query.where, found, under="")
    for join in found[MAX_JOINS:]:
        message = f"maximum number of semi join sub-selects is {MAX_JOINS}"
        at = join.left.at
        raise error_at(text, at, message, code="EXCEEDED_MAX_SEMIJOIN_SUBSELECTS")
    for join in found:
        _check_shape(text, query, join)


def _collect(
    text: str, condition: Condition | None, found: list[Comparison], *, under: str
) -> None:
    if isinstance(condition, Logic):
        word = condition.operator if condition.operator != "AND" else under
        for part in condition.parts:
            _collect(text, part, found, under=word)
    elif condition is not None and condition.subquery is not None:
        if under:
            message = f"Semi join sub-selects are not allowed with the '{under}' operator"
            raise error_at(text, condition.left.at, message)
        found.append(condition)


def _check_shape(text: str, outer: Query, join: Comparison) -> None:
    query = join.subquery
    assert query is not None
    at = query.source_at
    if not isinstance(join.left, Path):
        raise error_at(text, join.left.at, "semi joins compare one id field")
    if query.source.lower() == outer.source.lower():
        message = "The inner and outer selects should not be on the same object type"
        raise error_at(text, at, message)
    if query.order_by or query.limit is not None or query.offset or query.for_update:
        message = "semi join sub-selects cannot have ORDER BY, LIMIT, OFFSET or FOR UPDATE"
        raise error_at(text, at, message)
    if len(query.select) != 1 or query.children or query.group_by:
        raise error_at(text, at, "semi join sub-selects must select exactly one id field")
    if _has_join(query.where):
        raise error_at(text, at, "Nesting of semi join sub-selects is not supported")


def _has_join(condition: Condition | None) -> bool:
    if isinstance(condition, Logic):
        return any(_has_join(part) for part in condition.parts)
    return condition is not None and condition.subquery is not None


def check_link_filter(query: Query, item: ObjectType) -> None:
    """ContentDocumentLink cannot be read as a whole (fact sheet C.9).

    Raises:
        ApiError: MALFORMED_QUERY.
    """
    if item.name != "ContentDocumentLink" or _filters_link(query.where):
        return
    message = (
        "Implementation restriction: ContentDocumentLink requires a filter by a single Id on "
        "ContentDocumentId or LinkedEntityId using the equals operator or multiple Id's using "
        "the IN operator."
    )
    raise ApiError(400, "MALFORMED_QUERY", message)


def _filters_link(condition: Condition | None) -> bool:
    if isinstance(condition, Comparison):
        names = {"contentdocumentid", "linkedentityid"}
        path = condition.left
        is_key = isinstance(path, Path) and path.names[-1].lower() in names
        return is_key and condition.operator in {"=", "IN"}
    if condition is None or condition.operator != "AND":
        return False
    return any(_filters_link(part) for part in condition.parts)


def explicit_ids(condition: Condition | None) -> int | None:
    """Return how many ids a WHERE clause names at most; None where it names none."""
    if isinstance(condition, Comparison):
        path = condition.left
        is_id = isinstance(path, Path) and path.names[-1].lower() == "id" and len(path.names) == 1
        named = condition.operator in {"=", "IN"} and condition.subquery is None
        return len(condition.values) if is_id and named else None
    if condition is None or condition.operator != "AND":
        return None
    counts = [explicit_ids(part) for part in condition.parts]
    return min((c for c in counts if c is not None), default=None)
