"""A full comparison by Bulk snapshot, against the same client downloading the same result.

Reference: the client that runs the same Bulk query and drops every row. `ratio` is the whole
comparison's seconds (download, canonical form, COPY, full outer join, report) divided by that
client's. `peak_mib` is the most memory of the connector's process; the target is below 512 MiB for
1,000,000 rows (issue of this release).
"""

import os
import resource
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from connector.adapters.salesforce.bulk import Bulk
from connector.adapters.salesforce.client import OrgClient
from connector.store.engine import Store
from connector.sync.mapping.loading import load_mappings
from connector.sync.push.run import push_until_quiet
from connector.sync.reconcile.compare import reconcile
from connector.sync.reconcile.snapshot import snapshot_query

from .push import NOW, ROWS_PER_CALL, bench_store, make_parents, make_rows, org_client

ENTITY = "usage_summary"
BULK_FROM = 500


def run(*, rows: int = 5_000) -> dict[str, Any]:
    """Measure and return the figures."""
    with bench_store() as store, org_client() as org:
        return measured(store=store, org=org, rows=rows)


def measured(*, store: Store, org: OrgClient, rows: int) -> dict[str, Any]:
    """Measure in an empty store and an org without our records."""
    mappings = load_mappings()
    make_parents(store, org)
    make_rows(store, rows)
    began = time.perf_counter()
    pushed = push_until_quiet(store=store, org=org, mappings=mappings, now=NOW, bulk_from=BULK_FROM)
    push_seconds = time.perf_counter() - began
    before_mib = _peak_mib()
    _forget_peak()
    began = time.perf_counter()
    deque(Bulk(org).query(snapshot_query(mappings.by_entity[ENTITY])), maxlen=0)
    reference_seconds = time.perf_counter() - began
    began = time.perf_counter()
    report = reconcile(store=store, org=org, mappings=mappings, now=NOW, bulk_from=BULK_FROM)
    seconds = time.perf_counter() - began
    (found,) = (one for one in report.entities if one.entity == ENTITY)
    assert (found.crm_rows, found.source, report.drift) == (rows, "bulk", 0), report
    return {
        "bench": "reconcile",
        "seconds": round(seconds, 3),
        "reference": "the same client running the same Bulk query and dropping the rows",
        "reference_seconds": round(reference_seconds, 3),
        "ratio": round(seconds / reference_seconds, 3),
        "rows": rows,
        "rows_per_second": round(rows / seconds),
        "peak_mib": _peak_mib(),
        # The push that filled the org before:
        "push_seconds": round(push_seconds, 3),
        "push_api_calls": pushed.api_calls,
        "push_api_calls_floor": -(-rows // ROWS_PER_CALL),
        "push_peak_mib": before_mib,
        "cpu_count": os.cpu_count() or 1,
        "api_calls": report.api_calls,
        "drift": report.drift,
    }


def _forget_peak() -> None:
    """Begin to measure the most memory anew, where the system allows it (Linux does)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
