"""Copies a raw file once, line by line: hash, line numbers, encoding and quotes are settled here.

A spooled line is `line number SOH raw text SOH fields`; the fields, joined by US, are there only
for lines with quotes, which a plain split would cut wrongly.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from connector.errors import InvalidInput
from connector.mediation.feeds import FeedDefinition

SEPARATOR = "\x01"
FIELD_SEPARATOR = "\x1f"
BROKEN = "\x02"
NEVER = "\x03"  # stands nowhere in a spooled file
LINE_LENGTH_MAX = 64_000
_CONTROL = str.maketrans(dict.fromkeys((SEPARATOR, BROKEN, NEVER, FIELD_SEPARATOR, "\0"), "\ufffd"))
_BATCH = 10_000


class UnreadableUsageFile(InvalidInput):
    """A usage file cannot be read as its feed says."""

    code = "mediation.unreadable_file"
    remedy = "Compare the file's first line with the columns of the feed."


@dataclass(frozen=True, slots=True)
class Spooled:
    """A copied file and what its first line says."""

    path: Path
    sha256: str
    header: tuple[str, ...]
    lines: int  # lines with content, the header not counted


def spool_file(source: Path, target: Path, feed: FeedDefinition) -> Spooled:
    """Copy a usage file for parsing.

    Raises:
        UnreadableUsageFile: It is empty, or its first line lacks a column of the feed.
    """
    digest = sha256()
    header: tuple[str, ...] = ()
    lines = 0
    batch: list[str] = []
    with source.open("rb") as raw, target.open("w", encoding="utf-8", newline="\n") as out:
        for number, line in enumerate(raw, start=1):
            digest.update(line)
            text = _decoded(line)
            if not text.strip():
                continue
            if not header:
                header = _header(text.removeprefix("\ufeff"), source, feed)
                continue
            batch.append(spooled_line(number, text, feed))
            lines += 1
            if len(batch) == _BATCH:
                out.writelines(batch)
                batch.clear()
        out.writelines(batch)
    if not header:
        raise UnreadableUsageFile(f"The usage file {source.name} is empty.")
    return Spooled(path=target, sha256=digest.hexdigest(), header=header, lines=lines)


def spool_lines(lines: Iterable[tuple[int, str]], target: Path, feed: FeedDefinition) -> int:
    """Write lines kept from earlier files for parsing again; return how many."""
    count = 0
    with target.open("w", encoding="utf-8", newline="\n") as out:
        for number, text in lines:
            out.write(spooled_line(number, text, feed))
            count += 1
    return count


def spooled_line(number: int, text: str, feed: FeedDefinition) -> str:
    """Return one line in spooled form."""
    fields = ""
    if feed.quote in text:
        fields = _split(text, feed)
    return f"{number}{SEPARATOR}{text}{SEPARATOR}{fields}\n"


def _decoded(line: bytes) -> str:
    text = line.decode("utf-8", errors="replace").rstrip("\r\n")
    if len(text) > LINE_LENGTH_MAX:
        text = text[:LINE_LENGTH_MAX] + "\ufffd"
    if not text.isprintable():
        # A lone CR, a NUL and our own separators must not look like structure.
        text = text.translate(_CONTROL).replace("\r", "\ufffd")
    return text


def _split(text: str, feed: FeedDefinition) -> str:
    try:
        rows = list(csv.reader([text], delimiter=feed.delimiter, quotechar=feed.quote, strict=True))
    except csv.Error:
        return BROKEN
    return FIELD_SEPARATOR.join(rows[0])


def _header(text: str, source: Path, feed: FeedDefinition) -> tuple[str, ...]:
    names = next(csv.reader([text], delimiter=feed.delimiter, quotechar=feed.quote))
    header = tuple(name.strip() for name in names)
    missing = [column for column in feed.columns if column not in header]
    if missing:
        raise UnreadableUsageFile(
            f"The usage file {source.name} lacks the columns {', '.join(missing)} of the feed "
            f"'{feed.name}'."
        )
    if len(set(header)) != len(header):
        raise UnreadableUsageFile(f"The usage file {source.name} names a column twice.")
    return header
