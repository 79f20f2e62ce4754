"""The page about admin calls names every call and every kind of fault there is."""

import re
from pathlib import Path

from l2c_sandbox.admin import ROUTES
from l2c_sandbox.faults import KINDS, MEMBERS

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "rehearse-trouble.md"


def test_every_admin_call_is_told() -> None:
    told = set(re.findall(r"`((?:GET|POST|PUT|DELETE) [a-z/-]+)`", PAGE.read_text("utf-8")))

    assert told == {f"{method} {name}" for name, methods in ROUTES.items() for method in methods}


def test_every_fault_and_what_it_may_name_is_told() -> None:
    told = set(re.findall(r"`([a-z_]+)`", PAGE.read_text("utf-8")))

    assert set(KINDS) | (MEMBERS - {"kind"}) <= told
