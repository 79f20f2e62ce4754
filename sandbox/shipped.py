"""Reads the YAML files that ship with the org: its standard objects and first records."""

from importlib import resources
from typing import Any

import yaml

# A quarter of the start is spent here without libyaml, which not every build of PyYAML has.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_shipped(*path: str) -> dict[str, Any]:
    """Return a file of this package."""
    text = resources.files(__package__).joinpath(*path).read_text("utf-8")
    return dict(yaml.load(text, Loader=_LOADER))  # noqa: S506 - a safe loader, in C or in Python
