"""Addresses in words: taken apart, and made comparable."""

import re
import unicodedata
from dataclasses import dataclass

from connector.errors import InvalidInput

# "55116 Mainz", "D-55116 Mainz", "1010 Wien"; and "Bristol BS1 4RW".
_POSTAL_FIRST = re.compile(r"^(?:[A-Z]{1,2}-)?(\d{4,6})\s+(.+)$")
_POSTAL_LAST = re.compile(r"^(.+?)\s+([A-Z]{1,2}\d[A-Z\d]?\s*\d[A-Z]{2})$", re.IGNORECASE)
_NOT_WORD = re.compile(r"[^0-9a-z]+")


class EmptyAddress(InvalidInput):
    """There is nothing in the address."""

    code = "parties.empty_address"
    remedy = "Write it as 'Name, Street 1, 12345 City, DE'."


@dataclass(frozen=True, slots=True)
class Address:
    """A place; parts that nobody gave are empty."""

    name: str
    street: str
    postal_code: str
    city: str
    country: str

    @property
    def key(self) -> str:
        """The address without spelling: equal for the same place however it is typed."""
        parts = (self.street, self.postal_code, self.city, self.country)
        return "|".join(_plain(part) for part in parts)


def parse_address(text: str) -> Address:
    """Take an address such as 'Practice Mainz, Rheinallee 12, 55116 Mainz, DE' apart.

    The part with the postal code tells which is which: the street is before it, the name before
    the street, the country behind it. Without a postal code the parts are read from the end.

    Raises:
        EmptyAddress: There is nothing to read.
    """
    parts = [" ".join(part.split()) for part in re.split(r"[,\n;]", text)]
    parts = [part for part in parts if part]
    if not any(character.isalnum() for part in parts for character in part):
        raise EmptyAddress(f"The address '{text}' is empty.")
    for position, part in enumerate(parts):
        place = _place(part)
        if place is not None:
            postal_code, city = place
            return _built(parts[:position], postal_code, city, " ".join(parts[position + 1 :]))
    country = parts.pop() if len(parts) > 1 and re.fullmatch(r"[A-Z]{2}", parts[-1]) else ""
    city = parts.pop() if len(parts) > 1 else ""
    return _built(parts, "", city, country)


def _built(before: list[str], postal_code: str, city: str, country: str) -> Address:
    street = before[-1] if before else ""
    name = ", ".join(before[:-1]) or ", ".join(part for part in (street, city) if part)
    return Address(name, street, postal_code, city, country)


def _place(part: str) -> tuple[str, str] | None:
    if first := _POSTAL_FIRST.match(part):
        return first.group(1), first.group(2)
    if last := _POSTAL_LAST.match(part):
        return last.group(2).upper(), last.group(1)
    return None


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text.casefold())  # ö is o and a sign; ß becomes ss
    return _NOT_WORD.sub("", folded.replace("strasse", "str"))
