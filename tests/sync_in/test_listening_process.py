"""A worker process that listens, is killed between hearing and storing, and starts again."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from sync_in.events_world import ACCOUNTS, wait_until

WAITS_FOR_THE_INBOX = """
    SELECT count(*) AS waiting FROM pg_locks
     WHERE relation = 'inbox'::regclass AND NOT granted
"""


class WorkerProcess:
    """`l2c worker` on the store and the org of the test."""

    def __init__(self, config: Path) -> None:
        self._command = [
            sys.executable, "-c", "from connector.cli.main import main; main()",
            "--config", str(config), "worker",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)

    def end(self, sign: signal.Signals) -> int | None:
        if self._process is None:
            return None
        self._process.send_signal(sign)
        code, self._process = self._process.wait(30), None
        return code


@pytest.fixture
def process(store, org, tmp_path) -> Iterator[WorkerProcess]:
    settings = {
        "store": {"url": store.url, "data_dir": str(tmp_path)},
        "salesforce": {
            "login_url": org.base_url,
            "client_id": org.client_id,
            "client_secret": org.client_secret,
        },
        "pubsub": {"enabled": True, "endpoint": org.pubsub_address},
    }
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(settings))
    process = WorkerProcess(config)
    yield process
    process.end(signal.SIGKILL)


def test_killed_between_hearing_and_storing_it_loses_and_doubles_nothing(
    process, events, way_in, user
) -> None:
    process.start()
    wait_until(lambda: connected(events) == 5, what="all topics are heard")
    with way_in.store.transaction() as tx:
        tx.exec_driver_sql("LOCK TABLE inbox IN SHARE MODE")  # nothing can be stored
        account = user.create("Account", Name="Acme")
        wait_until(
            lambda: way_in.rows(WAITS_FOR_THE_INBOX)[0]["waiting"], what="the event is heard"
        )
        process.end(signal.SIGKILL)
    assert events.hints() == []

    process.start()
    events.wait_for(lambda: way_in.rows("SELECT sfid FROM account"), "the hub has the account")

    assert way_in.rows("SELECT sfid, name FROM account") == [{"sfid": account, "name": "Acme"}]
    assert [hint for hint in events.hints() if hint[0] == "CREATE"] == [("CREATE", account)]

    # Asked to end, it ends at once and leaves word that nobody listens.
    assert process.end(signal.SIGTERM) == 0
    assert connected(events) == 0
    assert events.place(ACCOUNTS) is not None


def connected(events) -> int:
    """Count the topics that are heard and have a place."""
    return sum(one.is_connected and one.replay_id is not None for one in events.standings())
