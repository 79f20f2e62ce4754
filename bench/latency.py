"""How long a change takes to the other side: by message, by sweep alone, and by push.

One connector process runs with its own schedules. Every instant is read from one clock, the hub
database's; what the org wrote has the org's stamp, of whole seconds, counted to their end. Targets
(design 10): CRM to hub p95 below 5 s by outbound message and below 90 s by the sweep alone, hub to
CRM p95 below 10 s with 10,000 rows pending.
"""

import os
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import yaml

from connector.bootstrap import App
from connector.config import load_settings
from connector.store.embedded import EmbeddedPostgres

from .chaos_crm import Administrator, Person
from .chaos_hub import Hub
from .chaos_ledger import CRM_FIELD
from .chaos_workers import Workers
from .local_org import ORG, Running, server
from .schedules import only_sync

PLAIN_SWEEP_S = 60  # the sweep's own schedule
CUSTOMERS = 20
PAUSE_S = 0.2
TIMEOUT_S = 600


class NeverArrived(RuntimeError):
    """A change did not come to the other side within the benchmark's patience."""


def run(*, changes: int = 20, pending: int = 2_000, sweep_every_s: int = 10) -> dict[str, Any]:
    """Measure and return the figures."""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="l2c-latency-") as made:
        folder = Path(made)
        folder.chmod(0o711)
        with _stage(folder, sweep_every_s=sweep_every_s) as stage:
            stage.prepare()
            message_s = stage.by_message(changes)
            sweep_s = stage.by_sweep(changes, period_s=sweep_every_s)
            push_s = stage.by_push(pending)
            peak_mib = Running(stage.workers.running[0].process.pid, "", 0).peak_mib()
    return {
        "bench": "latency",
        "seconds": round(time.monotonic() - began_s, 1),
        "rows": 2 * len(message_s) + pending,
        "message_p50_s": _share(message_s, 50),
        "message_p95_s": _share(message_s, 95),
        "sweep_every_s": sweep_every_s,
        "sweep_p50_s": _share(sweep_s, 50),
        "sweep_p95_s": _share(sweep_s, 95),
        # A change waits for up to a period; a longer one adds its share of the difference.
        "sweep_p95_s_at_60_s": round(
            _share(sweep_s, 95) + 0.95 * max(0, PLAIN_SWEEP_S - sweep_every_s), 2
        ),
        "push_pending_rows": pending,
        "push_p50_s": _share(push_s, 50),
        "push_p95_s": _share(push_s, 95),
        "worker_peak_mib": peak_mib,
        "cpu_count": os.cpu_count() or 1,
    }


@dataclass(slots=True)
class _Stage:
    workers: Workers
    administrator: Administrator
    person: Person
    hub: Hub
    app: App
    sfids: list[str]
    streets: int = 0

    def prepare(self) -> None:
        """Bring customers with a service each into both sides."""
        hub = self.hub
        hub.open_house()
        self.sfids = self.person.create(
            "Account",
            [
                {"Name": f"Latency {number}", CRM_FIELD: "-", "L2C_Currency__c": "EUR"}
                for number in range(CUSTOMERS)
            ],
        )
        self._wait_for("SELECT count(*) >= %d FROM account", CUSTOMERS)
        hub.open_accounts()
        hub.add(
            [(f"SRV-{number:09d}", sfid, "-", 1) for number, sfid in enumerate(self.sfids, start=1)]
        )
        hub.watch()
        self._wait_until_pushed()

    def by_message(self, changes: int) -> list[float]:
        """Return how long changes took to the hub when messages tell of them."""
        self._messages(self.workers.addresses()[0])
        return self._moved(changes, within_s=changes * PAUSE_S)

    def by_sweep(self, changes: int, *, period_s: int) -> list[float]:
        """Return how long changes took when no message comes, spread over one period."""
        self._messages("http://127.0.0.1:9")  # nobody listens there
        return self._moved(changes, within_s=period_s)

    def by_push(self, rows: int) -> list[float]:
        """Return how long each of many rows, changed by one statement, took to the CRM."""
        self.administrator.call("PUT", "audit", {"full": True})
        began_at = self._now()
        self.hub.make_summaries(rows)
        self._wait_until_pushed()
        audit = self.administrator.call("GET", f"audit?limit={rows * 4}")["audit"]
        made = [entry for entry in audit if entry["object"] == "L2C_Usage_Summary__c"]
        if len(made) != rows:
            raise NeverArrived(f"{len(made)} writes of {rows} rows")
        return [
            datetime.fromisoformat(entry["at"]).astimezone(UTC).timestamp() + 1 - began_at
            for entry in made
        ]

    def _moved(self, changes: int, *, within_s: float) -> list[float]:
        chance = random.Random(changes)
        told: dict[str, float] = {}
        for _ in range(changes):
            self.streets += 1
            street = f"Street {self.streets}"
            told[street] = self._now()
            sfid = self.sfids[self.streets % len(self.sfids)]
            self.person.change("Account", [{"Id": sfid, CRM_FIELD: street}])
            time.sleep(chance.uniform(0, 2 * within_s / changes))
            if len(told) % len(self.sfids) == 0:  # each customer has moved: wait before the next
                self._wait_for_all(told)
        self._wait_for_all(told)
        seen: Mapping[str, float] = dict(self.hub.rows(_SEEN_AT))  # type: ignore[arg-type]
        return [seen[street] - at for street, at in told.items()]

    def _wait_for_all(self, streets: Iterable[str]) -> None:
        for street in streets:
            self._wait_for(_SEEN % street, None)

    def _messages(self, base: str) -> None:
        self.administrator.call(
            "PUT",
            "outbound",
            {"endpoint_base": base, "first_retry_ms": 1_000, "longest_retry_ms": 60_000},
        )

    def _now(self) -> float:
        ((now,),) = self.hub.rows("SELECT extract(epoch FROM clock_timestamp())::float8")
        return float(now)

    def _wait_until_pushed(self) -> None:
        until_s = time.monotonic() + TIMEOUT_S
        while time.monotonic() < until_s:
            if not self.app.work_waiting()["records to push"]:
                return
            time.sleep(0.05)
        raise NeverArrived("rows are still to push")

    def _wait_for(self, query: str, number: int | None) -> None:
        until_s = time.monotonic() + TIMEOUT_S
        while time.monotonic() < until_s:
            ((found,),) = self.hub.rows(query % number if number is not None else query)
            if found:
                return
            time.sleep(0.05)
        raise NeverArrived(query)


_SEEN = "SELECT EXISTS (SELECT FROM chaos_seen WHERE street = '%s')"
_SEEN_AT = "SELECT street, extract(epoch FROM seen_at)::float8 FROM chaos_seen"


def _share(values: Sequence[float], percent: int) -> float:
    """Return the value that so many percent of all stay at or below."""
    ordered = sorted(values)
    return round(ordered[max(0, -(-len(ordered) * percent // 100) - 1)], 2)


@contextmanager
def _stage(folder: Path, *, sweep_every_s: int) -> Iterator[_Stage]:
    with ExitStack() as opened:
        store = opened.enter_context(EmbeddedPostgres.start(folder / "postgres", durable=False))
        running = opened.enter_context(server(*ORG))
        facts = orjson.loads(running.first_line)
        config = folder / "config.yaml"
        config.touch(mode=0o600)
        sections = {
            "store": {"url": store.url_of("postgres").replace("+psycopg", "")},
            "salesforce": {name: facts[name] for name in ("client_id", "client_secret")}
            | {"login_url": facts["base_url"], "organization_id": facts["organization_id"]},
            "web": {"host": "127.0.0.1", "port": 0},
            "jobs": {"schedules": only_sync({"sweep": f"every {sweep_every_s} s"})},
        }
        config.write_text(yaml.safe_dump(sections))
        app = opened.enter_context(App.open(load_settings(config)))
        hub = Hub(app.store.conninfo)
        opened.callback(hub.close)
        workers = Workers(count=1, config=config, folder=folder, environment={}, seed=0)
        opened.callback(workers.stop)
        yield _Stage(
            workers=workers,
            administrator=Administrator(facts["base_url"]),
            person=Person(facts),
            hub=hub,
            app=app,
            sfids=[],
        )


if __name__ == "__main__":
    print(orjson.dumps(run(pending=int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)).decode())
