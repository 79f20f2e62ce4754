"""Where the files are that travel with the program: in the checkout, or installed beside it."""

import importlib.util
from pathlib import Path

from connector.errors import Misconfigured

_CHECKOUT = Path(__file__).parent.parent


def mappings_dir() -> Path:
    """Return the folder of the mapping files that come with the program."""
    return _folder("mappings")


def salesforce_dir() -> Path:
    """Return the folder of the Salesforce metadata (SFDX source)."""
    return _folder("salesforce")


def _folder(name: str) -> Path:
    # A checkout is known by its build file: site-packages may hold anybody's folder `mappings`.
    if (_CHECKOUT / "setup.py").exists() and (_CHECKOUT / name).is_dir():
        return _CHECKOUT / name
    spec = importlib.util.find_spec(f"l2c_{name}")
    for location in (spec.submodule_search_locations if spec is not None else None) or ():
        if Path(location).is_dir():
            return Path(location)
    raise Misconfigured(
        f"The folder {name} that comes with the program is missing.",
        remedy="Install the package again.",
    )
