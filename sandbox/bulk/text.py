"""CSV as Bulk API 2.0 reads and writes it (fact sheet E.2, E.3)."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from .job import Job

MAX_HEADER = 32_000
MAX_COLUMNS = 5_000
MAX_RECORD = 400_000


class BadUploadError(Exception):
    """An upload that fails as a whole; the text is the job's error message."""


class Upload:
    """The rows of an upload, read again from any row on.

    Raises:
        BadUploadError: It is no UTF-8, has no header, or ends its lines otherwise than declared.
    """

    def __init__(self, content: bytes, job: Job) -> None:
        try:
            self._text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            message = f"InvalidBatch : Failed to parse CSV: no UTF-8 at byte {error.start}"
            raise BadUploadError(message) from error
        self._separator = job.separator
        source = _Counted(self._text)
        try:
            self.header: list[str] = next((row for row in self._reader(source) if row), [])
        except csv.Error as error:
            raise BadUploadError(f"InvalidBatch : Failed to parse CSV header: {error}") from error
        self._body_at = source.read
        head = self.head
        if not self.header or len(head) > MAX_HEADER or len(self.header) > MAX_COLUMNS:
            raise BadUploadError("InvalidBatch : Failed to parse CSV header")
        ending = "\r\n" if head.endswith("\r\n") else head[-1:]
        if ending in {"\n", "\r", "\r\n"} and ending != job.newline:
            message = f"Current LineEnding setting is {job.line_ending}"
            raise BadUploadError(
                f"ClientInputError : LineEnding is invalid on user data. {message}"
            )

    @property
    def head(self) -> str:
        """The header as it was uploaded, up to the first row."""
        return self._text[: self._body_at]

    def check(self) -> int:
        """Read everything once and return the number of rows.

        Raises:
            BadUploadError: Naming the first row that cannot be read.
        """
        columns = len(self.header)
        has_quotes = '"' in self._text
        odd = False
        count = 0
        source = _Counted(self._text, at=self._body_at)
        rows = self._reader(source)
        began = self._body_at
        try:
            for row in rows:
                if not row:
                    continue
                count += 1
                if len(row) != columns:
                    few = "Not enough" if len(row) < columns else "Too many"
                    message = f"{few} columns in row {count}: {len(row)} instead of {columns}"
                    raise BadUploadError(f"InvalidBatch : {message}")
                if has_quotes and not odd:
                    odd = '"' in "".join(row)
                raw, began = source.read - began, source.read
                if raw > MAX_RECORD and sum(map(len, row)) > MAX_RECORD:
                    message = f"Row {count} has more than {MAX_RECORD} characters"
                    raise BadUploadError(f"InvalidBatch : {message}")
        except csv.Error as error:
            message = f"Failed to parse CSV at row {count + 1}: {error}"
            raise BadUploadError(f"InvalidBatch : {message}") from error
        if odd:
            self._check_quotes()
        return count

    def rows(self, start: int) -> Iterator[list[str]]:
        """Yield the rows from one on; empty lines are none."""
        lines = io.StringIO(self._text, newline="")
        lines.seek(self._body_at)
        return islice(filter(None, self._reader(lines)), start, None)

    def rest(self, start: int, waiting: Sequence[int]) -> str:
        """Return the header, single rows, and all rows from one on, as they were uploaded."""
        source = _Counted(self._text, at=self._body_at)
        rows = (row for row in self._reader(source) if row)
        single = set(waiting)
        parts = [self.head]
        for number in range(start):
            began = source.read
            if next(rows, None) is not None and number in single:
                parts.append(self._text[began : source.read])
        return "".join([*parts, self._text[source.read :]])

    def _reader(self, source: Iterable[str]) -> Iterator[list[str]]:
        return csv.reader(source, delimiter=self._separator, strict=True)

    def _check_quotes(self) -> None:
        """A quote may stand inside of quotes only; the reader of Python is more patient."""
        other = re.escape(self._separator)
        cell = re.compile(rf'(?:"(?:[^"]|"")*+"|[^"{other}\r\n]*+)(?:{other}|\r\n|\n|\r|\Z)')
        at = 0
        while at < len(self._text):
            found = cell.match(self._text, at)
            if found is None:
                line = self._text.count("\n", 0, at) + 1
                message = f"Failed to parse CSV: a quote in an unquoted value at line {line}"
                raise BadUploadError(f"InvalidBatch : {message}")
            at = found.end()


class _Counted:
    """The lines of a text, counting how far they were read."""

    def __init__(self, text: str, *, at: int = 0) -> None:
        self._lines = io.StringIO(text, newline="")
        self._lines.seek(at)
        self.read = at

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.read += len(line)
            yield line


def written(rows: Iterable[Sequence[str]], job: Job) -> list[str]:
    """Return rows as lines in which every value is quoted."""
    between, end = f'"{job.separator}"', f'"{job.newline}'
    lines = []
    for row in rows:
        line = between.join(row)
        if line.count('"') > 2 * (len(row) - 1):
            line = between.join(cell.replace('"', '""') for cell in row)
        lines.append(f'"{line}{end}')
    return lines
