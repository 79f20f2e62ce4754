"""Bills many accounts; reference: COPY of the very rows the run wrote.

Ten lines an account: six charges for a whole month, half of them discounted, and two that began
in the middle of the last month and so are billed for a part of it as well, taxed at two rates.
`ratio` is the seconds of the whole run (reading, computing, writing, numbering, posting to the
journal, setting money against documents, marking for the push) divided by those of COPY of the
same documents, lines, taxes and journal rows into tables with the same columns, checks, indexes and
foreign keys, as COPY into the very tables would have to keep them. `without_keys_ratio` is the
same against tables that refer to nothing. `cpu_ratio` compares processor time, the database's
included. Targets (design 10): at most 5, and at most 1 GiB of memory.
"""

import os
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import text

from connector.billing import chunk as stages
from connector.billing.bill_run import CHUNK_ACCOUNTS, run_cycle
from connector.billing.workforce import processes_for
from connector.store.engine import Store, driver_connection

from .processor_time import spent
from .push import bench_store

BILLED_TO = date(2026, 7, 1)
NOW = datetime(2026, 7, 1, 9, tzinfo=UTC)
LINES_PER_ACCOUNT = 10
SERVICES_PER_ACCOUNT = 4
STAGES = {
    "load_books": "read",
    "already_billed": "read",
    "drop_drafts": "write",
    "compose": "compute",
    "insert_drafts": "write",
    "finalise": "finalise",
    "allocate_open": "allocate",
}
# What a run writes, parents first; the reference copies the rows of all of them.
TABLES = ("invoice", "invoice_line", "invoice_tax", "journal_entry", "journal_line")
COPY_BYTES = 1 << 20
_KEYS = text(
    "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
    " WHERE conrelid = CAST(:name AS regclass) AND contype = 'f' ORDER BY conname"
)

_FILL = (
    "INSERT INTO brand (key, name, legal_name, invoice_prefix) "
    "VALUES ('b', 'Bench', 'Bench', 'BN')",
    "INSERT INTO tax_rate (country, category, percent, valid_from) "
    "VALUES ('DE', 'standard', 19, '2000-01-01'), ('DE', 'reduced', 7, '2000-01-01')",
    "INSERT INTO product (brand_id, key, name, display_name, kind, tax_category, accounting_code) "
    "SELECT b.id, 'p' || n, 'Product ' || n, 'Product ' || n, 'Service', "
    "       CASE WHEN n = 8 THEN 'reduced' ELSE 'standard' END, (4400 + n)::text "
    "  FROM brand b, generate_series(1, 8) n",
    "INSERT INTO account (brand_id, sfid, kind, name, country, currency) "
    "SELECT b.id, '001' || lpad(n::text, 15, '0'), 'business', 'Customer ' || n, 'DE', 'EUR' "
    "  FROM brand b, generate_series(1, :accounts) n",
    "INSERT INTO billing_account (brand_id, account_id, number, currency, opened_at) "
    "SELECT a.brand_id, a.id, 'B-' || a.id, 'EUR', '2026-01-01' FROM account a",
    "INSERT INTO service (brand_id, number, account_id, billing_account_id, product_id, "
    "                     created_by_line_id, state, mr_price, currency, service_start_on) "
    "SELECT b.brand_id, 'SVC-' || b.id || '-' || n, b.account_id, b.id, p.id, "
    f"       b.id * {SERVICES_PER_ACCOUNT} + n, 'In Service', 10, 'EUR', '2026-06-16' "
    f"  FROM billing_account b, generate_series(0, {SERVICES_PER_ACCOUNT - 1}) n, product p "
    " WHERE p.key = 'p' || (n + 1)",
    "INSERT INTO charge (brand_id, key, kind, billing_account_id, service_id, product_id, "
    "                    description, quantity, unit_price, unit_cost, discount_percent, currency, "
    "                    starts_on, tax_category, accounting_code, policy, source, created_at, "
    "                    changed_at) "
    "SELECT s.brand_id, 'c' || s.id || ':' || n, 'recurring', s.billing_account_id, s.id, p.id, "
    "       p.name, 1 + (s.id + n) % 3, 9.90 + (s.id % 70) + n, 5, CASE WHEN n % 2 = 0 THEN 10 "
    "       ELSE 0 END, 'EUR', CASE WHEN p.key IN ('p2', 'p8') THEN date '2026-06-16' "
    "       ELSE date '2026-07-01' END, p.tax_category, p.accounting_code, "
    "       CAST(:policy AS jsonb), '{}', '2026-06-16', '2026-06-16' "
    "  FROM service s CROSS JOIN generate_series(0, 1) n "
    f"  JOIN product p ON p.key = 'p' || (s.created_by_line_id % {SERVICES_PER_ACCOUNT} "
    f"                                    + n * {SERVICES_PER_ACCOUNT} + 1)",
)


def run(*, accounts: int = 2_000) -> dict[str, Any]:
    """Measure and return the figures."""
    with bench_store() as store:
        return measured(store=store, accounts=accounts)


def measured(*, store: Store, accounts: int) -> dict[str, Any]:
    """Measure in an empty store."""
    _fill(store, accounts)
    _forget_peak()
    seconds_of: Counter[str] = Counter()
    undo = [_timed(name, stage, seconds_of) for name, stage in STAGES.items()]
    began, cpu_began = time.perf_counter(), spent(store)
    report = run_cycle(store=store, billed_to=BILLED_TO, now=NOW)
    seconds, cpu_seconds = time.perf_counter() - began, spent(store) - cpu_began
    processes = processes_for(-(-accounts // CHUNK_ACCOUNTS))
    peak_mib = _peak_mib(processes)
    for restore in undo:
        restore()
    assert (report.invoices, report.problems) == (accounts, ()), report
    counts = {name: _count(store, name) for name in (*TABLES, "push_log")}
    assert counts["invoice_line"] == accounts * LINES_PER_ACCOUNT, counts
    # Twice, because other work on the machine weighs on one as on the other.
    copies = [_copy_the_same(store, keys=True) for _ in range(2)]
    reference_seconds, reference_cpu = (sum(figures) / 2 for figures in zip(*copies, strict=True))
    without_keys, _ = _copy_the_same(store, keys=False)
    return {
        "bench": "bill-run",
        "seconds": round(seconds, 3),
        "reference": "COPY of the same rows into tables with the same columns, indexes and keys",
        "reference_seconds": round(reference_seconds, 3),
        "ratio": round(seconds / reference_seconds, 2),
        "rows": counts["invoice_line"],
        "rows_per_second": round(counts["invoice_line"] / seconds),
        "peak_mib": peak_mib,
        "cpu_count": os.cpu_count() or 1,
        "cpu_seconds": round(cpu_seconds, 3),
        "cpu_ratio": round(cpu_seconds / max(reference_cpu, 0.01), 2),
        "without_keys_seconds": round(without_keys, 3),
        "without_keys_ratio": round(seconds / without_keys, 2),
        "processes": processes,
        "accounts": accounts,
        "rows_written": sum(counts[name] for name in TABLES),
        "push_marks": counts["push_log"],
        "total": str(report.totals["EUR"]),
        # Of two threads together and of this process alone.
        **{f"{stage}_seconds": round(spent, 3) for stage, spent in seconds_of.items()},
    }


def _fill(store: Store, accounts: int) -> None:
    policy = '{"name": "default", "basis": "actual"}'
    with store.transaction() as tx:
        for statement in _FILL:
            tx.execute(text(statement), {"accounts": accounts, "policy": policy})
        tx.execute(text("DELETE FROM push_log"))
    with psycopg.connect(store.conninfo, autocommit=True) as maintenance:
        maintenance.execute("VACUUM ANALYZE")


def _timed(name: str, stage: str, seconds_of: Counter[str]) -> Callable[[], None]:
    """Let a stage of the run count its seconds; return what takes that back."""
    plain = getattr(stages, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        try:
            return plain(*args, **kwargs)
        finally:
            seconds_of[stage] += time.perf_counter() - began

    setattr(stages, name, timed)
    return lambda: setattr(stages, name, plain)


def _count(store: Store, table: str) -> int:
    with store.read() as tx:
        return int(tx.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def _copy_the_same(store: Store, *, keys: bool) -> tuple[float, float]:
    """Return the seconds COPY needs for the rows of the run, and those of processors."""
    with tempfile.TemporaryDirectory(prefix="l2c-bench-") as folder, store.transaction() as tx:
        connection = driver_connection(tx)
        for name in TABLES:
            file = Path(folder) / name
            with (
                connection.cursor() as cursor,
                file.open("wb") as out,
                cursor.copy(f"COPY {name} TO STDOUT") as rows,
            ):
                for block in rows:
                    out.write(block)
            tx.execute(text(f"CREATE TABLE copy_{name} (LIKE {name} INCLUDING ALL)"))
            if keys:
                for (definition,) in tx.execute(_KEYS, {"name": name}).all():
                    tx.execute(text(f"ALTER TABLE copy_{name} ADD {definition}"))
        began, cpu_began = time.perf_counter(), spent(store)
        for name in TABLES:
            with (
                (Path(folder) / name).open("rb") as rows,
                connection.cursor() as cursor,
                cursor.copy(f"COPY copy_{name} FROM STDIN") as copy,
            ):
                while block := rows.read(COPY_BYTES):
                    copy.write(block)
        figures = time.perf_counter() - began, spent(store) - cpu_began
        tx.rollback()
    return figures


def _forget_peak() -> None:
    """Begin to measure the most memory anew, where the system allows it (Linux does)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_mib(processes: int) -> int:
    """Return the most memory since then, of this process and of those beside it."""
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    others = largest * (processes - 1)
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                # The system's own count of this process may forget nothing.
                return int(line.split()[1]) // 1024 + others
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 + others
