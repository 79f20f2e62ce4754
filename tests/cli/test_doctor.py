"""The doctor on what decides money: policies and taxes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from connector.bootstrap import App
from connector.cli.doctor import doctor
from connector.config import Settings
from connector.resources import mappings_dir
from connector.store.engine import Store

Look = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture
def look(store: Store) -> Look:
    """Return what runs the doctor under settings and gives its findings by what was looked at."""

    def run(**settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
        with App(settings=Settings.model_validate(settings), store=store) as app:
            session = SimpleNamespace(settings=app.settings, app=lambda: app)
            said = CliRunner().invoke(doctor, ["--json"], obj=session).output
        return {one["what"]: one for one in json.loads(said.splitlines()[-1])["findings"]}

    return run


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return an operator's own folder of mapping files."""
    return shutil.copytree(mappings_dir(), tmp_path / "mappings")


def test_policies_are_named_and_taxes_say_where_they_come_from(look: Look) -> None:
    findings = look()

    assert findings["policies"]["said"].split(", ")[-2:] == ["proration", "wholesale"]
    assert findings["taxes"]["said"] == "the catalogue's table"


def test_a_provider_of_taxes_without_an_address_is_told(look: Look) -> None:
    taxes = look(billing={"tax_source": "http"})["taxes"]

    assert not taxes["ok"]
    assert "billing.tax_url" in taxes["remedy"]


@pytest.mark.parametrize("file", ["delivery", "number_ranges", "proration", "wholesale"])
def test_a_policy_that_is_not_understood_is_told(look: Look, own: Path, file: str) -> None:
    (own / "policies" / f"{file}.yaml").write_text("nonsense: 1\n")

    policies = look(sync={"mappings_dir": own})["policies"]

    assert not policies["ok"]
    assert "nonsense" in policies["said"] or file in policies["said"]
    assert policies["remedy"]
