from collections.abc import Iterator

import pytest
from billing_world import BillingWorld
from tax_rates import Rates, serving

from connector.store.engine import Store


@pytest.fixture
def world(store: Store) -> BillingWorld:
    """Return a world with German tax and nothing sold yet."""
    made = BillingWorld(store)
    made.tax("19")
    return made


@pytest.fixture
def rates() -> Iterator[Rates]:
    """Return a tax provider that is asked over HTTP."""
    with serving() as made:
        yield made
