"""What every test may ask for: a real PostgreSQL, a real local org, and no way out of here."""

import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from hypothesis import settings
from local_org import Org, local_org
from sqlalchemy import Connection

from connector.store.embedded import EmbeddedPostgres
from connector.store.engine import Store
from connector.store.migrate import upgrade

MEMORY = Path("/dev/shm")
ROOM_BYTES = 2 * 1024**3
_SHARED = "L2C_TEST_SHARED_DIR"  # one server for all workers of a run

settings.register_profile("project", deadline=None, print_blob=True)
settings.register_profile("laws", settings.get_profile("project"), max_examples=10_000)
settings.load_profile("project")


def _in_memory() -> str | None:
    """Return a folder in memory where there is one with room, else None.

    Each test that commits gets a database of its own, hundreds of files: in memory that takes
    25 ms, on a disk 120 to 470.
    """
    has_room = MEMORY.is_dir() and os.access(MEMORY, os.W_OK)
    return str(MEMORY) if has_room and shutil.disk_usage(MEMORY).free > ROOM_BYTES else None


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder all workers of this run share."""
    if not hasattr(config, "workerinput"):
        made = tempfile.mkdtemp(prefix="l2c-tests-", dir=_in_memory())
        Path(made).chmod(0o711)  # root runs the server as `nobody`, which has to pass
        os.environ[_SHARED] = made


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the shared folder once the last worker has left."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(_SHARED), ignore_errors=True)


class OutsideWorldTouched(RuntimeError):
    """A test tried to reach another machine."""


@pytest.fixture(autouse=True, scope="session")
def _stay_on_this_machine() -> Iterator[None]:
    real_connect, real_connect_ex = socket.socket.connect, socket.socket.connect_ex

    def check(sock: socket.socket, address: object) -> None:
        if sock.family in (socket.AF_INET, socket.AF_INET6) and isinstance(address, tuple):
            host = str(address[0])
            if not (host.startswith("127.") or host in ("::1", "localhost", "")):
                raise OutsideWorldTouched(f"A test tried to connect to {host}.")

    def connect(sock: socket.socket, address: object) -> None:
        check(sock, address)
        real_connect(sock, address)  # type: ignore[arg-type]

    def connect_ex(sock: socket.socket, address: object) -> int:
        check(sock, address)
        return real_connect_ex(sock, address)  # type: ignore[arg-type]

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", connect)
    patch.setattr(socket.socket, "connect_ex", connect_ex)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """Return the embedded server all workers of this run share."""
    with EmbeddedPostgres.start(Path(os.environ[_SHARED]) / "postgres", durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    """Return the name of a migrated database to clone."""
    name = "l2c_template"
    with Path(os.environ[_SHARED], "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _admin(postgres) as admin:
            found = admin.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s AND datistemplate", [name]
            ).fetchone()
            if found:
                return name
            admin.execute(f"DROP DATABASE IF EXISTS {name}")  # one that could not be migrated
            admin.execute(f"CREATE DATABASE {name}")
            store = Store(postgres.url_of(name), pool_size=1)
            try:
                upgrade(store)
            finally:
                store.close()  # a template with a connection cannot be cloned
            admin.execute(f"ALTER DATABASE {name} IS_TEMPLATE true")
    return name


@pytest.fixture
def store(postgres: EmbeddedPostgres, template: str) -> Iterator[Store]:
    """Return a migrated database of this test's own."""
    with _clone(postgres, template) as url:
        cloned = Store(url)
        yield cloned
        cloned.close()


@pytest.fixture(scope="session")
def new_store(
    postgres: EmbeddedPostgres, template: str
) -> Callable[[], AbstractContextManager[Store]]:
    """Return what makes a migrated database, for a test that needs several."""

    @contextmanager
    def made() -> Iterator[Store]:
        with _clone(postgres, template) as url:
            cloned = Store(url)
            try:
                yield cloned
            finally:
                cloned.close()

    return made


@pytest.fixture
def empty_store(postgres: EmbeddedPostgres) -> Iterator[Store]:
    """Return an empty database of this test's own."""
    with _clone(postgres, "template0") as url:
        cloned = Store(url)
        yield cloned
        cloned.close()


@pytest.fixture(scope="session")
def shared_store(postgres: EmbeddedPostgres, template: str) -> Iterator[Store]:
    """Return a migrated database for tests that commit nothing."""
    with _clone(postgres, template) as url:
        cloned = Store(url)
        yield cloned
        cloned.close()


@pytest.fixture
def tx(shared_store: Store) -> Iterator[Connection]:
    """Return a transaction that is rolled back after the test."""
    with shared_store.transaction() as tx:
        yield tx
        tx.rollback()


def _admin(postgres: EmbeddedPostgres) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host=str(postgres.socket_dir), user="postgres", dbname="postgres", autocommit=True
    )


@contextmanager
def _clone(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    name = f"test_{uuid4().hex[:16]}"
    with _admin(postgres) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    try:
        yield postgres.url_of(name)
    finally:
        with _admin(postgres) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def org_process() -> Iterator[Org]:
    """Return the running local org of this worker, in whatever state the last test left it."""
    with local_org("--grpc-port", "0") as running:
        yield running


@pytest.fixture
def org(org_process: Org) -> Org:
    """Return the local org, freshly reset."""
    org_process.admin("faults", method="DELETE")
    org_process.admin("reset")
    return org_process
