"""Changes on both sides while everything goes wrong; afterwards nothing is missing, twice or wrong.

The truth is the driver's ledger, not anything sync says of itself. Seeded: the same seed makes the
same changes and asks for the same trouble; what meets what depends on the machine.
"""

import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import yaml

from connector.bootstrap import App
from connector.config import load_settings
from connector.store.embedded import EmbeddedPostgres

from .chaos_changes import Changes
from .chaos_crm import Administrator, Person
from .chaos_hub import Hub
from .chaos_ledger import Ledger
from .chaos_messages import BadRoad
from .chaos_verdict import judge
from .chaos_worker import DEDUPLICATION, PAGE, PARTS, WITHOUT
from .chaos_workers import Workers, peak_mib
from .local_org import ORG, server
from .schedules import only_sync

CONNECTOR = "integration@sandbox.example"
WORKERS = 2
BATCH_MAX = 200
BATCH_MIN = 10
BATCHES = 40
PACE_S = 0.5  # between batches: two stamps of a record tell its changes apart
CUSTOMERS_MIN = 40
CHANGES_PER_KILL = 500
KILLS_MIN = 4
BULK_FROM = 150
SWEEP_PAGE = 50
SWEEP_PAGE_FROM = 2_000  # changes: with more, pages are as large as in earnest
OVERLAP_S = 20  # twice as long as a late commit may take here
QUIET_TIMEOUT_S = 300
QUIET_TIMEOUT_PER_CHANGE_S = 0.02
QUIET_LOOKS = 3
STORM_S_MAX = 20
SCHEDULES = {"sweep": "every 2 s", "apply_inbox": "every 2 s", "push_changes": "every 1 s"}
TROUBLE: tuple[dict[str, Any], ...] = (
    # New records are where a lost answer makes doubles; the first fault that hits is the one.
    {"kind": "drop_after", "object": "L2C_Order_Line__c", "probability": 0.5},
    {"kind": "http", "status": 503, "probability": 0.05},
    {"kind": "drop_before", "probability": 0.01},
    {"kind": "drop_after", "probability": 0.03},
    # The answer comes when it is no longer true.
    {"kind": "trickle", "seconds": 2, "probability": 0.5, "path": "/composite/?$"},
    {"kind": "lock", "object": "L2C_Service__c", "probability": 0.02},
)
ROAD_TROUBLE: tuple[dict[str, Any], ...] = (
    {"kind": "event_duplicate", "probability": 0.2},
    {"kind": "event_reorder", "probability": 0.2},
)
CROWDED_FOR_S = 0.3


class NotQuiet(RuntimeError):
    """Work was still waiting when the benchmark's patience ended."""


def run(
    *,
    changes: int = 400,
    kills: int | None = None,
    seed: int = 1,
    without: str | None = None,
) -> dict[str, Any]:
    """Make the changes and the trouble, wait for quiet, and return what is not as it was meant."""
    if without is not None and without not in PARTS:
        raise ValueError(f"{without} cannot be switched off; what can: {', '.join(PARTS)}")
    kills = max(KILLS_MIN, changes // CHANGES_PER_KILL) if kills is None else kills
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="l2c-chaos-") as made:
        folder = Path(made)
        folder.chmod(0o711)
        with _stage(folder, changes=changes, seed=seed, without=without) as stage:
            stage.prepare(customers=max(CUSTOMERS_MIN, changes // 20))
            stage.disturb(changes, kills=kills)
            quiet_s = stage.wait_until_quiet()
            result = stage.result()
    return {
        "bench": "chaos",
        "seconds": round(time.monotonic() - began_s, 1),
        "seconds_to_quiet": round(quiet_s, 1),
        **result,
        "peak_mib": peak_mib(),
        "cpu_count": os.cpu_count() or 1,
        "seed": seed,
        "switched_off": without or "",
    }


@dataclass(slots=True)
class _Stage:
    app: App
    workers: Workers
    road: BadRoad
    administrator: Administrator
    person: Person
    changes: Changes
    chance: random.Random
    quiet_timeout_s: float
    faults: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)

    def prepare(self, *, customers: int) -> None:
        """Bring a first set of customers and services into both sides, undisturbed."""
        hub = self.changes.hub
        self.administrator.call("PUT", "audit", {"full": True})
        self.administrator.call(
            "PUT",
            "outbound",
            {"endpoint_base": self.road.address, "first_retry_ms": 100, "longest_retry_ms": 1_000},
        )
        hub.open_house()
        self.changes.begin(customers=customers)
        self.wait_until_quiet()
        hub.open_accounts()
        self.changes.begin_services()
        hub.watch()
        self.wait_until_quiet()
        self.changes.made = 0

    def disturb(self, changes: int, *, kills: int) -> None:
        """Make the changes, spread over the kills, in all the weather there is."""
        self.road.spoil()
        trouble = [one | {"user": CONNECTOR} for one in TROUBLE] + list(ROAD_TROUBLE)
        self.administrator.call("POST", "faults", {"faults": trouble})
        self.workers.kill_some(kills)
        size = min(BATCH_MAX, max(BATCH_MIN, changes // BATCHES))
        batches = -(-changes // size)
        number = 0
        while self.changes.made < changes:
            number += 1
            while self.workers.kills < kills * number // batches - 1 and not self.workers.failure:
                self.changes.commit_overdue()
                time.sleep(0.02)
            self.changes.batch(size)
            time.sleep(PACE_S)
            self._turn_the_weather(number)
        self.changes.commit_late()
        self.workers.all_up()
        self._work_in_the_storm()
        told = self.administrator.call("GET", "faults")["hits"]
        self.by_kind = dict(sorted(told.items()))
        self.faults += sum(told.values())
        self.administrator.call("DELETE", "faults")
        self.road.mend()

    def _work_in_the_storm(self) -> None:
        """Let the processes, which live on now, meet the trouble with what has piled up."""
        until_s = time.monotonic() + STORM_S_MAX
        while self._waiting() and time.monotonic() < until_s:
            time.sleep(0.1)

    def _turn_the_weather(self, number: int) -> None:
        if number % 3 == 0:
            self.administrator.call("POST", "sessions/expire")
            self.faults += 1
        if number % 4 == 1:
            usual = self.administrator.call("POST", "limits", {})["long_calls"]
            self.administrator.call("POST", "limits", {"long_calls": 0})
            time.sleep(CROWDED_FOR_S)
            self.administrator.call("POST", "limits", {"long_calls": usual})
            self.faults += 1

    def wait_until_quiet(self) -> float:
        """Return when nothing waits although a sweep has looked once more; how long it took."""
        began_s = time.monotonic()
        self._sweep_anew()
        quiet = 0
        while quiet < QUIET_LOOKS:
            waiting = self._waiting()
            quiet = 0 if waiting else quiet + 1
            if time.monotonic() - began_s > self.quiet_timeout_s:
                raise NotQuiet(
                    f"after {self.quiet_timeout_s:.0f} s still waiting: {waiting}; "
                    f"the workers said: {self.workers.last_words()}"
                )
            if quiet == 1:
                self._sweep_anew()
            time.sleep(0.1)
        return time.monotonic() - began_s

    def _sweep_anew(self) -> None:
        """Sweep here, in this process: it has begun after the last change."""
        self.app.sweep()

    def _waiting(self) -> dict[str, int]:
        messages = self.administrator.call("GET", "outbound")["pending"]
        found = {"messages of the org": messages} | self.app.work_waiting()
        found.pop("jobs")  # schedules never rest here
        return {what: count for what, count in found.items() if count}

    def result(self) -> dict[str, Any]:
        """Judge both sides."""
        changes, workers = self.changes, self.workers
        workers.stop()
        verdict = judge(
            ledger=changes.ledger,
            hub=changes.hub,
            person=self.person,
            administrator=self.administrator,
            connector=CONNECTOR,
        )
        used = self.administrator.call("POST", "limits", {})["used"]
        return {
            "changes": changes.made,
            "rows": verdict.records,
            "missing": verdict.missing,
            "duplicated": verdict.duplicated,
            "wrong": verdict.wrong,
            "drift": self.app.reconcile().drift,
            "kills": workers.kills,
            "faults": self.faults + sum(self.road.counts.values()),
            "faults_by_kind": self.by_kind,
            "messages_lost": self.road.counts["lost"],
            "messages_twice": self.road.counts["twice"],
            "messages_late": self.road.counts["late"],
            "late_commits": changes.late_commits,
            "foreign_edits": changes.edits,
            "workers": len(workers.running),
            "api_calls": used - self.person.calls,
            "examples": verdict.examples,
        }


@contextmanager
def _stage(folder: Path, *, changes: int, seed: int, without: str | None) -> Iterator[_Stage]:
    chance = random.Random(seed)
    with ExitStack() as opened:
        store = opened.enter_context(EmbeddedPostgres.start(folder / "postgres", durable=False))
        running = opened.enter_context(server(*ORG, "--data", str(folder / "org.sqlite")))
        facts = orjson.loads(running.first_line)
        config = _write_config(folder, facts, store.url_of("postgres"), without=without)
        app = opened.enter_context(App.open(load_settings(config)))
        hub = Hub(app.store.conninfo)
        opened.callback(hub.close)
        environment = {PAGE: str(SWEEP_PAGE)} if changes < SWEEP_PAGE_FROM else {}
        if without is not None:
            environment[WITHOUT] = without
        workers = Workers(
            count=WORKERS, config=config, folder=folder, environment=environment, seed=seed
        )
        opened.callback(workers.stop)
        road = BadRoad(workers.addresses, seed=seed)
        opened.callback(road.close)
        administrator, person = Administrator(facts["base_url"]), Person(facts)
        yield _Stage(
            app=app,
            workers=workers,
            road=road,
            administrator=administrator,
            person=person,
            changes=Changes(
                person=person,
                administrator=administrator,
                hub=hub,
                ledger=Ledger(),
                chance=chance,
                username=facts["username"],
            ),
            chance=chance,
            quiet_timeout_s=QUIET_TIMEOUT_S + changes * QUIET_TIMEOUT_PER_CHANGE_S,
        )


def _write_config(folder: Path, facts: dict[str, Any], url: str, *, without: str | None) -> Path:
    config = folder / "config.yaml"
    sections = {
        "store": {"url": url.replace("+psycopg", ""), "data_dir": str(folder / "data")},
        "salesforce": {name: facts[name] for name in ("client_id", "client_secret")}
        | {"login_url": facts["base_url"], "organization_id": facts["organization_id"]},
        "web": {"host": "127.0.0.1", "port": 0},
        "jobs": {"schedules": only_sync(SCHEDULES)},
        # Jobs carry their key in any case: without keys there must be none.
        "sync": {"overlap_s": OVERLAP_S}
        | ({} if without == DEDUPLICATION else {"bulk_from_rows": BULK_FROM}),
    }
    config.touch(mode=0o600)
    config.write_text(yaml.safe_dump(sections))
    return config


if __name__ == "__main__":
    told = run(changes=int(sys.argv[1]) if len(sys.argv) > 1 else 400)
    print(orjson.dumps(told).decode())
