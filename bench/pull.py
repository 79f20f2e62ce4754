"""A first load by Bulk snapshot, against the same client downloading the same result.

Reference: the client that runs the same Bulk query and drops every row. `ratio` is the seconds of
the whole way in (download, search for what is known, rows of the hub, what is known of them)
divided by that client's; target (design 10): at most 2. `load_ratio` is the part until every row is
entered or durable in the inbox; what follows is the inbox.
"""

import os
import resource
import time
from collections import deque
from datetime import timedelta
from typing import Any

from connector.adapters.salesforce.bulk import Bulk
from connector.adapters.salesforce.client import OrgClient
from connector.kernel.clock import SystemClock
from connector.store.engine import Store
from connector.sync.apply.run import apply_pending
from connector.sync.capture.full_load import load_fully, load_query
from connector.sync.mapping.definition import Mappings
from connector.sync.mapping.loading import load_mappings

from .push import NOW, bench_store, org_client

OBJECT = "Account"
ROWS_PER_JOB = 50_000


def run(*, rows: int = 5_000) -> dict[str, Any]:
    """Measure and return the figures."""
    with bench_store() as store, org_client() as org:
        return measured(store=store, org=org, rows=rows)


def measured(*, store: Store, org: OrgClient, rows: int) -> dict[str, Any]:
    """Measure in an empty store and an org without accounts."""
    mappings = load_mappings()
    _fill(store, org, rows)
    began = time.perf_counter()
    query = load_query(mappings, OBJECT)
    deque(Bulk(org).query(query, include_deleted=True), maxlen=0)
    reference_seconds = time.perf_counter() - began
    began = time.perf_counter()
    loaded = load_fully(
        store=store,
        org=org,
        mappings=mappings,
        objects=[OBJECT],
        now_org=SystemClock().now() + timedelta(minutes=5),
    )
    load_seconds = time.perf_counter() - began
    changed = _apply(store, org, mappings)
    seconds = time.perf_counter() - began
    assert loaded.entered[OBJECT] + changed == rows, (loaded, changed)
    return {
        "bench": "pull",
        "seconds": round(seconds, 3),
        "reference": "the same client running the same Bulk query and dropping the rows",
        "reference_seconds": round(reference_seconds, 3),
        "ratio": round(seconds / reference_seconds, 3),
        "rows": rows,
        "rows_per_second": round(rows / seconds),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "cpu_count": os.cpu_count() or 1,
        "load_seconds": round(load_seconds, 3),
        "load_ratio": round(load_seconds / reference_seconds, 3),
        "api_calls": loaded.calls,
    }


def _fill(store: Store, org: OrgClient, rows: int) -> None:
    with store.transaction() as tx:
        tx.exec_driver_sql(
            "INSERT INTO brand (key, name, legal_name, invoice_prefix) "
            "VALUES ('default', 'House', 'House', 'INV')"
        )
    header = "Name,BillingStreet,BillingCity,Phone"
    job = {"object": OBJECT, "operation": "insert", "contentType": "CSV", "lineEnding": "LF"}
    for start in range(0, rows, ROWS_PER_JOB):
        numbers = range(start, min(rows, start + ROWS_PER_JOB))
        lines = [header, *(f"Customer {n},Main Street {n},Ulm,+49 731 {n}" for n in numbers)]
        path = f"jobs/ingest/{org.call('POST', 'jobs/ingest', body=job, once=True)['id']}"
        content = "\n".join(lines).encode()
        org.transfer("PUT", f"{path}/batches", body=content, once=True).close()
        org.call("PATCH", path, body={"state": "UploadComplete"})
        while (state := org.call("GET", path)["state"]) != "JobComplete":
            assert state in ("UploadComplete", "InProgress"), state
            time.sleep(0.05)


def _apply(store: Store, org: OrgClient, mappings: Mappings) -> int:
    changed = 0
    while (
        report := apply_pending(store=store, org=org, mappings=mappings, flows={}, now=NOW)
    ).envelopes:
        assert not report.problems, report.problems[:3]
        changed += report.changed
    return changed
