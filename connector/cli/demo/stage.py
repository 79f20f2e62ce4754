"""The stage: an embedded store, the local org, webhooks and a worker, and the clock that moves."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import requests
import yaml

from connector.background.queue import idle
from connector.bootstrap import App
from connector.cli.demo.local_org import LocalOrg
from connector.cli.files import make_folder
from connector.config import Settings, load_settings
from connector.errors import StateConflict
from connector.kernel.clock import MovableClock, monotonic_s
from connector.web.server import WebServer

TOLD_BY_THE_STORY = ("bill_cycle", "rate_usage", "reconcile", "renew_terms")
CONFIG = "config.yaml"
STORY_BEGINS = datetime(2026, 6, 1, 9, tzinfo=UTC)
SETTLE_TIMEOUT_S = 120
SETTLE_POLL_S = 0.02  # the first pause between two looks; each is half as long again,
SETTLE_POLL_S_MAX = 0.1  # up to this: looking costs the work that is waited for its processor
QUIET_LOOKS = 2  # quiet twice in a row: between two looks nothing was in flight unseen


class NotSettled(StateConflict):
    """Work was still waiting when the story's patience ended."""

    code = "demo.not_settled"


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs while the story is told."""

    app: App
    org: LocalOrg
    clock: MovableClock
    address: str
    folder: Path

    def move_to(self, instant: datetime) -> None:
        """Move the business clock on; a story told again never moves it back."""
        if instant > self.clock.now():
            # Written before it is used: work done at an instant is never redone at an earlier one.
            scratch = self.folder / "clock.new"
            scratch.write_text(instant.isoformat())
            scratch.replace(self.folder / "clock")
            self.clock.move_to(instant)

    def settle(self) -> None:
        """Wait until every message, intent, task and push that is due has been dealt with.

        Raises:
            NotSettled: Something kept waiting; the error says what.
        """
        deadline_s = monotonic_s() + SETTLE_TIMEOUT_S
        quiet, pause_s = 0, SETTLE_POLL_S
        while quiet < QUIET_LOOKS:
            if self._is_quiet():
                quiet += 1
                continue
            quiet = 0
            if monotonic_s() > deadline_s:
                raise NotSettled(
                    f"Still waiting after {SETTLE_TIMEOUT_S} s: {self._waiting()}.",
                    remedy="See what is stuck: l2c sync status.",
                )
            time.sleep(pause_s)
            pause_s = min(1.5 * pause_s, SETTLE_POLL_S_MAX)

    def _is_quiet(self) -> bool:
        # The cheapest questions first: while jobs run, nobody needs the other answers.
        # Upstream before downstream: what moves on between two questions is seen by the second.
        return (
            idle(self.app.queue)
            and not self.org.messages_waiting()
            and not any(self.app.work_waiting().values())
        )

    def _waiting(self) -> dict[str, int]:
        found = {"messages of the org": self.org.messages_waiting()} | self.app.work_waiting()
        return {what: count for what, count in found.items() if count}

    def post_payment(self, notice: dict[str, Any]) -> None:
        """Deliver a payment notice as a gateway does: signed, over HTTP."""
        body = orjson.dumps(notice)
        signed_at = int(self.app.wall_clock.now().timestamp())
        secret = self.app.settings.webhooks.payment_secret.get_secret_value()
        signature = hmac.new(
            secret.encode(), f"{signed_at}.".encode() + body, hashlib.sha256
        ).hexdigest()
        with requests.Session() as http:
            http.trust_env = False
            answer = http.post(
                f"{self.address}/webhooks/payments",
                data=body,
                headers={
                    "Content-Type": "application/json",
                    "L2C-Signature": f"t={signed_at},v1={signature}",
                },
                timeout=30,
            )
        answer.raise_for_status()


@contextmanager
def set_stage(folder: Path) -> Iterator[Stage]:
    """Start store, org, webhooks and worker in the folder, and end them all afterwards."""
    make_folder(folder)
    clock = MovableClock(_clock_of(folder))
    org = LocalOrg.start(folder / "org.sqlite")
    try:
        app = App.open(_settings(folder, org), clock=clock)
        try:
            server = WebServer(app)
            address = server.start()
            try:
                org.send_messages_to(address)
                app.start_background()
                yield Stage(app=app, org=org, clock=clock, address=address, folder=folder)
            finally:
                server.stop()
        finally:
            app.close()
    finally:
        org.stop()


def _clock_of(folder: Path) -> datetime:
    kept = folder / "clock"
    return datetime.fromisoformat(kept.read_text()) if kept.exists() else STORY_BEGINS


def _settings(folder: Path, org: LocalOrg) -> Settings:
    """Write the demo's config.yaml and read it, so that other commands can use it too."""
    config = folder / CONFIG
    sections: dict[str, dict[str, Any]] = {
        "store": {"data_dir": ".", "durable": False},
        "salesforce": {
            "login_url": org.base_url,
            "client_id": org.client_id,
            "client_secret": org.client_secret,
            "organization_id": org.organization_id,
        },
        "web": {"host": "127.0.0.1", "port": 0},
        "webhooks": {"payment_secret": secrets.token_hex(16)},
        # The story says when a month is rated and billed, and what else happens once a day.
        "jobs": {"schedules": dict.fromkeys(TOLD_BY_THE_STORY, "off")},
    }
    config.touch(mode=0o600)  # it holds secrets, if only those of a demo
    config.write_text(yaml.safe_dump(sections, sort_keys=False))
    # What the environment says about another installation must not lead the demo there.
    return load_settings(config, overrides={**sections, "store": {"url": None, "durable": False}})
