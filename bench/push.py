"""Pushing new rows, against the fewest calls and the least work a client can do.

References: the floor of counted calls, ceil(rows / 1,000), and the wall time of a client that sends
the very same bytes, prepared before, to the same local org. `ratio` is the push's seconds (read,
compare, send, remember, settle) divided by that client's. Targets (design 10): calls at most 1.05
times the floor, ratio at most 1.5. From `BULK_FROM` rows on they go out as Bulk API jobs, and the
client sends the same jobs.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import text

from connector.adapters.salesforce.answers import Subrequest
from connector.adapters.salesforce.bulk import Bulk
from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.login import ClientCredentials, Login
from connector.store.embedded import EmbeddedPostgres
from connector.store.engine import Store
from connector.store.migrate import upgrade
from connector.sync.mapping.loading import load_mappings
from connector.sync.push.run import push_until_quiet

NOW = datetime(2026, 7, 1, tzinfo=UTC)
ROWS_PER_CALL = 1_000


def run(*, rows: int = 5_000) -> dict[str, Any]:
    """Measure and return the figures."""
    with bench_store() as store:
        return _measured(store, rows)


@contextmanager
def bench_store() -> Iterator[Store]:
    """Open an empty store that goes with the block."""
    with tempfile.TemporaryDirectory(prefix="l2c-bench-") as folder:
        Path(folder).chmod(0o711)
        with EmbeddedPostgres.start(Path(folder) / "postgres") as server:
            store = Store(server.url_of("postgres"))
            try:
                upgrade(store)
                yield store
            finally:
                store.close()


def _measured(store: Store, rows: int) -> dict[str, Any]:
    mappings = load_mappings()
    with org_client() as org:
        make_parents(store, org)
        push_until_quiet(store=store, org=org, mappings=mappings, now=NOW)
        make_rows(store, rows)
        sent: list[list[Subrequest]] = []
        jobs: list[_Job] = []
        _record_into(org, sent)
        with _recording_jobs(jobs):
            began = time.perf_counter()
            report = push_until_quiet(store=store, org=org, mappings=mappings, now=NOW)
            seconds = time.perf_counter() - began
        assert report.written == rows, report
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    with org_client() as org:
        _make_parents_again(store, org, mappings)
        reference_seconds = _send_prepared(org, sent, jobs)
    return {
        "bench": "push",
        "seconds": round(seconds, 3),
        "reference": "a client sending the same prepared bodies to the same local org",
        "reference_seconds": round(reference_seconds, 3),
        "ratio": round(seconds / reference_seconds, 3),
        "rows": rows,
        "rows_per_second": round(rows / seconds),
        "peak_mib": peak_mib,
        "cpu_count": os.cpu_count() or 1,
        "fields_per_row": len(mappings.by_entity["usage_summary"].pushed_names) + 4,
        "api_calls": report.api_calls,
        "api_calls_floor": -(-rows // ROWS_PER_CALL),
        "bulk_jobs": len(jobs),
        "bulk_mib": sum(len(job.content) for job in jobs) // 1024**2,
    }


@contextmanager
def org_client() -> Iterator[OrgClient]:
    """Run a local org until the block ends, and yield a client of it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "l2c_sandbox", "--json", "--exit-with-stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        facts = orjson.loads(process.stdout.readline())
        grant = ClientCredentials(facts["client_id"], facts["client_secret"])
        org = OrgClient(Login(facts["base_url"], grant))
        yield org
        org.close()
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def _record_into(org: OrgClient, sent: list[list[Subrequest]]) -> None:
    """Keep every composite call, so that the reference can send the same bytes."""
    composite = org.composite

    def recorded(subrequests: Any, **named: Any) -> Any:
        sent.append(list(subrequests))
        return composite(subrequests, **named)

    org.composite = recorded  # type: ignore[method-assign]


@dataclass(frozen=True, slots=True)
class _Job:
    operation: str
    object_name: str
    content: bytes
    key_field: str


@contextmanager
def _recording_jobs(jobs: list[_Job]) -> Iterator[None]:
    """Keep what every Bulk job was given, for the same reason."""
    opened = Bulk.open

    def recorded(
        bulk: Bulk, operation: str, object_name: str, content: bytes, *, key_field: str = "Id"
    ) -> str:
        jobs.append(_Job(operation, object_name, content, key_field))
        return opened(bulk, operation, object_name, content, key_field=key_field)

    Bulk.open = recorded  # type: ignore[method-assign]
    try:
        yield
    finally:
        Bulk.open = opened  # type: ignore[method-assign]


def _send_prepared(org: OrgClient, sent: list[list[Subrequest]], jobs: list[_Job]) -> float:
    org.identity()
    began = time.perf_counter()
    for subrequests in sent:
        for answer in org.composite(subrequests):
            answer.raise_for_status()
    bulk = Bulk(org)
    for one in jobs:
        job = bulk.open(one.operation, one.object_name, one.content, key_field=one.key_field)
        bulk.run(job, key_field=one.key_field, rows=one.content.count(b"\n") - 1)
    return time.perf_counter() - began


def make_parents(store: Store, org: OrgClient) -> None:
    """Make the customer and the two services whose summaries are pushed."""
    account = _account(org)
    with store.transaction() as tx:
        tx.execute(text(_PARENTS), {"sfid": account, "now": NOW})


def _make_parents_again(store: Store, org: OrgClient, mappings: Any) -> None:
    """Give a fresh org the same parents, under the ids the prepared bodies name."""
    account = _account(org)
    with store.transaction() as tx:
        tx.execute(text("DELETE FROM crm_record WHERE entity <> 'usage_summary'"))
        tx.execute(text("UPDATE account SET sfid = :sfid"), {"sfid": account})
        for entity in ("account", "billing_account", "product", "order_line", "service",
                       "customer_order"):  # fmt: skip
            tx.execute(
                text(
                    "INSERT INTO push_log (entity, keys) "
                    "SELECT code, ARRAY[1, 2] FROM push_entity WHERE name = :entity"
                ),
                {"entity": entity},
            )
    push_until_quiet(store=store, org=org, mappings=mappings, now=NOW)


def _account(org: OrgClient) -> str:
    call = Subrequest("POST", "sobjects/Account", "a", {"Name": "Bench"})
    (answer,) = org.composite([call])
    answer.raise_for_status()
    return str(answer.body["id"])


_PARENTS = """
WITH b AS (INSERT INTO brand (key, name, legal_name, invoice_prefix)
           VALUES ('default', 'House', 'House', 'INV') RETURNING id),
a AS (INSERT INTO account (brand_id, sfid, kind, name)
      SELECT id, :sfid, 'business', 'Bench' FROM b RETURNING id, brand_id),
ba AS (INSERT INTO billing_account (brand_id, account_id, number, currency, opened_at)
       SELECT brand_id, id, 'BA-1', 'EUR', :now FROM a RETURNING id),
p AS (INSERT INTO product (brand_id, key, name, display_name, kind)
      SELECT id, 'SEAT', 'Seat', 'Seat', 'Service' FROM b RETURNING id),
o AS (INSERT INTO customer_order (brand_id, number, account_id, origination, origin_key, currency,
                                  created_at)
      SELECT brand_id, 'ORD-1', id, 'API', 'bench', 'EUR', :now FROM a RETURNING id),
l AS (INSERT INTO order_line (order_id, sequence, request_type, product_id)
      SELECT o.id, n, 'NEW', p.id FROM o, p, generate_series(1, 2) n RETURNING id, sequence),
s AS (INSERT INTO service (brand_id, number, account_id, billing_account_id, product_id,
                           created_by_line_id, currency)
      SELECT a.brand_id, 'SRV-' || l.sequence, a.id, ba.id, p.id, l.id, 'EUR' FROM a, ba, p, l
      RETURNING id)
INSERT INTO rating_run (period_start, period_end, snapshot, records, unrated, published_at,
                        input_hash)
SELECT date '2026-06-01', date '2026-07-01', '{}', 0, 0, :now, '-' FROM s LIMIT 1
"""


def make_rows(store: Store, rows: int) -> None:
    """Make the summaries to push."""
    with store.transaction() as tx:
        tx.execute(
            text("""
                INSERT INTO usage_summary (brand_id, service_id, usage_class, period_start,
                       period_end, unit, units, included_units, rated_amount, cost_amount,
                       currency, records, rating_run_id, derivation)
                SELECT s.brand_id, s.id, 'Voice', date '1900-01-01' + n / 2,
                       date '1900-01-02' + n / 2, 's', n, 10, n * 0.0123, 0, 'EUR', n, r.id, '{}'
                  FROM rating_run r CROSS JOIN generate_series(1, :rows) n
                  JOIN service s ON s.number = 'SRV-' || (1 + n % 2)"""),
            {"rows": rows},
        )


if __name__ == "__main__":
    print(orjson.dumps(run(rows=int(sys.argv[1]) if len(sys.argv) > 1 else 5_000)).decode())
