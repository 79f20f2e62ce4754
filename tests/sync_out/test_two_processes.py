"""Two processes push the same backlog: the org's audit shows each row written once."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from sqlalchemy import text

ROWS = 400
CHECKOUT = Path(__file__).parents[2]
SUMMARIES = text("""
    WITH run AS (
        INSERT INTO rating_run (period_start, period_end, snapshot, records, unrated, published_at,
                                input_hash)
        VALUES (date '2026-06-01', date '2026-07-01', '{}', 0, 0, now(), '-') RETURNING id)
    INSERT INTO usage_summary (brand_id, service_id, usage_class, period_start, period_end, unit,
                               units, included_units, rated_amount, cost_amount, currency, records,
                               rating_run_id, derivation)
    SELECT s.brand_id, s.id, 'Voice', date '1990-01-01' + n, date '1990-01-02' + n, 's', n, 0, n, 0,
           'EUR', n, run.id, '{}'
      FROM service s, run, generate_series(1, :rows) n
""")


def start(store, org) -> subprocess.Popen[str]:
    facts = {
        "store": store.engine.url.render_as_string(hide_password=False),
        "org": org.base_url,
        "id": org.client_id,
        "secret": org.client_secret,
    }
    command = [sys.executable, "-m", "tests.sync_out.pusher", json.dumps(facts)]
    return subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)


def test_two_processes_write_each_row_once(store, org, world, push):
    push()
    org.admin("audit", method="PUT", body={"full": True})
    with store.transaction() as tx:
        tx.execute(SUMMARIES, {"rows": ROWS})

    told = [process.communicate(timeout=120)[0] for process in [start(store, org) for _ in "ab"]]

    assert sum(json.loads(line.splitlines()[-1])["written"] for line in told) == ROWS
    audit = org.admin("audit?limit=100000", method="GET")["audit"]
    writes = Counter(
        (entry["verb"], entry["id"]) for entry in audit if entry["object"] == "L2C_Usage_Summary__c"
    )
    assert len(writes) == ROWS
    assert set(writes.values()) == {1}
