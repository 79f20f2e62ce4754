"""A store goes into one file and comes back from it, from the command line."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from connector.cli.main import cli
from connector.errors import StateConflict


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="l2c-cli-", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o711)
        monkeypatch.chdir(made)
        monkeypatch.setenv("L2C_STORE__DURABLE", "false")
        yield Path(made)


def l2c(data_dir: str, *words: str) -> Result:
    return CliRunner(env={"L2C_STORE__DATA_DIR": data_dir}).invoke(
        cli, words, catch_exceptions=True
    )


def test_a_store_comes_back_from_its_backup(folder: Path) -> None:
    assert l2c("one", "db", "migrate").exit_code == 0

    written = l2c("one", "db", "backup", "hub.backup", "--json")
    back = l2c("two", "db", "restore", "hub.backup")
    again = l2c("two", "db", "restore", "hub.backup")

    assert written.exit_code == 0, written.output
    said = json.loads(written.stdout.splitlines()[-1])
    assert said["bytes"] == Path("hub.backup").stat().st_size
    assert back.exit_code == 0, back.output
    assert isinstance(again.exception, StateConflict)
