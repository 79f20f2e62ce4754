"""Turns the texts of a Bulk result into what REST would answer, so that one code applies both."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from typing import Any

from connector.adapters.salesforce.errors import OrgUnavailable


def read_columns(
    names: Sequence[str], lines: Iterable[Sequence[str]], types: Mapping[str, str]
) -> dict[str, list[Any]]:
    """Return the columns of some lines, typed as `types` says of a field; an empty cell is None.

    Raises:
        OrgUnavailable: A line is longer or shorter than the others.
    """
    width = len(names)

    def whole(line: Sequence[str]) -> Sequence[str]:
        if len(line) != width:
            raise OrgUnavailable(f"A bulk result has a line of {len(line)} cells, not {width}.")
        return line

    # One long list, not a list of lines: garbage collection goes through all that hold others.
    cells = list(chain.from_iterable(map(whole, lines)))
    return {
        name: _typed(cells[place::width], _CHANGES.get(types.get(name, "")))
        for place, name in enumerate(names)
    }


def _typed(cells: Sequence[str], change: Callable[[str], Any] | None) -> list[Any]:
    if change is None:
        return [cell or None for cell in cells]
    return [change(cell) if cell else None for cell in cells]


def _rest_instant(cell: str) -> str:
    return f"{cell[:-1]}+0000" if cell.endswith("Z") else cell


_CHANGES: Mapping[str, Callable[[str], Any]] = {
    "boolean": "true".__eq__,
    "datetime": _rest_instant,
    **dict.fromkeys(("currency", "double", "int", "long", "percent"), Decimal),
}
