"""What passes of the push did, in numbers and findings."""

from dataclasses import dataclass

DOES_NOT_FIT = "MAPPING_DOES_NOT_FIT"  # the code of a halt that the mapping check has found


@dataclass(frozen=True, slots=True)
class Halt:
    """An object the org cannot take as it is mapped; its rows wait in the queue."""

    entity: str
    object: str
    code: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class PushReport:
    """What one pass, or several, did.

    `interrupted` says why a pass ended early, `limit` which limit of the org's calls it met:
    `daily` or `concurrency`.
    """

    written: int = 0
    created: int = 0
    unchanged: int = 0
    waiting: int = 0
    retried: int = 0
    dead: int = 0
    removed: int = 0
    api_calls: int = 0
    halts: tuple[Halt, ...] = ()
    interrupted: str | None = None
    limit: str | None = None
    is_busy: bool = False

    def plus(self, later: "PushReport") -> "PushReport":
        """Return this pass and a later one together; `waiting` and `halts` are the later one's."""
        return PushReport(
            written=self.written + later.written,
            created=self.created + later.created,
            unchanged=self.unchanged + later.unchanged,
            waiting=later.waiting,
            retried=self.retried + later.retried,
            dead=self.dead + later.dead,
            removed=self.removed + later.removed,
            api_calls=self.api_calls + later.api_calls,
            halts=later.halts,
            interrupted=later.interrupted,
            limit=later.limit,
            is_busy=later.is_busy,
        )

    @property
    def has_moved(self) -> bool:
        """Return whether the queue is shorter than before."""
        return bool(self.written or self.unchanged or self.dead or self.removed)
