"""The local org's speed and memory: SOQL, collections, Bulk 2.0, a push, and its start.

Reference: the same HTTP server in another process, answering a prepared body of the same size to
the same calls (for the start: that server's start); each `ratio` is the org's seconds divided by
the reference's. Accounts are watched by Change Data Capture, as the shipped metadata selects them,
so each row is an event too; `bulk_unwatched` is an org without that selection. Targets (design 10):
SOQL by id at least 1,000 requests/s over 4 kept connections, collections at least 8,000 and Bulk
2.0 ingest at least 15,000 rows/s at 25 fields, a push of 10,000 rows below 20 s, 1,000,000 records
within 1.5 GiB, start below 1 s.
"""

import os
import statistics
import sysconfig
import tempfile
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any
from urllib.parse import quote

import orjson
from l2c_sandbox.__main__ import default_schema

from . import push, sandbox_bulk
from .local_org import DATA, FIELDS, ORG, PREPARED, Call, Org, local_org, server, timed, used_s

CONNECTIONS = 4
SOQL_FIELDS = 10
ROWS_PER_CALL = 200
_SCHEMA = default_schema() or Path()
_CHANNELS = ignore_patterns("platformEventChannelMembers")
L2C = (str(Path(sysconfig.get_path("scripts")) / "l2c"), "sandbox", *ORG[-2:])


def run(
    *,
    requests: int = 4_000,
    rows: int = 20_000,
    records: int = 50_000,
    push_rows: int = 10_000,
    starts: int = 5,
) -> dict[str, Any]:
    """Measure and return the figures; no records, starts or rows to push leave that part out."""
    calls = _calls(requests=requests, rows=rows)
    loads = _loads(records) if records else {}
    seconds = calls.pop("seconds") + loads.pop("seconds", 0)
    reference_seconds = calls.pop("reference_seconds") + loads.pop("reference_seconds", 0)
    return {
        "bench": "sandbox",
        "seconds": round(seconds, 3),
        "reference": "the same server answering a prepared body of the same size",
        "reference_seconds": round(reference_seconds, 3),
        "ratio": round(seconds / reference_seconds, 2),
        "cpu_count": os.cpu_count() or 1,
        **calls,
        **loads,
        **(_starts(starts) if starts else {}),
        **(_push(push_rows) if push_rows else {}),
    }


def _calls(*, requests: int, rows: int) -> dict[str, Any]:
    """Fill an org by collections, then ask it for records by id."""
    with local_org() as org:
        fields = org.fields()
        writes = _writes(fields, rows)
        cpu_s = [org.running.cpu_s()]
        write_s, write_size = timed(org.base, org.headers, writes, connections=1)
        cpu_s.append(org.running.cpu_s())
        assert org.count() == rows, "the collections did not write every row"
        reads = _reads(org, list(fields)[: SOQL_FIELDS - 2], requests)
        cpu_s.append(org.running.cpu_s())
        read_s, read_size = timed(org.base, org.headers, reads, connections=CONNECTIONS)
        cpu_s.append(org.running.cpu_s())
    with server(*PREPARED, str(read_size)) as prepared:
        base = prepared.first_line.strip()
        read_reference_s, _ = timed(base, org.headers, reads, connections=CONNECTIONS)
    with server(*PREPARED, str(write_size)) as prepared:
        base = prepared.first_line.strip()
        write_reference_s, _ = timed(base, org.headers, writes, connections=1)
    return {
        "seconds": read_s + write_s,
        "reference_seconds": read_reference_s + write_reference_s,
        "soql_connections": CONNECTIONS,
        "soql_fields": SOQL_FIELDS,
        "soql_requests": requests,
        "soql_requests_per_second": round(requests / read_s),
        "soql_cpu_seconds": used_s(cpu_s[2], cpu_s[3]),
        "soql_ratio": round(read_s / read_reference_s, 2),
        "collections_connections": 1,
        "collections_fields": FIELDS,
        "collections_rows": rows,
        "collections_rows_per_second": round(rows / write_s),
        "collections_cpu_seconds": used_s(cpu_s[0], cpu_s[1]),
        "collections_ratio": round(write_s / write_reference_s, 2),
    }


def _reads(org: Org, fields: list[str], requests: int) -> list[Call]:
    page = org.call("GET", f"{DATA}/query?q=SELECT+Id+FROM+Account+LIMIT+2000")
    ids = [record["Id"] for record in page["records"]]
    wanted = f"SELECT Id, Name, {', '.join(fields)} FROM Account WHERE Id = '%s'"
    paths = (f"{DATA}/query?q={quote(wanted % ids[n % len(ids)])}" for n in range(requests))
    return [("GET", path, b"") for path in paths]


def _writes(fields: dict[str, Any], rows: int) -> list[Call]:
    path = f"{DATA}/composite/sobjects"
    writes = []
    for start in range(0, rows, ROWS_PER_CALL):
        records = [
            {"attributes": {"type": "Account"}, "Name": f"Account {n}", **fields}
            for n in range(start, min(rows, start + ROWS_PER_CALL))
        ]
        writes.append(("POST", path, orjson.dumps({"allOrNone": True, "records": records})))
    return writes


def _loads(records: int) -> dict[str, Any]:
    """Fill an org in memory, one whose accounts nobody watches, and one in a file by Bulk 2.0."""
    memory = sandbox_bulk.load(records=records)
    with tempfile.TemporaryDirectory(prefix="l2c-bench-") as folder:
        unwatched = str(copytree(_SCHEMA, Path(folder) / "schema", ignore=_CHANNELS))
        quiet = sandbox_bulk.load("--schema", unwatched, records=records)
        file = sandbox_bulk.load("--data", str(Path(folder) / "org.db"), records=records)
    return {
        "seconds": memory["seconds"],
        "reference_seconds": memory["reference_seconds"],
        "bulk_connections": 1,
        "bulk_fields": FIELDS,
        "bulk_rows": records,
        "bulk_rows_per_second": round(records / memory["seconds"]),
        "bulk_ratio": round(memory["seconds"] / memory["reference_seconds"], 2),
        "bulk_cpu_seconds": memory["cpu_seconds"],
        "bulk_peak_mib": memory["peak_mib"],
        "bulk_unwatched_rows_per_second": round(records / quiet["seconds"]),
        "bulk_unwatched_cpu_seconds": quiet["cpu_seconds"],
        "bulk_unwatched_peak_mib": quiet["peak_mib"],
        "bulk_file_rows_per_second": round(records / file["seconds"]),
        "bulk_file_peak_mib": file["peak_mib"],
    }


def _starts(count: int) -> dict[str, Any]:
    """Start the org alone, through the command line, and the reference, so many times each."""
    org, command, reference = (_start_s(c, count) for c in (ORG, L2C, (*PREPARED, "1")))
    return {
        "starts": count,
        "start_seconds": round(org, 3),
        "start_ratio": round(org / reference, 2),
        "start_by_l2c_seconds": round(command, 3),
    }


def _start_s(command: tuple[str, ...], count: int) -> float:
    """Return the median of the seconds from the start of a process to its first line.

    The modules are compiled by one start before, as they are for all but the first of a user's.
    """
    seconds = []
    with tempfile.TemporaryDirectory(prefix="l2c-bench-") as compiled:
        for _ in range(count + 1):
            with server(*command, compiled=Path(compiled)) as running:
                seconds.append(running.start_s)
    return statistics.median(seconds[1:])


def _push(rows: int) -> dict[str, Any]:
    """Push new rows of the store into an org (benchmark `push`)."""
    pushed = push.run(rows=rows)
    return {
        "push_rows": rows,
        "push_seconds": pushed["seconds"],
        "push_ratio": pushed["ratio"],
        "push_api_calls": pushed["api_calls"],
    }
