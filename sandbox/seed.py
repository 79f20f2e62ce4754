"""Puts the first records into an empty org."""

import json
from pathlib import Path
from typing import Any

import yaml

from .errors import SetupError
from .records.save import Writer
from .records.service import create
from .shipped import read_shipped

BATCH = 200
MAX_SEED_BYTES = 64 * 1024 * 1024


def built_in_seed() -> dict[str, Any]:
    """Return the records every org begins with."""
    return read_shipped("seed.yaml")


def read_seed(path: Path) -> dict[str, Any]:
    """Return the records of a seed file: `{Object: [{field: value}, ...]}` in YAML or JSON.

    Raises:
        SetupError: The file cannot be read or has another form.
    """
    try:
        if path.stat().st_size > MAX_SEED_BYTES:
            raise SetupError(f"{path}: larger than {MAX_SEED_BYTES} bytes")
        text = path.read_text("utf-8")
        # YAML would read numbers and dates as Python values; JSON keeps to the API's types.
        data = json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=_Loader)  # noqa: S506
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        raise SetupError(f"{path}: not readable as a seed: {error}") from error
    if not isinstance(data, dict) or not all(isinstance(rows, list) for rows in data.values()):
        raise SetupError(f"{path}: a seed maps object names to lists of records")
    return data


class _Loader(yaml.SafeLoader):
    """Reads scalars as JSON would: numbers with a fraction and dates stay text."""


_Loader.yaml_implicit_resolvers = {
    key: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:float"}
    ]
    for key, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def plant(writer: Writer, seed: dict[str, Any], *, source: str) -> None:
    """Create the records of a seed; later objects may refer to earlier ones by key.

    Raises:
        SetupError: A record is refused; nothing of the seed remains.
    """
    for name, rows in seed.items():
        item = writer.tx.schema.find(name)
        if item is None:
            raise SetupError(f"{source}: there is no object {name}")
        for start in range(0, len(rows), BATCH):
            chunk = rows[start : start + BATCH]
            if not all(isinstance(row, dict) for row in chunk):
                raise SetupError(f"{source}: every record of {name} must map fields to values")
            for number, outcome in enumerate(create(writer, item, chunk, system=True)):
                if not outcome.success:
                    error = outcome.errors[0]
                    place = f"{source}: {name} number {start + number + 1}"
                    raise SetupError(f"{place}: {error.code}: {error.message}")
