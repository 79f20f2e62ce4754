"""Splits a query into tokens."""

import re
from dataclasses import dataclass

from ..errors import ApiError

MAX_QUERY = 100_000
_TOKEN = re.compile(
    r"""(?P<space>\s+)
  | (?P<datetime>\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:?\d{2}))
  | (?P<time>\d{2}:\d{2}:\d{2}(?:\.\d+)?[Zz](?![\w:]))
  | (?P<date>\d{4}-\d{2}-\d{2}(?![\w:]))
  | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
  | (?P<currency>[A-Za-z]{3}\d+(?:\.\d+)?(?![\w.]))
  | (?P<name>[A-Za-z_][\w]*(?:\.[A-Za-z_]\w*)*)
  | (?P<string>'(?:[^'\\]|\\.)*')
  | (?P<operator><=|>=|!=|<>|=|<|>|\(|\)|,|:|\.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_SIMPLE = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a query; `upper` is the text in upper case, for keywords."""

    kind: str
    text: str
    upper: str
    at: int


def error_at(query: str, at: int, message: str, *, code: str = "MALFORMED_QUERY") -> ApiError:
    """Return Salesforce's error with the line, the caret, the row and the column."""
    start = query.rfind("\n", 0, at) + 1
    end = query.find("\n", at)
    line = query[start : end if end >= 0 else len(query)]
    row = query.count("\n", 0, at) + 1
    column = at - start + 1
    text = f"\n{line}\n{' ' * (column - 1)}^\nERROR at Row:{row}:Column:{column}\n{message}"
    return ApiError(400, code, text)


def tokens_of(query: str) -> list[Token]:
    """Return the tokens of a query, an `end` token last.

    Raises:
        ApiError: MALFORMED_QUERY for text that is no SOQL, or too much of it.
    """
    if len(query) > MAX_QUERY:
        raise ApiError(
            400, "MALFORMED_QUERY", "SOQL statements cannot be longer than 100000 characters."
        )
    found = []
    at = 0
    while at < len(query):
        match = _TOKEN.match(query, at)
        if match is None:
            message = f"line 1:{at} no viable alternative at character '{query[at]}'"
            raise error_at(query, at, message)
        kind = match.lastgroup or ""
        if kind != "space":
            text = match.group()
            found.append(Token(kind=kind, text=text, upper=text.upper(), at=at))
        at = match.end()
    found.append(Token(kind="end", text="<EOF>", upper="", at=len(query)))
    return found


def string_value(token_text: str, *, for_like: bool = False) -> str | None:
    """Return the text of a string literal, or None where an escape is not allowed (C.4).

    With `for_like`, escaped wildcards stay escaped.
    """
    body = token_text[1:-1]
    if "\\" not in body:
        return body
    bad = False

    def replace(match: re.Match[str]) -> str:
        nonlocal bad
        sequence = match.group(1)
        if sequence in _SIMPLE:
            # Within LIKE the backslash is the escape of SQL too.
            return "\\\\" if for_like and sequence == "\\" else _SIMPLE[sequence]
        if for_like and sequence in {"%", "_"}:
            return "\\" + sequence
        if sequence[0] == "u" and len(sequence) == 5:
            char = chr(int(sequence[1:], 16))
            bad = bad or "\ud800" <= char <= "\udfff"
            return char
        bad = True
        return ""

    text = _ESCAPE.sub(replace, body)
    return None if bad else text
