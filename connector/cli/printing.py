"""How commands print: JSON with exact amounts as text, and plain tables."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import click
import orjson


def print_json(value: object) -> None:
    """Print a value as one line of JSON; amounts and quantities are texts, exact to the digit."""
    click.echo(to_json_line(value))


def to_json_line(value: object) -> str:
    """Return a value as one line of JSON."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table in plain text, numbers to the right."""
    cells = [[_plain(cell) if isinstance(cell, Decimal) else str(cell) for cell in r] for r in rows]
    widths = [max(len(text) for text in column) for column in zip(head, *cells, strict=True)]
    to_right = [bool(rows) and isinstance(rows[0][i], Decimal | int) for i in range(len(head))]
    lines = []
    for row in (list(head), *cells):
        aligned = [
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, to_right, strict=True)
        ]
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)


def _plain(value: object) -> str:
    """Write a number without the zeros a database column adds, but with two places at least."""
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} does not go into JSON")
    trimmed = value.normalize()
    exponent = trimmed.as_tuple().exponent
    if isinstance(exponent, int) and exponent > -2:
        trimmed = trimmed.quantize(Decimal("0.01"))
    return f"{trimmed:f}"
