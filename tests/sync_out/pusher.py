"""A process that pushes in small passes until nothing is owed; it says how many rows it wrote."""

import json
import sys
import time

from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.login import ClientCredentials, Login
from connector.store.engine import Store
from connector.sync.mapping.loading import load_mappings
from connector.sync.push.run import push_pending
from connector.sync.status import sync_status
from tests.sync_out.world import NOW

ROWS_PER_PASS = 40
PASSES_MAX = 2_000


def main() -> None:
    facts = json.loads(sys.argv[1])
    store = Store(facts["store"])
    org = OrgClient(Login(facts["org"], ClientCredentials(facts["id"], facts["secret"])))
    mappings = load_mappings()
    written = 0
    for _ in range(PASSES_MAX):
        report = push_pending(store=store, org=org, mappings=mappings, now=NOW, limit=ROWS_PER_PASS)
        written += report.written
        with store.read() as tx:
            if not sum(sync_status(tx=tx).owed.values()):
                break
        time.sleep(0.01)
    org.close()
    store.close()
    sys.stdout.write(json.dumps({"written": written}))


if __name__ == "__main__":
    main()
