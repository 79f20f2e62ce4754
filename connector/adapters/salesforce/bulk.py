"""Bulk API 2.0: many rows for few counted calls (fact sheet E).

A job is created, filled by one upload, closed, and asked for until it has ended; its results come
as CSV. Everything sent here may be repeated: upserts by key, updates and deletes by Id. Rows are
told apart by a column whose values are unique within the job, since results have no order.
"""

import csv
import io
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from operator import itemgetter
from typing import Any, Literal

import requests

from connector.adapters.salesforce.answers import RowError, RowResult
from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.errors import OrgRefused, OrgUnavailable
from connector.adapters.salesforce.payload import instant_text
from connector.errors import ConnectorError

UPLOAD_BYTES_MAX = 100_000_000  # fact sheet E.2
ROWS_PER_PAGE = 50_000
PAGES_MAX = 20_000
NULL = "#N/A"
_TRUSTED_AHEAD = 3  # times as long as a job has been watched its pace is believed
Operation = Literal["upsert", "update", "delete"]

_ENDED = frozenset({"JobComplete", "Failed", "Aborted"})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a job is waited for, and with what pauses: each look is a counted call."""

    first_pause_s: float = 0.05  # a handful of rows is done by then; ten looks reach half a minute
    longest_pause_s: float = 15
    factor: float = 2
    limit_s: float = 3_600

    def after(self, pause_s: float, *, waited_s: float, share: float) -> float:
        """Return the pause before the next look, `share` of the job being done after `waited_s`.

        The job is looked at when it should be done by then, the less exactly the less is known of
        its pace; while it does not move, or nobody knows how large it is (0), pauses grow.
        """
        pause_s = min(pause_s * self.factor, self.longest_pause_s)
        if 0 < share < 1:
            left_s = min(waited_s * (1 - share) / share, waited_s * _TRUSTED_AHEAD)
            pause_s = min(max(left_s, self.first_pause_s), self.longest_pause_s)
        return pause_s


@dataclass(frozen=True, slots=True)
class ResultPage:
    """A part of a query's result: its lines, read once, and where the next part begins.

    Attributes:
        lines: Texts in the order of `names`, an empty one where a field has no value.
    """

    names: Sequence[str]
    lines: Iterator[list[str]]
    following: str | None

    @property
    def rows(self) -> Iterator[dict[str, str | None]]:
        """Yield each line by its names, an empty cell as None."""
        for line in self.lines:
            yield {name: cell or None for name, cell in zip(self.names, line, strict=True)}


@dataclass(frozen=True, slots=True)
class Bulk:
    """Bulk jobs of one org."""

    org: OrgClient
    patience: Patience = Patience()
    sleep: Callable[[float], None] = time.sleep

    def ingest(
        self,
        operation: Operation,
        object_name: str,
        rows: Iterable[Mapping[str, object]],
        *,
        key_field: str = "Id",
    ) -> dict[str, RowResult]:
        """Write rows and return what became of each, by the text of its key field.

        As many jobs as the upload limit asks for, one after the other. A row holds values as
        `OrgClient.write` takes them: None empties a field, an absent name leaves it as it is, a
        nested row names a parent by external id. A row the job did not come to is told as
        UNPROCESSED.

        Raises:
            OrgRefused: The job as a whole was refused, such as for an unknown field.
            OrgUnavailable: The job did not end in time; it goes on in the org.
        """
        results: dict[str, RowResult] = {}
        for upload in uploads(rows, key_field=key_field):
            job = self.open(operation, object_name, upload.content, key_field=key_field)
            results |= self.run(job, key_field=key_field, rows=upload.rows)
        return results

    def open(
        self, operation: Operation, object_name: str, content: bytes, *, key_field: str = "Id"
    ) -> str:
        """Create a job and give it its rows; nothing is written before `run`."""
        described: dict[str, Any] = {
            "object": object_name,
            "operation": operation,
            "contentType": "CSV",
            "lineEnding": "LF",
        }
        if operation == "upsert":
            described["externalIdFieldName"] = key_field
        # A job created twice by a repeated call stays empty and is dropped by the org.
        job: str = self.org.call("POST", "jobs/ingest", body=described)["id"]
        try:
            # A job takes one upload: repeated after a lost answer, it would be refused.
            self.org.transfer("PUT", f"{_path(job)}/batches", body=content, once=True).close()
        except ConnectorError:
            self.stop(job)
            raise
        return job

    def run(self, job: str, *, key_field: str = "Id", rows: int = 0) -> dict[str, RowResult]:
        """Let the org process an opened job; return what became of each row, by its key.

        Who says how many rows it has waits no longer than needed, for fewer calls.
        """
        path = _path(job)
        self._close(path)
        ended = self._wait(path, rows=rows)
        results = dict(self._succeeded(path, key_field))
        if ended.get("numberRecordsFailed", 0):
            results |= self._failed(path, key_field)
        if ended["state"] == "Aborted":
            results |= self._unprocessed(path, key_field)
        return results

    def stop(self, job: str) -> None:
        """Ask the org to write no more rows of a job; one that has ended is left alone."""
        with suppress(OrgRefused):  # ended, or forgotten by the org
            self.org.call("PATCH", _path(job), body={"state": "Aborted"})

    def has_ended(self, job: str) -> bool:
        """Return whether the org writes no more rows of a job."""
        try:
            state: str = self.org.call("GET", _path(job))["state"]
        except OrgRefused:
            return True  # forgotten by the org
        return state in _ENDED

    def query(
        self, soql: str, *, include_deleted: bool = False, rows_per_page: int = ROWS_PER_PAGE
    ) -> Iterator[dict[str, str | None]]:
        """Yield the rows of a query as texts, an empty cell as None.

        One counted call to begin, some to wait, one for each page.

        Raises:
            OrgRefused: The query was refused.
            OrgUnavailable: The job did not end in time.
        """
        job = self.open_query(soql, include_deleted=include_deleted)
        self.finish_query(job)
        locator: str | None = ""
        for _ in range(PAGES_MAX):
            assert locator is not None
            with self.result_page(job, locator=locator, rows_per_page=rows_per_page) as page:
                yield from page.rows
                locator = page.following
            if locator is None:
                return
        raise OrgUnavailable(f"The result of the query does not end after {PAGES_MAX} pages.")

    def open_query(self, soql: str, *, include_deleted: bool = False) -> str:
        """Begin a query; whoever knows its job may read the result for seven days."""
        job: str = self.org.call(
            "POST",
            "jobs/query",
            body={"operation": "queryAll" if include_deleted else "query", "query": soql},
        )["id"]
        return job

    def finish_query(self, job: str) -> None:
        """Wait until the result of a query can be read.

        Raises:
            OrgRefused: The query was refused, or the org has forgotten the job.
            OrgUnavailable: The job did not end in time.
        """
        self._wait(f"jobs/query/{job}")

    @contextmanager
    def result_page(
        self, job: str, *, locator: str = "", rows_per_page: int = ROWS_PER_PAGE
    ) -> Iterator[ResultPage]:
        """Read one page of a result, the first one or that of a locator, as a stream."""
        place = f"&locator={locator}" if locator else ""
        path = f"jobs/query/{job}/results?maxRecords={rows_per_page}{place}"
        with closing(self.org.transfer("GET", path)) as answer:
            following = answer.headers.get("Sforce-Locator", "null")
            lines = _lines(answer)
            names = next(lines, [])
            yield ResultPage(names, lines, None if following == "null" else following)

    def _close(self, path: str) -> None:
        try:
            self.org.call("PATCH", path, body={"state": "UploadComplete"})
        except OrgRefused as refused:
            if refused.error_code != "INVALIDJOBSTATE":
                raise  # else it is closed already: only the answer had been lost

    def _wait(self, path: str, *, rows: int = 0) -> dict[str, Any]:
        waited_s, pause_s = 0.0, self.patience.first_pause_s
        while waited_s < self.patience.limit_s:
            self.sleep(pause_s)
            waited_s += pause_s
            job: dict[str, Any] = self.org.call("GET", path)
            if job["state"] not in _ENDED:
                share = int(job.get("numberRecordsProcessed") or 0) / rows if rows else 0
                pause_s = self.patience.after(pause_s, waited_s=waited_s, share=share)
                continue
            if job["state"] == "Failed":
                raise _refusal(job.get("errorMessage") or "The org gave no reason.")
            return job
        raise OrgUnavailable(f"The bulk job did not end within {self.patience.limit_s:.0f} s.")

    def _succeeded(self, path: str, key_field: str) -> Iterator[tuple[str, RowResult]]:
        with closing(self.org.transfer("GET", f"{path}/successfulResults/")) as answer:
            lines = _lines(answer)
            header = next(lines, None)
            if header is None:
                return
            sfid, created = header.index("sf__Id"), header.index("sf__Created")
            key = sfid if key_field == "Id" else header.index(key_field)
            for line in lines:
                yield line[key], RowResult(True, line[sfid], created=line[created] == "true")

    def _failed(self, path: str, key_field: str) -> dict[str, RowResult]:
        return {
            row[key_field]: RowResult(False, row["sf__Id"] or None, errors=(_error(row),))
            for row in self._rows(f"{path}/failedResults/")
        }

    def _unprocessed(self, path: str, key_field: str) -> dict[str, RowResult]:
        left = RowError("UNPROCESSED", "The bulk job ended before this row.")
        return {
            row[key_field]: RowResult(False, errors=(left,))
            for row in self._rows(f"{path}/unprocessedrecords/")
        }

    def _rows(self, path: str) -> Iterator[dict[str, str]]:
        with closing(self.org.transfer("GET", path)) as answer:
            lines = _lines(answer)
            header = next(lines, [])
            for line in lines:
                yield dict(zip(header, line, strict=True))


@dataclass(frozen=True, slots=True)
class Upload:
    """The rows of one job as CSV."""

    content: bytes
    rows: int


def uploads(rows: Iterable[Mapping[str, object]], *, key_field: str) -> Iterator[Upload]:
    """Write rows as CSV texts below the upload limit; the header has every name of a text."""
    batch: list[dict[str, str]] = []
    size = 0
    for row in rows:
        cells = _cells(row)
        length = len("".join(cells.values()).encode()) + 3 * len(cells)
        if batch and size + length > UPLOAD_BYTES_MAX:
            yield _upload(batch, key_field)
            batch, size = [], 0
        batch.append(cells)
        size += length
    if batch:
        yield _upload(batch, key_field)


def _path(job: str) -> str:
    return f"jobs/ingest/{job}"


def _upload(rows: Sequence[Mapping[str, str]], first: str) -> Upload:
    names = tuple(dict.fromkeys((first, *chain.from_iterable(rows))))
    text = io.StringIO(newline="")
    out = csv.writer(text, lineterminator="\n")
    out.writerow(names)
    out.writerows(_lines_of(rows, names))
    return Upload(text.getvalue().encode(), len(rows))


def _lines_of(rows: Iterable[Mapping[str, str]], names: tuple[str, ...]) -> Iterator[Sequence[str]]:
    whole = itemgetter(*names) if len(names) > 1 else None
    for row in rows:
        if whole is not None and len(row) == len(names):  # new records have every field
            yield whole(row)
        else:
            # What a row does not have is an empty cell: it leaves the field as it is.
            yield [row.get(name, "") for name in names]


def _cells(row: Mapping[str, object]) -> dict[str, str]:
    cells: dict[str, Any] = dict(row)
    for name, value in row.items():
        if type(value) is str and value:  # nearly all of them are
            continue
        if value is None or type(value) is bool or not isinstance(value, Mapping):
            cells[name] = _cell(value)
        else:
            del cells[name]
            cells |= {f"{name}.{key}": _cell(inner) for key, inner in value.items()}
    return cells


def _cell(value: object) -> str:
    """Write one value: an empty cell would leave the field as it is, so null has its own word."""
    if value is None or value == "":
        return NULL
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def _lines(answer: requests.Response) -> Iterator[list[str]]:
    raw: Any = answer.raw
    raw.decode_content = True
    raw.auto_close = False  # else the last read closes it under the text reader
    try:
        yield from csv.reader(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
    except (requests.RequestException, OSError, csv.Error) as error:
        raise OrgUnavailable(f"A bulk result broke off ({type(error).__name__}).") from None


def _error(row: Mapping[str, str]) -> RowError:
    """Read `CODE:message:fields --` (fact sheet E.3); the message may hold colons."""
    code, _, rest = row["sf__Error"].partition(":")
    message, _, fields = rest.rpartition(":")
    named = fields.removesuffix("--").strip()
    return RowError(
        code=code or "UNKNOWN_EXCEPTION",
        message=message,
        fields=tuple(name for name in named.split(",") if name),
    )


def _refusal(message: str) -> OrgRefused:
    code, _, rest = message.partition(" : ")
    if not rest:
        code, rest = "INVALID_BATCH", message
    return OrgRefused(rest, error_code=_CODES.get(code, code), status=400)


# The words of a failed job (fact sheet E.6), as the codes of B.5 that the verdicts know.
_CODES = {"InvalidBatch": "INVALID_FIELD"}
