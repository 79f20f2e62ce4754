"""Headers of change events as Avro binary (fact sheet H.3).

Most of a header is the same for all events of a commit; the schema in `avro` names the parts in
the order in which they are written here.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from .avro import CHANGE_TYPES, ChangeShape
from .binary import number, text
from .bitmap import bitmaps

NO_FIELDS: frozenset[str] = frozenset()
_END = number(0)


@dataclass(frozen=True, slots=True)
class Commit:
    """What the events of one commit have in common."""

    key: str
    number: int
    user_id: str
    at_ms: int
    origin: str
    _written: dict[str, tuple[bytes, bytes]] = field(default_factory=dict, repr=False)

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
        middle, after = self._around(kind)
        fields = _field_lists(shape, nulled, changed)
        ids = _texts(record_ids)
        return shape.name + ids + middle + number(sequence) + after + fields

    def _around(self, kind: str) -> tuple[bytes, bytes]:
        """Return what stands around the sequence number."""
        known = self._written.get(kind)
        if known is None:
            middle = _KINDS[kind] + text(self.origin) + text(self.key)
            after = number(self.at_ms) + number(self.number) + text(self.user_id)
            known = self._written[kind] = (middle, after)
        return known


_KINDS = {kind: number(place) for place, kind in enumerate(CHANGE_TYPES)}


def _texts(values: Iterable[str]) -> bytes:
    written = list(map(text, values))
    return number(len(written)) + b"".join(written) + _END if written else _END


@lru_cache(maxsize=4_096)
def _field_lists(shape: ChangeShape, nulled: frozenset[str], changed: frozenset[str]) -> bytes:
    """Return nulledFields, diffFields and changedFields."""
    return _texts(bitmaps(shape.slots, nulled)) + _END + _texts(bitmaps(shape.slots, changed))
