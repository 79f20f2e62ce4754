"""Record ids: 15 case-sensitive characters, or 18 with a checksum (fact sheet B.8)."""

import re
from functools import lru_cache

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CHECKSUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
POD = "Sb0"
COUNTER_LENGTH = 9
_WELL_FORMED = re.compile(r"[0-9A-Za-z]{15}(?:[A-Z0-5]{3})?\Z")


def checksum(id15: str) -> str:
    """Return the three characters that make an id safe for case-insensitive comparison."""
    return _of_group(id15[:5]) + _of_group(id15[5:10]) + _of_group(id15[10:15])


@lru_cache(maxsize=4_096)
def _of_group(five: str) -> str:
    bits = sum(1 << i for i, c in enumerate(five) if "A" <= c <= "Z")
    return CHECKSUM[bits]


def make_id(*, prefix: str, number: int) -> str:
    """Return the 18-character id of the n-th record of an object.

    The alphabet is in ASCII order, so ids sort as text in the order of their creation.
    """
    digits = []
    while number:
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    id15 = prefix + POD + "".join(reversed(digits)).rjust(COUNTER_LENGTH, "0")
    return id15 + checksum(id15)


def make_ids(*, prefix: str, first: int, count: int) -> list[str]:
    """Return the ids of consecutive records of an object, as `make_id` makes them."""
    size = len(ALPHABET)
    made: list[str] = []
    while count > 0:
        row, start = divmod(first, size)
        # Sixty-two neighbours differ in the last digit only.
        head = make_id(prefix=prefix, number=row * size)[:14]
        mark = _of_group(head[:5]) + _of_group(head[5:10])
        for char in ALPHABET[start : start + count]:
            made.append(f"{head}{char}{mark}{_of_group(head[10:] + char)}")
        done = min(count, size - start)
        first, count = first + done, count - done
    return made


def number_of(record_id: str) -> int:
    """Return the counter inside an id made by `make_id`; 0 for a foreign id."""
    if record_id[3:6] != POD:
        return 0
    number = 0
    for char in record_id[6:15]:
        number = number * len(ALPHABET) + ALPHABET.index(char)
    return number


@lru_cache(maxsize=65_536)
def normalize(text: str) -> str | None:
    """Return the 18-character form of an id, or None where the text is no id at all."""
    if not _WELL_FORMED.match(text):
        return None
    if len(text) == 15:
        return text + checksum(text)
    return text if checksum(text[:15]) == text[15:] else None
