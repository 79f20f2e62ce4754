"""Foreign billing systems: hand over what they are owed, then take in what they say.

Both directions are harmless to repeat. A command counts once by its key in the foreign outbox; a
fact is kept by its key there, and the cursor moves in the transaction that keeps it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from connector.billing.apply_facts import APPLIED_STREAMS, apply_facts
from connector.billing.command_queue import OwedCommand, note_delivered, owed_commands
from connector.billing.fact_store import Landing, ReadRow
from connector.billing.facts import Stream
from connector.errors import Misconfigured, TransientFailure
from connector.store.engine import Store, try_advisory_lock

log = structlog.get_logger(__name__)

COMMANDS_PER_CALL = 500
COMMANDS_PER_RUN = 100_000


class ForeignSystem(Protocol):
    """What a foreign billing system must offer to be read and told."""

    name: str
    mapping_digest: str

    def is_compared(self, stream: Stream) -> bool:
        """Tell whether a stream is read as a whole every time, in the order of its keys."""
        ...

    def read(self, stream: Stream, *, after: str | None) -> Iterator[Sequence[ReadRow]]:
        """Yield rows in chunks: those changed since a position, or all."""
        ...

    def deliver(self, commands: Sequence[OwedCommand]) -> None:
        """Hand commands over; one that is there already is left alone."""
        ...


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What a pull did with a stream: rows read, new or changed, gone, written, and not written."""

    stream: str
    read: int
    changed: int
    gone: int
    applied: int
    held: int


@dataclass(frozen=True, slots=True)
class PullReport:
    """What a pull of one system did."""

    system: str
    delivered: int
    streams: tuple[StreamReport, ...]
    warnings: tuple[str, ...]
    is_busy: bool = False
    error: str | None = None

    @property
    def changed(self) -> int:
        """How many facts were written into the hub."""
        return sum(one.applied for one in self.streams)


def pull_billing(
    *, store: Store, system: ForeignSystem, now: datetime, from_start: bool = False
) -> PullReport:
    """Deliver commands to a billing system and take in its facts.

    One pull of a system goes on at a time; a second one returns at once and says that it is busy.

    Raises:
        TransientFailure: The system is away; what was done until then stands.
        Misconfigured: Its database does not fit the mapping file.
    """
    with store.transaction() as guard:
        if not try_advisory_lock(guard, f"billing:{system.name}"):
            return PullReport(system.name, 0, (), (), is_busy=True)
        delivered = deliver_commands(store=store, system=system, now=now)
        warnings: list[str] = []
        reads = {
            stream: _read(store, system, stream, now, from_start, warnings) for stream in Stream
        }
        applied = {
            stream: apply_facts(store=store, system=system.name, stream=stream, now=now)
            for stream in APPLIED_STREAMS
        }
    streams = tuple(
        StreamReport(
            stream=str(stream),
            read=reads[stream][0],
            changed=reads[stream][1],
            gone=reads[stream][2],
            applied=applied[stream].applied if stream in applied else 0,
            held=applied[stream].held if stream in applied else 0,
        )
        for stream in Stream
    )
    report = PullReport(system.name, delivered, streams, tuple(warnings))
    log.info("billing.pulled", system=system.name, delivered=delivered, changed=report.changed)
    return report


def pull_each(
    *,
    store: Store,
    systems: Iterable[ForeignSystem],
    now: datetime,
    from_start: bool = False,
) -> list[PullReport]:
    """Pull one system after the other; one that is away or unfit does not stop the others."""
    reports = []
    for system in systems:
        try:
            report = pull_billing(store=store, system=system, now=now, from_start=from_start)
        except (TransientFailure, Misconfigured) as error:
            log.warning("billing.pull_failed", system=system.name, code=error.code)
            report = PullReport(system.name, 0, (), (), error=str(error))
        reports.append(report)
    return reports


def deliver_commands(*, store: Store, system: ForeignSystem, now: datetime) -> int:
    """Put every owed command into the outbox of a system, in the order of asking; return how many.

    The outbox is written before that is noted here: after a crash in between the same commands
    are offered again, and their keys stand there already.
    """
    delivered = 0
    while delivered < COMMANDS_PER_RUN:
        with store.read() as tx:
            commands = owed_commands(tx=tx, system=system.name, limit=COMMANDS_PER_CALL)
        if not commands:
            break
        system.deliver(commands)
        with store.transaction() as tx:
            note_delivered(tx=tx, commands=commands, now=now)
        delivered += len(commands)
    return delivered


def _read(
    store: Store,
    system: ForeignSystem,
    stream: Stream,
    now: datetime,
    from_start: bool,
    warnings: list[str],
) -> tuple[int, int, int]:
    landing = Landing(system.name, stream, system.mapping_digest)
    is_compared = system.is_compared(stream)
    after = None
    if not is_compared and not from_start:
        with store.read() as tx:
            after = landing.position(tx)
    read = changed = gone = 0
    last_key = ""
    for rows in system.read(stream, after=after):
        with store.transaction() as tx:
            changed += landing.store(tx, rows, now=now)
            if is_compared:
                up_to = rows[-1].fact.key
                gone += landing.note_gone(tx, after=last_key, up_to=up_to, now=now)
                last_key = up_to
        read += len(rows)
    with store.transaction() as tx:
        if is_compared and read == 0 and landing.knows_any(tx):
            # An empty view is far more often a broken one than the end of all business.
            warnings.append(f"{stream}: nothing was there at all; what is known stays as it is.")
        elif is_compared:
            gone += landing.note_gone(tx, after=last_key, up_to=None, now=now)
        landing.note_read(tx, position=None, rows=read, now=now)
    return read, changed, gone
