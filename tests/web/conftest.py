from collections.abc import Iterator

import pytest
from console_world import ConsoleWorld, Door, Visitor

from connector.store.engine import Store


@pytest.fixture
def world(store: Store) -> ConsoleWorld:
    """Return a world with German tax and nothing sold yet."""
    made = ConsoleWorld(store)
    made.tax("19")
    return made


@pytest.fixture
def visitor(store: Store) -> Iterator[Visitor]:
    """Return a person on this machine, looking at a console without a token."""
    door = Door(store)
    yield door.visitor()
    door.close()
