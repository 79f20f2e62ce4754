"""The local org's speed: SOQL by id over four kept connections, and rows by collections.

Reference: the same HTTP server in another process, answering a prepared body of the same size to
the same calls; `ratio` is the org's seconds divided by the reference's. Targets (design 10): SOQL
by id at least 1,000 requests/s, collections at least 8,000 rows/s at 25 fields.
"""

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import orjson

CONNECTIONS = 4
FIELDS = 25
ROWS_PER_CALL = 200
DATA = "/services/data/v62.0"
KINDS = {"string": "text", "int": 7, "double": 7.5, "currency": 7.5, "boolean": True}
Call = tuple[str, str, bytes]  # method, path, body


def run(*, requests: int = 4_000, rows: int = 20_000) -> dict[str, Any]:
    """Measure and return the figures."""
    with _server("l2c_sandbox", "--json", "--exit-with-stdin") as first_line:
        facts = orjson.loads(first_line)
        base, headers = facts["base_url"], _log_in(facts)
        fields = _fields(base, headers)
        loads = _loads(fields, rows)
        write_s, write_size = _timed(base, headers, loads, connections=1)
        counted = _call(base, headers, "GET", f"{DATA}/query?q=SELECT+COUNT()+FROM+Account")
        assert counted["totalSize"] == rows, "the collections did not write every row"
        ids = _ids(base, headers)
        wanted = f"SELECT Id, Name, {', '.join(list(fields)[:8])} FROM Account WHERE Id = '%s'"
        reads = [
            ("GET", f"{DATA}/query?q={quote(wanted % ids[n % len(ids)])}", b"")
            for n in range(requests)
        ]
        read_s, read_size = _timed(base, headers, reads, connections=CONNECTIONS)
    with _server("l2c_bench.prepared", str(read_size)) as line:
        read_reference_s, _ = _timed(line.strip(), headers, reads, connections=CONNECTIONS)
    with _server("l2c_bench.prepared", str(write_size)) as line:
        write_reference_s, _ = _timed(line.strip(), headers, loads, connections=1)
    return {
        "bench": "sandbox",
        "seconds": round(read_s + write_s, 3),
        "reference": "the same server answering a prepared body of the same size",
        "reference_seconds": round(read_reference_s + write_reference_s, 3),
        "ratio": round((read_s + write_s) / (read_reference_s + write_reference_s), 2),
        "cpu_count": os.cpu_count() or 1,
        "soql_connections": CONNECTIONS,
        "soql_fields": 10,
        "soql_requests": requests,
        "soql_requests_per_second": round(requests / read_s),
        "soql_ratio": round(read_s / read_reference_s, 2),
        "collections_connections": 1,
        "collections_fields": FIELDS,
        "collections_rows": rows,
        "collections_rows_per_second": round(rows / write_s),
        "collections_ratio": round(write_s / write_reference_s, 2),
    }


@contextmanager
def _server(*command: str) -> Iterator[str]:
    """Start a module as a process of its own and yield the first line it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline()
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def _timed(
    base: str, headers: dict[str, str], calls: Sequence[Call], *, connections: int
) -> tuple[float, int]:
    """Make calls over so many kept connections; return seconds and the size of an answer."""
    sizes: list[int] = []

    def work(share: Sequence[Call]) -> None:
        connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=60)
        for method, path, body in share:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            sizes.append(len(answer.read()))
            assert answer.status == 200, answer.status
        connection.close()

    shares = [calls[n::connections] for n in range(connections)]
    threads = [threading.Thread(target=work, args=(share,)) for share in shares]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    assert len(sizes) == len(calls), f"{len(calls) - len(sizes)} calls failed"
    return seconds, sum(sizes) // len(sizes)


def _log_in(facts: dict[str, Any]) -> dict[str, str]:
    form = {"grant_type": "client_credentials"}
    form |= {name: facts[name] for name in ("client_id", "client_secret")}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = _call(facts["base_url"], headers, "POST", "/services/oauth2/token", urlencode(form))
    token = body["access_token"]
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def _fields(base: str, headers: dict[str, str]) -> dict[str, Any]:
    """Return the other 24 fields of the rows, with values."""
    described = _call(base, headers, "GET", f"{DATA}/sobjects/Account/describe")
    plain = [
        f
        for f in described["fields"]
        if f["type"] in KINDS and f["createable"] and not f["unique"] and "Name" not in f["name"]
    ]
    assert len(plain) >= FIELDS - 1
    return {f["name"]: KINDS[f["type"]] for f in plain[: FIELDS - 1]}


def _loads(fields: dict[str, Any], rows: int) -> list[Call]:
    path = f"{DATA}/composite/sobjects"
    loads = []
    for start in range(0, rows, ROWS_PER_CALL):
        records = [
            {"attributes": {"type": "Account"}, "Name": f"Account {n}", **fields}
            for n in range(start, min(rows, start + ROWS_PER_CALL))
        ]
        loads.append(("POST", path, orjson.dumps({"allOrNone": True, "records": records})))
    return loads


def _ids(base: str, headers: dict[str, str]) -> list[str]:
    page = _call(base, headers, "GET", f"{DATA}/query?q=SELECT+Id+FROM+Account+LIMIT+2000")
    assert page["records"], "the collections wrote nothing"
    return [record["Id"] for record in page["records"]]


def _call(base: str, headers: dict[str, str], method: str, path: str, body: str = "") -> Any:
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=60)
    connection.request(method, path, body or None, headers)
    answer = connection.getresponse().read()
    connection.close()
    return orjson.loads(answer)
