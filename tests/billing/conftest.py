import pytest
from billing_world import BillingWorld

from connector.store.engine import Store


@pytest.fixture
def world(store: Store) -> BillingWorld:
    """Return a world with German tax and nothing sold yet."""
    made = BillingWorld(store)
    made.tax("19")
    return made
