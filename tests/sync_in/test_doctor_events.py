"""The doctor on change events, through the real application."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from connector.bootstrap import App
from connector.cli.doctor import doctor
from connector.config import load_settings

FREE_PORT = "127.0.0.1:9"  # of the discard service, which nobody runs


@pytest.fixture
def look(store, org, tmp_path: Path) -> Callable[..., dict[str, dict[str, Any]]]:
    """Return what runs the doctor and gives its findings by what was looked at."""

    def run(**pubsub: Any) -> dict[str, dict[str, Any]]:
        config = tmp_path / "config.yaml"
        salesforce = {
            "login_url": org.base_url,
            "client_id": org.client_id,
            "client_secret": org.client_secret,
            "timeout_s": 2,
        }
        settings = {
            "store": {"url": store.url, "data_dir": str(tmp_path)},
            "salesforce": salesforce,
            "pubsub": {"enabled": True, "endpoint": org.pubsub_address} | pubsub,
        }
        config.write_text(yaml.safe_dump(settings))
        with App.open(load_settings(config)) as app:
            session = SimpleNamespace(settings=app.settings, app=lambda: app)
            said = CliRunner().invoke(doctor, ["--json"], obj=session).output
        return {one["what"]: one for one in json.loads(said.splitlines()[-1])["findings"]}

    return run


def test_the_topics_that_can_be_heard_are_named(look) -> None:
    events = look(topics=["/data/AccountChangeEvent"])["events"]

    assert events["ok"]
    assert events["said"] == "/data/AccountChangeEvent can be heard"


def test_a_topic_the_org_does_not_have_is_told_with_a_remedy(look) -> None:
    events = look(topics=["/data/NoSuchChangeEvent"])["events"]

    assert not events["ok"]
    assert "NoSuchChangeEvent" in events["said"]
    assert events["remedy"]


def test_an_endpoint_nobody_answers_at_is_told_and_the_org_is_well(look) -> None:
    findings = look(endpoint=FREE_PORT)

    assert findings["org"]["ok"]
    assert not findings["events"]["ok"]
    assert findings["events"]["remedy"]


def test_who_does_not_listen_is_not_asked(look) -> None:
    assert "events" not in look(enabled=False)
