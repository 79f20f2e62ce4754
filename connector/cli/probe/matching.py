"""Compares an answer with what a case expects, and says the first difference."""

import re
from collections.abc import Callable, Mapping
from typing import Any

Found = str | None  # the first difference, or None


def difference(expected: Any, actual: Any, *, at: str = "body") -> Found:
    """Return where an answer differs from what is expected, or None.

    An object needs the expected keys and may have more; a list needs all its elements. A text
    "~x" is a pattern found in the value, "*" is anything but null. `$len`, `$has` (an element),
    `$keys` and `$absent` ask about the container.
    """
    if isinstance(expected, Mapping):
        return _object(expected, actual, at)
    if isinstance(expected, list):
        return _list(expected, actual, at)
    if expected == "*":
        return None if actual is not None else f"{at}: is null"
    if isinstance(expected, str) and expected.startswith("~"):
        fits = re.search(expected[1:], str(actual), re.DOTALL) is not None
        return None if fits else f"{at}: {actual!r} does not fit {expected[1:]}"
    same = expected == actual and isinstance(expected, bool) == isinstance(actual, bool)
    return None if same else f"{at}: expected {expected!r}, got {actual!r}"


def _object(expected: Mapping[str, Any], actual: Any, at: str) -> Found:
    for key, value in expected.items():
        ask = ASKED.get(key)
        if ask is not None:
            found = ask(value, actual, at)
        elif not isinstance(actual, Mapping) or key not in actual:
            found = f"{at}: has no {key}: {actual!r:.200}"
        else:
            found = difference(value, actual[key], at=f"{at}.{key}")
        if found is not None:
            return found
    return None


def _list(expected: list[Any], actual: Any, at: str) -> Found:
    if not isinstance(actual, list) or len(actual) != len(expected):
        return f"{at}: expected {len(expected)} elements, got {actual!r:.300}"
    for index, value in enumerate(expected):
        found = difference(value, actual[index], at=f"{at}[{index}]")
        if found is not None:
            return found
    return None


def _length(expected: Any, actual: Any, at: str) -> Found:
    size = len(actual) if isinstance(actual, list | str | Mapping) else None
    return None if size == expected else f"{at}: has length {size}, not {expected}"


def _has(expected: Any, actual: Any, at: str) -> Found:
    elements = actual if isinstance(actual, list) else []
    fits = any(difference(expected, element) is None for element in elements)
    return None if fits else f"{at}: nothing in it fits {expected!r}"


def _keys(expected: Any, actual: Any, at: str) -> Found:
    missing = [key for key in expected if not isinstance(actual, Mapping) or key not in actual]
    return f"{at}: has no {', '.join(missing)}" if missing else None


def _absent(expected: Any, actual: Any, at: str) -> Found:
    there = [key for key in expected if isinstance(actual, Mapping) and key in actual]
    return f"{at}: has {', '.join(there)}" if there else None


ASKED: Mapping[str, Callable[[Any, Any, str], Found]] = {
    "$len": _length,
    "$has": _has,
    "$keys": _keys,
    "$absent": _absent,
}
