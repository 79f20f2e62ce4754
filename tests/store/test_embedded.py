"""The embedded server outlives killed owners, killed servers, crowds and other users."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from connector.errors import Misconfigured
from connector.store.embedded import EmbeddedPostgres
from connector.store.embedded_runner import can_reach, programs, server_user

# A user of the store that says when it is in, and goes when its input ends.
_USER = """
import os
import subprocess
import sys
from pathlib import Path
import psycopg
from connector.store.embedded import EmbeddedPostgres
data_dir, uid = Path(sys.argv[1]), int(sys.argv[2])
if uid != os.geteuid():  # stepped down here: the interpreter may lie where only root can reach it
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
with EmbeddedPostgres.start(data_dir, durable=False) as store:
    with psycopg.connect(store.url.replace("+psycopg", "")) as connection:
        pid = connection.execute("SELECT pg_postmaster_start_time()::text").fetchone()[0]
    print(f"in|{store.sole_user}|{pid}", flush=True)
    sys.stdin.read()
"""

# Another account of the machine, that found the socket.
_STRANGER = """
import os
import sys
import psycopg
os.setgroups([])
os.setgid(1)
os.setuid(1)
try:
    psycopg.connect(sys.argv[1])
except psycopg.OperationalError as error:
    print(error)
    sys.exit(1)
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Return a folder every user may pass through, as the server of root has to."""
    with tempfile.TemporaryDirectory(prefix="l2c-store-", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o711)
        yield Path(made) / "store"


class User:
    """Another process that uses the store."""

    def __init__(self, data_dir: Path, *, uid: int | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _USER, str(data_dir), str(os.geteuid() if uid is None else uid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )

    def wait_until_in(self) -> tuple[bool, str]:
        """Return whether it is alone, and since when the server runs."""
        assert self.process.stdout
        assert self.process.stderr
        for line in self.process.stdout:
            if line.startswith("in|"):
                _, alone, since = line.strip().split("|")
                return alone == "True", since
        raise AssertionError(self.process.stderr.read())

    def leave(self) -> None:
        """Let it go in order."""
        self.process.communicate(timeout=30)
        assert self.process.returncode == 0

    def kill(self) -> None:
        """Kill it without a word."""
        self.process.kill()
        self.process.communicate()


def postmaster_pid(data_dir: Path) -> int | None:
    try:
        return int((data_dir / "cluster" / "postmaster.pid").read_text().split()[0])
    except FileNotFoundError:
        return None


def answers(store: EmbeddedPostgres) -> bool:
    with psycopg.connect(store.url.replace("+psycopg", "")) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def test_six_starters_share_one_server_and_the_last_stops_it(data_dir: Path) -> None:
    users = [User(data_dir) for _ in range(6)]

    facts = [user.wait_until_in() for user in users]

    assert len({since for _, since in facts}) == 1
    assert [alone for alone, _ in facts].count(True) == 1
    for user in users[:5]:
        user.leave()
    assert postmaster_pid(data_dir) is not None
    users[5].leave()
    assert postmaster_pid(data_dir) is None


def test_the_next_user_adopts_the_server_of_a_killed_owner_and_stops_it(data_dir: Path) -> None:
    owner = User(data_dir)
    _, since = owner.wait_until_in()

    owner.kill()
    with EmbeddedPostgres.start(data_dir, durable=False) as store:
        assert store.sole_user
        with psycopg.connect(store.url.replace("+psycopg", "")) as connection:
            row = connection.execute("SELECT pg_postmaster_start_time()::text").fetchone()

    assert row == (since,)
    assert postmaster_pid(data_dir) is None


def test_recovers_from_a_killed_server_with_everything_committed(data_dir: Path) -> None:
    first = EmbeddedPostgres.start(data_dir, durable=False)
    with psycopg.connect(first.url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS seven")
    pid = postmaster_pid(data_dir)
    assert pid is not None

    os.kill(pid, signal.SIGKILL)
    with EmbeddedPostgres.start(data_dir, durable=False) as second:
        assert not second.sole_user
        # Who was there before finds the new server at the old address.
        with psycopg.connect(first.url.replace("+psycopg", "")) as connection:
            assert connection.execute("SELECT seven FROM kept").fetchone() == (7,)
    first.close()

    assert postmaster_pid(data_dir) is None


def test_a_recycled_pid_is_not_taken_for_the_server(data_dir: Path) -> None:
    EmbeddedPostgres.start(data_dir, durable=False).close()
    sleeper = subprocess.Popen(["sleep", "60"])
    (data_dir / "cluster" / "postmaster.pid").write_text(
        f"{sleeper.pid}\n{data_dir / 'cluster'}\n1\n5432\n/nowhere\n\n1 1\nready   \n"
    )

    try:
        with EmbeddedPostgres.start(data_dir, durable=False) as store:
            assert answers(store)
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_zombie_is_not_taken_for_the_server(data_dir: Path) -> None:
    EmbeddedPostgres.start(data_dir, durable=False).close()
    zombie = subprocess.Popen(["true"])
    while Path(f"/proc/{zombie.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    (data_dir / "cluster" / "postmaster.pid").write_text(
        f"{zombie.pid}\n{data_dir / 'cluster'}\n1\n5432\n/nowhere\n\n1 1\nready   \n"
    )

    with EmbeddedPostgres.start(data_dir, durable=False) as store:
        assert answers(store)
    zombie.wait()


def test_a_stale_socket_does_not_stop_the_start(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir, durable=False) as store:
        socket_dir = store.socket_dir
    socket_dir.mkdir(mode=0o700)
    os.chown(socket_dir, server_user().uid, server_user().gid)
    (socket_dir / ".s.PGSQL.5432").touch()
    (socket_dir / ".s.PGSQL.5432.lock").write_text("1\n/elsewhere\n1\n5432\n/nowhere\n\n")

    with EmbeddedPostgres.start(data_dir, durable=False) as store:
        assert answers(store)


def test_an_initdb_killed_halfway_is_done_again(data_dir: Path) -> None:
    (data_dir / "fresh-abandoned").mkdir(parents=True)
    data_dir.chmod(0o711)

    with EmbeddedPostgres.start(data_dir, durable=False) as store:
        assert answers(store)

    assert not (data_dir / "fresh-abandoned").exists()


def test_leaves_no_socket_folder_behind(data_dir: Path) -> None:
    with EmbeddedPostgres.start(data_dir, durable=False) as store:
        socket_dir = store.socket_dir
        assert socket_dir.stat().st_mode & 0o077 == 0

    assert not socket_dir.exists()


def test_refuses_the_cluster_of_another_major_version(data_dir: Path) -> None:
    EmbeddedPostgres.start(data_dir, durable=False).close()
    (data_dir / "cluster" / "PG_VERSION").write_text("16\n")

    with pytest.raises(Misconfigured, match="PostgreSQL 16") as refused:
        EmbeddedPostgres.start(data_dir, durable=False)

    assert "l2c db restore" in refused.value.remedy


def test_sorts_and_compares_the_same_whoever_starts_it(data_dir: Path) -> None:
    with (
        EmbeddedPostgres.start(data_dir, durable=False) as store,
        psycopg.connect(store.url.replace("+psycopg", "")) as connection,
    ):
        row = connection.execute(
            "SELECT datlocprovider::text, datlocale, pg_encoding_to_char(encoding)"
            " FROM pg_database WHERE datname = 'postgres'"
        ).fetchone()

    assert row == ("b", "C.UTF-8", "UTF8")


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users")


class TestAsRoot:
    """What only root can show; an ordinary user has nothing to prove here."""

    pytestmark = needs_root

    def test_two_users_run_their_own_servers_at_once(self, data_dir: Path) -> None:
        data_dir.mkdir()
        data_dir.chmod(0o711)
        homes = {uid: data_dir / str(uid) for uid in (server_user().uid, 1)}
        for uid, home in homes.items():
            home.mkdir(mode=0o700)
            os.chown(home, uid, uid)
        users = [User(home, uid=uid) for uid, home in homes.items()]
        users.append(User(data_dir / "root"))

        facts = [user.wait_until_in() for user in users]

        assert [alone for alone, _ in facts] == [True, True, True]
        for user in users:
            user.leave()

    def test_nobody_else_gets_into_the_database(self, data_dir: Path) -> None:
        with EmbeddedPostgres.start(data_dir, durable=False) as store:
            # Even with the doors open, the server asks the kernel who is there.
            store.socket_dir.chmod(0o755)
            (store.socket_dir / ".s.PGSQL.5432").chmod(0o777)
            stranger = subprocess.run(
                [sys.executable, "-c", _STRANGER, store.url.replace("+psycopg", "")],
                capture_output=True, text=True, check=False,
            )  # fmt: skip

        assert stranger.returncode == 1
        assert 'Peer authentication failed for user "postgres"' in stranger.stdout

    def test_a_folder_nobody_can_reach_stays_closed(self, data_dir: Path) -> None:
        closed = data_dir / "closed"
        closed.mkdir(parents=True)
        closed.chmod(0o700)

        for _ in range(2):
            with EmbeddedPostgres.start(closed / "store", durable=False) as store:
                assert answers(store)
        cluster = Path((closed / "store" / "cluster.location").read_text().strip())

        assert closed.stat().st_mode & 0o777 == 0o700
        assert (cluster / "PG_VERSION").exists()
        assert cluster.stat().st_mode & 0o077 == 0
        (closed / "store" / "cluster.location").unlink()
        with EmbeddedPostgres.start(data_dir / "closed" / "other", durable=False):
            assert not cluster.parent.exists()  # nothing led to it any more

    def test_programs_nobody_can_reach_are_copied(
        self, data_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = server_user()
        package = programs(user).parent.parent
        hidden = data_dir / "hidden"
        hidden.mkdir(parents=True)
        for part in (package.name, f"{package.name}.libs"):
            (hidden / part).symlink_to(package.with_name(part))
        hidden.chmod(0o700)
        monkeypatch.setattr(
            "importlib.util.find_spec",
            lambda _: type("Spec", (), {"origin": str(hidden / package.name / "__init__.py")}),
        )

        copied = programs(user)

        assert not copied.is_relative_to(hidden)
        assert can_reach(user, copied / "postgres")
        with EmbeddedPostgres.start(data_dir / "store", durable=False) as store:
            assert answers(store)

    def test_refuses_the_folder_of_another_user(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True)
        os.chown(data_dir, 1, 1)

        with pytest.raises(Misconfigured, match="belongs to user id 1"):
            EmbeddedPostgres.start(data_dir, durable=False)
