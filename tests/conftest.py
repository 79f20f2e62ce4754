"""What every test may ask for: a real PostgreSQL, a real local org, and no way out of here."""

import gc
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from databases import clone, drop, migrated_template
from hypothesis import settings
from local_org import Org, local_org
from spare_stores import SpareStores
from sqlalchemy import Connection

from connector.store.embedded import EmbeddedPostgres
from connector.store.engine import Store

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


def pytest_collection_finish() -> None:
    """Take what collecting left for good out of the garbage collector's rounds.

    Thousands of tests, their modules and syntax trees live as long as the run; looking through
    them again and again took a tenth of its processor time. What comes after is looked through
    less often: a run has memory enough.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


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
    return migrated_template(postgres, Path(os.environ[_SHARED]))


@pytest.fixture(scope="session")
def spare_stores(postgres: EmbeddedPostgres, template: str) -> Iterator[SpareStores]:
    """Return where the tests of this worker borrow their databases."""
    spares = SpareStores(postgres, template)
    yield spares
    spares.close()


@pytest.fixture
def store(spare_stores: SpareStores) -> Iterator[Store]:
    """Return a migrated database nobody else uses."""
    with spare_stores.lend() as lent:
        yield lent


@pytest.fixture(scope="session")
def new_store(spare_stores: SpareStores) -> Callable[[], AbstractContextManager[Store]]:
    """Return what lends a migrated database, for a test that needs several."""
    return spare_stores.lend


@pytest.fixture
def empty_store(postgres: EmbeddedPostgres) -> Iterator[Store]:
    """Return an empty database of this test's own."""
    yield from _cloned(postgres, "template0")


@pytest.fixture(scope="session")
def shared_store(postgres: EmbeddedPostgres, template: str) -> Iterator[Store]:
    """Return a migrated database for tests that commit nothing."""
    yield from _cloned(postgres, template)


def _cloned(postgres: EmbeddedPostgres, template: str) -> Iterator[Store]:
    name = clone(postgres, template)
    made = Store(postgres.url_of(name))
    try:
        yield made
    finally:
        made.close()
        drop(postgres, name)


@pytest.fixture
def tx(shared_store: Store) -> Iterator[Connection]:
    """Return a transaction that is rolled back after the test."""
    with shared_store.transaction() as tx:
        yield tx
        tx.rollback()


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
