"""What a source folder has and the local org lacks: left out, and told on standard error.

A folder is written for Salesforce, not for the local org. What is broken stops the start; what
is only unknown here must not.
"""

import logging
from pathlib import Path

LOG = logging.getLogger("l2c_sandbox")


class NotHere(Exception):
    """The local org has nothing to make this from; the text says what is missing."""


def leave_out(what: str | Path, reason: object) -> None:
    """Tell that something of the source folder is left out, and why."""
    LOG.warning("left out: %s: %s", what, reason)
