"""One PostgreSQL server on one cluster folder: made, started, found again, stopped.

The caller holds the exclusive start lock; nothing here is safe without it.
"""

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import structlog
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

from connector.errors import Misconfigured
from connector.store.embedded_runner import (
    PG_MAJOR,
    EmbeddedStoreFailed,
    ServerUser,
    can_reach,
    run_as,
)

log = structlog.get_logger(__name__)

START_TIMEOUT_S = 300  # crash recovery of a large write-ahead log takes its time
STOP_TIMEOUT_S = 60
_POLL_S = 0.05
_PORT = 5432
_LOG_BYTES_MAX = 10 * 1024 * 1024  # looked at when the server starts
_SOCKET_PATH_BYTES_MAX = 100  # the kernel's limit is 107 on Linux, 103 on macOS

_SETTINGS = """\
# Written at every start; changes made here are lost.
data_directory = '{cluster}'
hba_file = '{folder}/hba.conf'
ident_file = '{folder}/ident.conf'
listen_addresses = ''
port = {port}
unix_socket_directories = '{socket_dir}'
unix_socket_permissions = 0700
max_connections = 60
shared_buffers = 64MB
work_mem = 8MB
maintenance_work_mem = 64MB
max_wal_size = 1GB
wal_level = minimal
jit = off
max_wal_senders = 0
timezone = 'UTC'
log_timezone = 'UTC'
log_min_messages = warning
logging_collector = off
fsync = {durable}
full_page_writes = {durable}
"""
# Statements are short and many: compiling one costs more than it saves.
# synchronous_commit stays on even without fsync: a killed server then loses nothing it confirmed,
# and without fsync the wait costs microseconds.


class _State(StrEnum):
    ABSENT = "absent"
    READY = "ready"
    CHANGING = "changing"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Server:
    """The server of one cluster folder."""

    programs: Path
    cluster: Path
    user: ServerUser

    def ensure_running(self, *, durable: bool) -> Path:
        """Make the cluster if it is missing, start or adopt its server, return its socket folder.

        Raises:
            EmbeddedStoreFailed: It is not up within five minutes.
            Misconfigured: The cluster was made by another major version of PostgreSQL.
        """
        if not (self.cluster / "PG_VERSION").exists():
            self._initialise(durable=durable)
        self._check_version()
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            match self._state():
                case _State.READY if self._answers():
                    return self._socket_dir()
                case _State.READY | _State.CHANGING:
                    time.sleep(_POLL_S)
                case _State.DEAD:
                    self._forget_dead_postmaster()
                case _State.ABSENT:
                    self._start(durable=durable, deadline=deadline)
        raise EmbeddedStoreFailed(f"The embedded PostgreSQL is not up: {self._log_tail()}")

    def stop(self) -> None:
        """Stop the server; a server that is not there is fine."""
        if self._state() not in (_State.ABSENT, _State.DEAD):
            done = self._ctl("stop", "-m", "fast", "-w", "-t", str(STOP_TIMEOUT_S))
            if done.returncode != 0 and self._state() is not _State.ABSENT:
                self._ctl("stop", "-m", "immediate", "-w", "-t", str(STOP_TIMEOUT_S))
        shutil.rmtree(self._socket_dir(), ignore_errors=True)

    def _initialise(self, *, durable: bool) -> None:
        parent = self.cluster.parent
        for leftover in parent.glob("fresh-*"):
            shutil.rmtree(leftover)
        # Made aside and renamed: an initdb killed halfway is never taken for a cluster.
        fresh = Path(tempfile.mkdtemp(prefix="fresh-", dir=parent))
        os.chown(fresh, self.user.uid, self.user.gid)
        done = run_as(
            self.user,
            [
                self.programs / "initdb",
                *("-D", fresh, "--username=postgres", "--encoding=UTF8", "--auth=peer"),
                *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"),
                *([] if durable else ["--no-sync"]),
            ],
            timeout_s=START_TIMEOUT_S,
        )
        if done.returncode != 0:
            shutil.rmtree(fresh)
            raise EmbeddedStoreFailed(f"initdb failed: {done.stdout.strip()[-2000:]}")
        fresh.rename(self.cluster)
        log.info("store.cluster_made", cluster=str(self.cluster))

    def _check_version(self) -> None:
        found = (self.cluster / "PG_VERSION").read_text().strip()
        if found != str(PG_MAJOR):
            raise Misconfigured(
                f"The store in {self.cluster} was made by PostgreSQL {found}, "
                f"this release brings PostgreSQL {PG_MAJOR}.",
                remedy="Run `l2c db backup` with the release that made it, "
                "then `l2c db restore` with this one.",
            )

    def _start(self, *, durable: bool, deadline: float) -> None:
        socket_dir = self._socket_dir()
        for leftover in socket_dir.glob(".s.PGSQL.*"):
            leftover.unlink()
        settings = self._write("postgresql.conf", self._settings(socket_dir, durable=durable))
        # Only the server's own user and root get in, whoever else can see the socket.
        self._write("hba.conf", "local all all peer map=l2c\n")
        names = dict.fromkeys(("root" if self.user.switched else self.user.name, self.user.name))
        self._write("ident.conf", "".join(f'l2c "{name}" postgres\n' for name in names))
        self._drop_long_log()
        left_s = max(1, int(deadline - time.monotonic()))
        words = ("start", "-w", "-t", str(left_s), "-l", str(self.cluster / "server.log"))
        options = shlex.join(["-c", f"config_file={settings}"])
        done = self._ctl(*words, "-o", options, timeout_s=left_s + 5)
        if done.returncode == 0:
            log.info("store.server_started", cluster=str(self.cluster), durable=durable)
            return
        if "shared memory block" in self._log_tail():
            time.sleep(_POLL_S)  # the children of a killed server are still leaving
            return
        raise EmbeddedStoreFailed(
            f"The embedded PostgreSQL does not start: {done.stdout.strip()} {self._log_tail()}"
        )

    def _ctl(
        self, *words: str, timeout_s: int = STOP_TIMEOUT_S + 5
    ) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [self.programs / "pg_ctl", "-D", self.cluster, *words]
        return run_as(self.user, command, timeout_s=timeout_s)

    def _write(self, name: str, text: str) -> Path:
        # Beside the cluster, not in it: the cluster belongs to the server's user.
        target = self.cluster.parent / name
        target.write_text(text, encoding="utf-8")
        target.chmod(0o644)
        return target

    def _settings(self, socket_dir: Path, *, durable: bool) -> str:
        return _SETTINGS.format(
            port=_PORT,
            socket_dir=_quoted(socket_dir),
            cluster=_quoted(self.cluster),
            folder=_quoted(self.cluster.parent),
            durable="on" if durable else "off",
        )

    def _pid_file(self) -> list[str]:
        try:
            return (self.cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _state(self) -> _State:
        lines = self._pid_file()
        if not lines or not lines[0].strip().isdigit():
            return _State.CHANGING if lines else _State.ABSENT
        pid = int(lines[0])
        if not _is_postmaster(pid, self.cluster):
            return _State.DEAD
        # Line 8 is the postmaster's own word: starting, ready, stopping.
        ready = len(lines) > 7 and lines[7].strip() == "ready"
        return _State.READY if ready else _State.CHANGING

    def _answers(self) -> bool:
        # A server that is just being killed still looks ready for a moment.
        conninfo = make_conninfo(host=str(self._socket_dir()), port=_PORT, connect_timeout=10)
        return PGconn.ping(conninfo.encode()) == Ping.OK

    def _forget_dead_postmaster(self) -> None:
        """Remove what a killed server left: its pid may be a zombie's or somebody else's by now."""
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)
        log.warning("store.dead_server_forgotten", cluster=str(self.cluster))

    def _socket_dir(self) -> Path:
        """Return the server's private folder with a short path, made if it is missing.

        It stays the same over a crash, so that a user who is still there finds the new server.
        """
        note = self.cluster.parent / "socket.location"
        if note.exists():
            known = Path(note.read_text().strip())
            if known.is_dir() and not known.is_symlink() and known.stat().st_uid == self.user.uid:
                return known
        for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108
            if len(os.fsencode(parent)) + len("/l2c-xxxxxxxx/.s.PGSQL.5432.lock") > (
                _SOCKET_PATH_BYTES_MAX
            ):
                continue
            made = Path(tempfile.mkdtemp(prefix="l2c-", dir=parent))
            os.chown(made, self.user.uid, self.user.gid)
            if not can_reach(self.user, made):
                made.rmdir()
                continue
            self._write(note.name, f"{made}\n")
            return made
        raise Misconfigured(
            f"No socket fits below {tempfile.gettempdir()} or /tmp.",
            remedy="Set TMPDIR to a folder with a short path that every user may pass through.",
        )

    def _drop_long_log(self) -> None:
        server_log = self.cluster / "server.log"
        if server_log.exists() and server_log.stat().st_size > _LOG_BYTES_MAX:
            server_log.unlink()

    def _log_tail(self) -> str:
        try:
            return (self.cluster / "server.log").read_text(errors="replace")[-1500:].strip()
        except FileNotFoundError:
            return ""


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _is_postmaster(pid: int, cluster: Path) -> bool:
    """Return whether the process lives and is the server of this cluster.

    A zombie (its parent does not reap) and a recycled pid both answer to signal 0.
    """
    try:
        os.kill(pid, signal.SIG_DFL)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # another user's process, so not the server of our cluster
    if Path("/proc/self/stat").exists():
        return _proc_says_postmaster(pid, cluster)
    words = subprocess.run(  # noqa: S603
        ["/bin/ps", "-o", "state=,command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    ).stdout.strip()
    return bool(words) and not words.startswith("Z") and str(cluster) in words


def _proc_says_postmaster(pid: int, cluster: Path) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state in ("Z", "X"):
            return False
        # The postmaster works in its data folder, nobody else of its user has a reason to.
        return Path(f"/proc/{pid}/cwd").samefile(cluster)
    except FileNotFoundError:
        return False
    except PermissionError:
        return "postgres" in Path(f"/proc/{pid}/comm").read_text()
