"""Bulk 2.0 ingest against a local org: rows a second, and the memory that many records take."""

import csv
import http.client
import io
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import orjson

from .local_org import (
    DATA,
    PREPARED,
    TIMEOUT_S,
    Call,
    Headers,
    content_of,
    local_org,
    server,
    timed,
    used_s,
)

ROWS_PER_JOB = 50_000
POLL_S = 0.05
CSV = "text/csv"
JSON = "application/json"
JOB = {"operation": "insert", "object": "Account", "contentType": "CSV", "lineEnding": "LF"}


def load(*options: str, records: int) -> dict[str, Any]:
    """Create records in an org started with these options.

    Return `seconds` from creating the first job until the last is complete, the same calls'
    `reference_seconds` against a prepared body, and `cpu_seconds` and `peak_mib` of the org's
    process (None where the system does not tell them).
    """
    with local_org(*options) as org:
        uploads = list(_uploads(org.fields(), records))
        before_s = org.running.cpu_s()
        with _Line(org.base, org.headers) as line:
            began = time.perf_counter()
            for upload in uploads:
                line.run_job(upload)
            seconds = time.perf_counter() - began
        after_s = org.running.cpu_s()
        assert org.count() == records, "the jobs did not write every row"
        peak_mib = org.running.peak_mib()
    with server(*PREPARED, str(line.received // len(line.calls))) as prepared:
        base = prepared.first_line.strip()
        reference_seconds, _ = timed(base, org.headers, line.calls, connections=1)
    return {
        "seconds": seconds,
        "reference_seconds": reference_seconds,
        "cpu_seconds": used_s(before_s, after_s),
        "peak_mib": peak_mib,
    }


class _Line:
    """One kept connection; it remembers the calls, so that the reference can make the same."""

    def __init__(self, base: str, headers: Headers) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=TIMEOUT_S)
        self._headers = headers
        self.calls: list[Call] = []
        self.received = 0

    def __enter__(self) -> "_Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def run_job(self, upload: bytes) -> None:
        """Create a job, upload its rows, close it and wait until it is complete."""
        job = orjson.loads(self._call("POST", f"{DATA}/jobs/ingest", orjson.dumps(JOB)))
        path = f"{DATA}/jobs/ingest/{job['id']}"
        self._call("PUT", f"{path}/batches", upload, media=CSV)
        self._call("PATCH", path, orjson.dumps({"state": "UploadComplete"}))
        while job["state"] not in {"JobComplete", "Failed", "Aborted"}:
            time.sleep(POLL_S)
            job = orjson.loads(self._call("GET", path))
        outcome = (job["state"], job["numberRecordsFailed"])
        assert outcome == ("JobComplete", 0), job

    def _call(self, method: str, path: str, body: bytes = b"", *, media: str = JSON) -> bytes:
        call = (method, path, body)
        content = content_of(self._connection, {**self._headers, "Content-Type": media}, call)
        self.calls.append(call)
        self.received += len(content)
        return content


def _uploads(fields: dict[str, Any], records: int) -> Iterator[bytes]:
    for start in range(0, records, ROWS_PER_JOB):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["Name", *fields])
        values = [str(value).lower() for value in fields.values()]
        numbers = range(start, min(records, start + ROWS_PER_JOB))
        writer.writerows([f"Account {n}", *values] for n in numbers)
        yield text.getvalue().encode()
