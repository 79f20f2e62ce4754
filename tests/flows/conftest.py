import pytest
from delivery_world import DeliveryWorld

from connector.store.engine import Store


@pytest.fixture
def world(store: Store) -> DeliveryWorld:
    made = DeliveryWorld(store)
    made.open_shop()
    return made
