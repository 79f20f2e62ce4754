"""How commands print results for programs: one JSON object on stdout."""

from decimal import Decimal
from pathlib import Path

import click
import orjson


def emit(result: object) -> None:
    """Print dataclasses, tables and lists as one JSON object; money stays exact as text."""
    click.echo(orjson.dumps(result, default=_plain, option=orjson.OPT_NON_STR_KEYS))


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
