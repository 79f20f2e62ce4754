"""Headers of change events as Avro binary (fact sheet H.3).

Most of a header is the same for all events of a commit; the schema in `avro` names the parts in
the order in which they are written here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from .avro import CHANGE_TYPES, ChangeShape
from .binary import number, text
from .bitmap import bitmaps

NO_FIELDS: frozenset[str] = frozenset()
_END = number(0)


@dataclass(frozen=True)
class Commit:
    """What the events of one commit have in common."""

    key: str
    number: int
    user_id: str
    at_ms: int
    origin: str

    @cached_property
    def _before_sequence(self) -> bytes:
        return text(self.origin) + text(self.key)

    @cached_property
    def _after_sequence(self) -> bytes:
        return number(self.at_ms) + number(self.number) + text(self.user_id)

    def header(
        self,
        shape: ChangeShape,
        *,
        kind: str,
        record_ids: Iterable[str],
        sequence: int,
        nulled: frozenset[str] = NO_FIELDS,
        changed: frozenset[str] = NO_FIELDS,
    ) -> bytes:
        """Return the header of one event; the fields are stored field names."""
        return b"".join(
            (
                text(shape.entity),
                _texts(record_ids),
                _KINDS[kind],
                self._before_sequence,
                number(sequence),
                self._after_sequence,
                _field_lists(shape, nulled, changed),
            )
        )


_KINDS = {kind: number(place) for place, kind in enumerate(CHANGE_TYPES)}


def _texts(values: Iterable[str]) -> bytes:
    written = [text(value) for value in values]
    return b"".join((number(len(written)), *written, _END)) if written else _END


@lru_cache(maxsize=4_096)
def _field_lists(shape: ChangeShape, nulled: frozenset[str], changed: frozenset[str]) -> bytes:
    """Return nulledFields, diffFields and changedFields."""
    return _texts(bitmaps(shape.slots, nulled)) + _END + _texts(bitmaps(shape.slots, changed))
