"""From method and path to handler."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from ..errors import ApiError, method_not_allowed, not_found
from .http import Answer, Request

if TYPE_CHECKING:
    from ..org import Org

Handler = Callable[["Org", Request, Sequence[str]], Answer]
ANY = "*"
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"})


@dataclass(frozen=True, slots=True)
class Route:
    """A resource: its path below the version, and a handler per method."""

    path: tuple[str, ...]
    handlers: Mapping[str, Handler]


def route(path: str, **handlers: Handler) -> Route:
    """Return a route; `*` stands for any segment and is handed to the handler."""
    return Route(path=tuple(path.split("/")), handlers=handlers)


class Router:
    """A routing table."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._by_shape: dict[tuple[int, str], list[Route]] = {}
        for item in routes:
            self._by_shape.setdefault((len(item.path), item.path[0]), []).append(item)

    def dispatch(self, org: "Org", request: Request, segments: Sequence[str]) -> Answer:
        """Call the handler of a resource.

        Raises:
            ApiError: 404 for an unknown resource, 405 for a method it does not know.
        """
        first = segments[0].lower() if segments else ""
        for item in self._by_shape.get((len(segments), first), ()):
            found = _match(item.path, segments)
            if found is not None:
                return self._call(org, request, item, found)
        raise not_found()

    def _call(self, org: "Org", request: Request, item: Route, found: Sequence[str]) -> Answer:
        method = "GET" if request.method == "HEAD" else request.method
        if request.method == "POST" and "_HttpMethod" in request.query:
            method = request.query["_HttpMethod"].upper()
        handler = item.handlers.get(method)
        if handler is None:
            raise method_not_allowed(method, tuple(item.handlers))
        return handler(org, request, found)


def _match(pattern: Sequence[str], segments: Sequence[str]) -> list[str] | None:
    found = []
    for expected, given in zip(pattern, segments, strict=True):
        if expected == ANY:
            found.append(given)
        elif expected != given and expected != given.lower():
            return None
    return found


def split_path(raw: str) -> list[str]:
    """Return decoded path segments, empty ones left out."""
    return [unquote(part) for part in raw.split("/") if part]


def split_query(raw: str) -> dict[str, str]:
    """Return query parameters; the first of several wins.

    Raises:
        ApiError: 400 for more parameters than anybody sends.
    """
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, max_num_fields=1_000)
    except ValueError as error:
        raise ApiError(400, "INVALID_QUERY_STRING", str(error)) from error
    query: dict[str, str] = {}
    for name, value in pairs:
        query.setdefault(name, value)
    return query
