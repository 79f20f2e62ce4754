"""The world of usage, with nothing imported yet."""

from pathlib import Path

import pytest
from usage_world import World

from connector.store.engine import Store
from connector.store.lake import Lake


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    made = World(store=store, lake=Lake(tmp_path / "lake"), folder=tmp_path)
    made.load_catalog()
    return made
