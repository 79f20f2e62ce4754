"""Countries by their two-letter codes (ISO 3166), however people write them."""

from collections.abc import Mapping
from functools import cache

from babel import Locale

_LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pl")


def country_code(name: str | None) -> str | None:
    """Return the two-letter code of a country written in words or as a code, else the words."""
    if name is None:
        return None
    plain = name.strip()
    return _countries().get(plain.casefold(), plain)


@cache
def _countries() -> Mapping[str, str]:
    codes: dict[str, str] = {}
    for language in _LANGUAGES:
        for code, name in Locale(language).territories.items():
            if len(code) == 2 and code.isalpha():
                codes.setdefault(name.casefold(), code)
                codes.setdefault(code.casefold(), code)
    return codes
