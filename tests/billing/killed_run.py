"""A bill run that kills itself at its n-th statement: `python killed_run.py URL DAY N`.

Statements, COPY and commits count. Nothing is caught, nothing cleaned up, as with any SIGKILL.
"""

import os
import signal
import sys
from datetime import UTC, date, datetime, time
from itertools import count

from sqlalchemy import event

from connector.billing import bill_run, queries, workforce
from connector.ledger import journal
from connector.store.engine import Store

CHUNK_ACCOUNTS = 3


def main(url: str, day: date, last: int) -> None:
    """Bill the day until the n-th statement is due; exit normally when there are fewer."""
    statements = count(1)

    def tick(*_arguments: object) -> None:
        if next(statements) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    store = Store(url)
    event.listen(store.engine, "before_cursor_execute", tick)
    event.listen(store.engine, "commit", tick)
    for module in (queries, journal):  # COPY goes past the engine's events
        plain = module.copy_rows

        def ticking(*arguments, plain=plain):
            tick()
            return plain(*arguments)

        module.copy_rows = ticking
    workforce.THREADS = 1  # so that a number means the same statement every time
    now = datetime.combine(day, time(9), tzinfo=UTC)
    bill_run.run_cycle(
        store=store, billed_to=day, now=now, chunk_accounts=CHUNK_ACCOUNTS, processes=1
    )
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], date.fromisoformat(sys.argv[2]), int(sys.argv[3]))
