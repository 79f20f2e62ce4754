"""The commands of usage and catalogue, as a person or a script calls them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from usage_world import CATALOG, NOW, World

from connector.bootstrap import App
from connector.cli.catalog import catalog
from connector.cli.usage import usage
from connector.config import Settings
from connector.errors import ConnectorError
from connector.kernel.clock import MovableClock
from connector.mediation.feeds import shipped_feeds

NUMBER = "+4930111000"


class OpenSession:
    """A session whose application is open already, on a clock that stands still."""

    def __init__(self, app: App) -> None:
        self._app = app

    @property
    def settings(self) -> Settings:
        return self._app.settings

    def app(self) -> App:
        return self._app


class Shell:
    """Runs commands and reads what they print."""

    def __init__(self, app: App) -> None:
        self._session = OpenSession(app)

    def run(self, group: click.Group, *arguments: object) -> Result:
        return CliRunner().invoke(
            group,
            [str(one) for one in arguments],
            obj=self._session,
            standalone_mode=False,
            catch_exceptions=False,
        )

    def json(self, group: click.Group, *arguments: object) -> Any:
        return json.loads(self.run(group, *arguments, "--json").stdout.splitlines()[-1])


@pytest.fixture
def shell(world: World) -> Iterator[Shell]:
    with shell_with(Settings(), world) as opened:
        yield opened


@contextmanager
def shell_with(settings: Settings, world: World) -> Iterator[Shell]:
    with App(settings=settings, store=world.store, clock=MovableClock(NOW)) as app:
        app.lake = world.lake
        yield Shell(app)


@pytest.fixture
def calls(world: World) -> Path:
    world.add_service(product_key="sip-trunk", kind="number", alias=NUMBER)
    return world.calls(
        [
            ("a", NUMBER, "+4915112345678", "2026-06-10 12:00:00", 61),
            ("b", NUMBER, "+4915112345678", "2026-06-31 12:00:00", 61),
        ]
    )


def test_import_rate_and_summary_tell_one_story(shell: Shell, calls: Path) -> None:
    imported = shell.json(usage, "import", calls, "--feed", "cdr")
    (rated,) = shell.json(usage, "rate")["months"]
    (summary,) = shell.json(usage, "summary", "--month", "2026-06")
    waiting = shell.json(usage, "suspense")

    assert (imported["lines_read"], imported["accepted"], imported["suspense"]) == (2, 1, 1)
    assert (rated["records"], rated["unrated"], rated["summaries"]) == (1, 0, 1)
    assert summary["rated_amount"] == "0.090483333"
    assert summary["derivation"]["parts"][0]["sell"] == "5429"
    assert [line["line_no"] for line in waiting["lines"]] == [3]


def test_texts_are_for_people(shell: Shell, calls: Path) -> None:
    imported = shell.run(usage, "import", calls, "--feed", "cdr")
    rated = shell.run(usage, "rate", "--month", "2026-06")
    again = shell.run(usage, "rate", "--month", "2026-06")
    summary = shell.run(usage, "summary", "--month", "2026-06")
    waiting = shell.run(usage, "suspense")

    assert "2 lines read, 1 accepted, 0 duplicate, 1 in suspense." in imported.stdout
    assert "June 2026 rated: 1 records, 1 summaries, 0 unrated" in rated.stdout
    assert "June 2026 was up to date" in again.stdout
    assert "mobile" in summary.stdout
    assert "The time is missing or not written as the feed says." in waiting.stdout


def test_rate_without_a_month_takes_those_with_new_usage(shell: Shell, calls: Path) -> None:
    shell.run(usage, "import", calls, "--feed", "cdr")

    first = shell.json(usage, "rate")["months"]
    second = shell.run(usage, "rate")

    assert [month["period_start"] for month in first] == ["2026-06-01"]
    assert "No month has usage that is not rated." in second.stdout


def test_records_show_the_evidence_of_a_line(shell: Shell, calls: Path) -> None:
    shell.run(usage, "import", calls, "--feed", "cdr")
    shell.run(usage, "rate")

    (record,) = shell.json(usage, "records", "S1", "--month", "2026-06", "--class", "mobile")

    assert (record["prefix"], record["charged"], record["line_no"]) == ("4915", "61.00", 2)
    assert record["amount"] == "0.090483333"
    assert shell.json(usage, "records", "S1", "--month", "2026-06", "--class", "national") == []
    assert "4915112345678" in shell.run(usage, "records", "S1", "--month", "2026-06").stdout
    (day,) = shell.json(usage, "days", "S1", "--month", "2026-06")
    assert (day["records"], day["amount_so_far"]) == (1, record["amount"])
    assert "Amount so far" in shell.run(usage, "days", "S1", "--month", "2026-06").stdout


def test_import_twice_says_when_it_was_loaded(shell: Shell, calls: Path) -> None:
    shell.run(usage, "import", calls, "--feed", "cdr")

    with pytest.raises(ConnectorError, match="was loaded on 2026-07-02"):
        shell.run(usage, "import", calls, "--feed", "cdr")


def test_try_prices_a_call_and_says_why(shell: Shell) -> None:
    tried = shell.json(
        usage, "try", "--to", "+44 20 7946 0000", "--seconds", 61, "--plan", "trunk-flex"
    )

    assert tried["prefix"] == "44"
    assert tried["charged_s"] == 120
    assert tried["price"] == "0.108"
    assert tried["rounded"] == "0.11"
    assert tried["rule"] == "0.029 per 60 s, at least 60 s, every started 60 s, connection 0.050"


def test_try_names_the_known_plans(shell: Shell) -> None:
    with pytest.raises(ConnectorError, match="Known plans: cloud-payg, trunk-flex"):
        shell.run(usage, "try", "--to", "49", "--seconds", 61, "--plan", "trunk")


def test_replay_says_what_still_waits(shell: Shell, calls: Path) -> None:
    shell.run(usage, "import", calls, "--feed", "cdr")

    replayed = shell.json(usage, "replay", "--feed", "cdr")

    assert (replayed["lines"], replayed["still_waiting"]) == (1, 1)


def test_feeds_are_listed(shell: Shell) -> None:
    assert {feed["feed"] for feed in shell.json(usage, "feeds")} >= {"cdr", "cloud"}


def test_feeds_of_the_operators_own_folder_go_before_those_that_came(
    world: World, calls: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own" / "feeds"
    own.mkdir(parents=True)
    shipped = (shipped_feeds() / "cdr.yaml").read_text()
    (own / "ours.yaml").write_text(shipped.replace("feed: cdr", "feed: ours"))
    settings = Settings.model_validate({"sync": {"mappings_dir": own.parent}})

    with shell_with(settings, world) as shell:
        listed = shell.json(usage, "feeds")
        imported = shell.json(usage, "import", calls, "--feed", "ours")

    assert [feed["feed"] for feed in listed] == ["ours"]
    assert imported["lines_read"] == 2


def test_catalogue_is_checked_and_loaded(shell: Shell) -> None:
    checked = shell.json(catalog, "check", CATALOG)
    differing = shell.json(catalog, "diff", CATALOG)
    again = shell.json(catalog, "load", CATALOG)

    assert (checked["products"], checked["rates"]) == (4, 7)
    assert (checked["findings"], differing) == ([], {"differences": []})
    assert again["was_loaded_before"] is True
    assert "nothing changed" in shell.run(catalog, "load", CATALOG).stdout
