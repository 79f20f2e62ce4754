"""Processor time that a measurement took, of its own processes and of the database's.

On a machine that others use, seconds that pass say how busy they were; these say less of it.
"""

import os
import time
from pathlib import Path

from sqlalchemy import text

from connector.store.engine import Store


def spent(store: Store) -> float:
    """Return the seconds so far of this process, of those it waited for, and of the database.

    The database's are known where it runs on this machine and the system tells (Linux does).
    """
    children = os.times()
    return time.process_time() + children.children_user + children.children_system + _server(store)


def _server(store: Store) -> float:
    with store.read() as tx:
        backend = int(tx.execute(text("SELECT pg_backend_pid()")).scalar_one())
    stats = _stats()
    if backend not in stats:
        return 0.0
    tree, seconds = [stats[backend][0]], 0.0
    while tree:
        process = tree.pop()
        seconds += stats.get(process, (0, 0.0))[1]
        tree += [child for child, (parent, _) in stats.items() if parent == process]
    return seconds


def _stats() -> dict[int, tuple[int, float]]:
    """Return of every process its parent and its seconds, ended children counted."""
    found: dict[int, tuple[int, float]] = {}
    if not Path("/proc/self/stat").exists():
        return found
    tick = os.sysconf("SC_CLK_TCK")
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text(encoding="ascii", errors="replace")
            except OSError:  # it ended meanwhile
                continue
            values = fields.rpartition(")")[2].split()
            found[int(folder.name)] = (int(values[1]), sum(map(int, values[11:15])) / tick)
    return found
