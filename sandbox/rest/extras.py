"""Resources beside records: recent items, actions, and search, which this org does not have."""

import re
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ApiError, not_found
from ..schema.model import ObjectType
from ..storage.tables import quoted
from .http import Answer, Request

if TYPE_CHECKING:
    from ..org import Org

MOST_RECENT = 200
SEARCH_TERM = re.compile(r"\s*FIND\s*\{.+\}", re.IGNORECASE | re.DOTALL)
NO_TERM = "No search term found. The search term must be enclosed in braces."
UPDATE_MRU = re.compile(r"updateMru\s*=\s*true", re.IGNORECASE)


def note_recent(org: "Org", request: Request, item: ObjectType, record_id: str) -> None:
    """Remember a record its user worked on, where the call asks for it (Sforce-Mru)."""
    if not UPDATE_MRU.search(request.headers.get("sforce-mru", "")):
        return
    mine = org.sessions.recent.setdefault(request.me.actor.user_id, deque(maxlen=MOST_RECENT))
    entry = (item.name, record_id)
    if entry in mine:
        mine.remove(entry)
    mine.appendleft(entry)


def recent(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /recent?limit=N."""
    text = request.query.get("limit", str(MOST_RECENT))
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= MOST_RECENT):
        message = f"limit must be a whole number from 1 to {MOST_RECENT}"
        raise ApiError(400, "INVALID_QUERY_STRING", message)
    return Answer(200, recent_items(org, request)[: int(text)])


def recent_items(
    org: "Org", request: Request, *, only: ObjectType | None = None
) -> list[dict[str, Any]]:
    """Return the records the user worked on last, those that still exist."""
    items = []
    with org.database.read() as connection:
        for name, record_id in list(org.sessions.recent.get(request.me.actor.user_id, ())):
            item = org.schema.get(name)
            if only is not None and item.name != only.name:
                continue
            title = item.name_field
            column = quoted(title.name) if title is not None else "NULL"
            sql = f'SELECT {column} FROM {quoted(name)} WHERE "Id" = ? AND "IsDeleted" = 0'
            row = connection.execute(sql, (record_id,)).fetchone()
            if row is None:
                continue
            url = f"{request.base}/sobjects/{name}/{record_id}"
            shown = {title.name: row[0]} if title is not None else {}
            items.append({"attributes": {"type": name, "url": url}, "Id": record_id} | shown)
    return items


def no_pages(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """Answer for layouts, list views and quick actions: describe names them, this org has none."""
    raise not_found()


def search(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /search?q=, which is refused: this org has no search index."""
    text = request.query.get("q")
    if text is None or not SEARCH_TERM.match(text):
        raise ApiError(400, "MALFORMED_SEARCH", NO_TERM)
    raise _no_search()


def parameterized_search(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET and POST /parameterizedSearch, refused likewise."""
    raise _no_search()


def _no_search() -> ApiError:
    message = "Search is not enabled for this organization; use a query."
    return ApiError(403, "FUNCTIONALITY_NOT_ENABLED", message)


def actions(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /actions."""
    root = f"{request.base}/actions"
    return Answer(200, {"custom": f"{root}/custom", "standard": f"{root}/standard"})


def action_list(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """GET /actions/standard and /actions/custom: none can be called over this org."""
    if found[0].lower() not in {"standard", "custom"}:
        raise not_found()
    return Answer(200, {"actions": []} if found[0].lower() == "standard" else {})


def action(org: "Org", request: Request, found: Sequence[str]) -> Answer:
    """Answer a call of one action, of which there is none."""
    raise ApiError(404, "NOT_FOUND", f"The requested action does not exist: {found[-1]}")
