"""The collector of garbage is not called for batches of rows that are still needed."""

import gc

import pytest

from connector.cli.main import YOUNG_OBJECTS, main


def test_a_command_lets_whole_batches_be_made_before_garbage_is_looked_for():
    before = gc.get_threshold()
    try:
        with pytest.raises(SystemExit):
            main(["--version"])

        assert gc.get_threshold() == (YOUNG_OBJECTS, *before[1:])
    finally:
        gc.set_threshold(*before)
