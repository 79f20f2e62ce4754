"""The embedded PostgreSQL: shared by the processes that use a data folder, stopped by the last.

Every user holds a shared `flock` for its life; the kernel drops it when a process dies, however it
dies, so nobody has to count. Who starts or stops holds a second lock exclusively.
"""

import fcntl
import os
import secrets
import shutil
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from connector.errors import Misconfigured
from connector.store.embedded_runner import (
    EmbeddedStoreFailed,
    ServerUser,
    can_reach,
    programs,
    root_home,
    server_user,
)
from connector.store.embedded_server import START_TIMEOUT_S, Server

_POLL_S = 0.02
_DATABASE = "postgres"


class EmbeddedPostgres:
    """A running embedded server and this process's share in it."""

    def __init__(self, *, server: Server, socket_dir: Path, users_fd: int, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._users_fd: int | None = users_fd
        self._closing = threading.Lock()
        self.sole_user = False
        self.socket_dir = socket_dir
        self.url = self.url_of(_DATABASE)

    @classmethod
    def start(cls, data_dir: Path, *, durable: bool = True) -> Self:
        """Start the server of a data folder, or join the one that runs.

        The folder belongs to the embedded store alone and is made if missing. `durable=False` skips
        fsync: a killed process or server still loses nothing, a power cut may lose everything.
        Root runs the server as `nobody`; where `nobody` cannot reach the folder, the cluster lies
        below /var/lib/l2c-connector and the folder remembers where.

        Raises:
            Misconfigured: The programs are missing, the folder is another user's, or the cluster is
                of another PostgreSQL version.
            EmbeddedStoreFailed: The server does not come up.
        """
        folder = _own_folder(data_dir)
        user = server_user()
        with _Exclusive(folder / "start.lock"):
            users_fd = os.open(folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                alone = _try_lock(users_fd, fcntl.LOCK_EX)
                fcntl.flock(users_fd, fcntl.LOCK_SH)
                server = Server(
                    programs=programs(user), cluster=_cluster_folder(folder, user), user=user
                )
                socket_dir = server.ensure_running(durable=durable)
            except BaseException:
                os.close(users_fd)
                raise
        started = cls(server=server, socket_dir=socket_dir, users_fd=users_fd, folder=folder)
        started.sole_user = alone
        return started

    def url_of(self, database: str) -> str:
        """Return the SQLAlchemy address of one database of this server."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.socket_dir}"

    def close(self) -> None:
        """Give up this share; the last one stops the server. A second call does nothing."""
        with self._closing:
            users_fd, self._users_fd = self._users_fd, None
        if users_fd is None:
            return
        with _Exclusive(self._folder / "start.lock"):
            try:
                if _try_lock(users_fd, fcntl.LOCK_EX):
                    self._server.stop()
            finally:
                os.close(users_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Exclusive:
    """Holds a lock file while somebody starts or stops the server."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> None:
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _try_lock(self._fd, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                os.close(self._fd)
                raise EmbeddedStoreFailed(
                    f"Another process has been starting or stopping the store in "
                    f"{self._path.parent} for {START_TIMEOUT_S} seconds."
                )
            time.sleep(_POLL_S)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._fd)


def _try_lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _own_folder(data_dir: Path) -> Path:
    """Return the folder, made if missing.

    Raises:
        Misconfigured: It belongs to somebody else.
    """
    try:
        data_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        folder = data_dir.resolve(strict=True)
        owner = folder.stat().st_uid
    except OSError as error:
        raise Misconfigured(
            f"The store cannot use {data_dir}: {error.strerror}.",
            remedy="Name a folder of your own in store.data_dir.",
        ) from error
    if owner != os.geteuid():
        raise Misconfigured(
            f"The store folder {folder} belongs to user id {owner}, not to you ({os.geteuid()}).",
            remedy="Name a folder of your own in store.data_dir.",
        )
    return folder


def _cluster_folder(folder: Path, user: ServerUser) -> Path:
    """Return where the cluster lies: in the folder, or where the server's user can reach it."""
    here = folder / "cluster"
    if can_reach(user, folder):
        return here
    note = folder / "cluster.location"
    if note.exists():
        return Path(note.read_text().strip())
    homes = root_home() / "clusters"
    homes.mkdir(mode=0o755, exist_ok=True)
    _forget_orphans(homes)
    home = homes / secrets.token_hex(8)
    home.mkdir(mode=0o711)
    (home / "used-by").write_text(f"{note}\n")
    note.write_text(f"{home / 'cluster'}\n")
    return home / "cluster"


def _forget_orphans(homes: Path) -> None:
    """Delete clusters whose data folder is gone: nothing leads to them any more."""
    for home in homes.iterdir():
        try:
            note = Path((home / "used-by").read_text().strip())
        except OSError:
            continue
        if note.exists() and note.read_text().strip() == str(home / "cluster"):
            continue
        if not (home / "cluster" / "postmaster.pid").exists():
            shutil.rmtree(home, ignore_errors=True)
