"""Field lists of change event headers, as bitmaps (fact sheet H.4).

An entry `0x…` numbers top-level fields from the lowest bit, `{parent}-0x…` those inside a compound.
"""

from collections.abc import Iterable

from .avro import Slot


def bitmaps(slots: Iterable[Slot], names: frozenset[str]) -> list[str]:
    """Return the bitmaps of stored field names; field 0 of the schema is the header."""
    if not names:
        return []
    top = 0
    nested: list[str] = []
    for index, slot in enumerate(slots, start=1):
        bits = sum(1 << i for i, (_, field) in enumerate(slot.parts) if field.name in names)
        if slot.nested and bits:
            nested.append(f"{index}-{_hex(bits)}")
        elif bits:
            top |= 1 << index
    return ([_hex(top)] if top else []) + nested


def _hex(bits: int) -> str:
    text = f"{bits:X}"
    return "0x" + text.zfill(len(text) + len(text) % 2)
