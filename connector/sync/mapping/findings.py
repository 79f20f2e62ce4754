"""What of the mapping files does not fit, kept so that every process and person knows it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, text

from connector.sync.mapping.definition import Mappings

Way = Literal["push", "pull"]

_FORGET = text("DELETE FROM mapping_finding WHERE entity = ANY (CAST(:entities AS text[]))")
_FORGET_UNMAPPED = text(
    "DELETE FROM mapping_finding WHERE entity <> ALL (CAST(:entities AS text[]))"
)
_KEEP = text("""
    INSERT INTO mapping_finding
           (entity, object, field, file, line, problem, remedy, halts, found_at)
    VALUES (:entity, :object, :field, :file, :line, :problem, :remedy, :halts, now())
""")
_READ = text("""
    SELECT entity, object, field, file, line, problem, remedy, halts FROM mapping_finding
     ORDER BY halts NULLS LAST, entity, id LIMIT 200
""")
_HALTED = text("SELECT DISTINCT entity FROM mapping_finding WHERE halts = :way")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a mapping file that this org, or this hub, cannot take.

    `halts` names the way on which the entity stands still until it is repaired; None: it goes on,
    and single records or values may be refused.
    """

    file: Path
    line: int
    entity: str
    object: str
    field: str
    problem: str
    remedy: str
    halts: Way | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.object}.{self.field}: {self.problem} {self.remedy}"


@dataclass(frozen=True, slots=True)
class KeptFinding:
    """A finding of the last look, as the store has it."""

    entity: str
    object: str
    field: str
    file: str
    line: int
    problem: str
    remedy: str
    halts: str | None

    def __str__(self) -> str:
        still = {"push": " Nothing of it is sent.", "pull": " Nothing of it is read."}
        return (
            f"{self.file}:{self.line}: {self.object}.{self.field}: {self.problem}"
            f"{still.get(self.halts or '', '')}\n  {self.remedy}"
        )


def keep_findings(
    tx: Connection, mappings: Mappings, *, looked_at: Iterable[str], found: Sequence[Finding]
) -> None:
    """Replace what is kept of the entities that were looked at; unmapped ones are forgotten."""
    tx.execute(_FORGET, {"entities": sorted(set(looked_at))})
    tx.execute(_FORGET_UNMAPPED, {"entities": [mapping.entity for mapping in mappings]})
    for one in found:
        tx.execute(
            _KEEP,
            {
                "entity": one.entity,
                "object": one.object,
                "field": one.field,
                "file": one.file.name,
                "line": one.line,
                "problem": one.problem,
                "remedy": one.remedy,
                "halts": one.halts,
            },
        )


def read_findings(tx: Connection) -> tuple[KeptFinding, ...]:
    """Return the findings of the last look, those that halt something first."""
    return tuple(KeptFinding(**row._mapping) for row in tx.execute(_READ))


def halted(tx: Connection, way: Way) -> frozenset[str]:
    """Return the entities that stand still on one way."""
    return frozenset(tx.execute(_HALTED, {"way": way}).scalars())
