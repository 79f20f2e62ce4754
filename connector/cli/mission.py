"""`l2c mission`: what the connector promises, row by row, and the run that shows it.

Works in a checkout: the page docs/mission.md names for each row the test or the scenario.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click

from connector.cli.price_file import asked_prices, is_price_file
from connector.cli.printing import print_json, table
from connector.cli.simulate import simulate
from connector.errors import InvalidInput, Misconfigured

PAGE = Path("docs", "mission.md")
RUN_LIMIT_S = 900
_ROW = re.compile(r"^\| ([A-HP]\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
_CLAIM = re.compile(r"`([^`]+)`")


class NoSuchRow(InvalidInput):
    """The page says of no such row that it is shown."""

    code = "mission.no_row"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the page: what is promised, how far it is true, and what shows it."""

    name: str
    what: str
    state: str
    claims: tuple[str, ...]  # tests (`file::name`), scenario files and files of prices


def read_rows(page: str) -> dict[str, Row]:
    """Return the rows of a page that name a test or a scenario."""
    return {
        name: Row(name, what.strip(), state.strip(), tuple(_CLAIM.findall(told)))
        for name, what, state, told in _ROW.findall(page)
    }


@click.group()
def mission() -> None:
    """What the connector does, and the test that shows it (in a checkout)."""


@mission.command("list")
@click.argument("group", required=False, type=click.Choice(list("ABCDEFGHP")))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_rows(*, group: str | None, as_json: bool) -> None:
    """List the rows that are shown, whole or partly; of one GROUP or of all."""
    rows = [row for row in _rows(_checkout()).values() if group in (None, row.name[0])]
    if as_json:
        for row in rows:
            print_json({"row": row.name, "what": row.what, "state": row.state, "by": row.claims})
        return
    click.echo(table(("Row", "What", "State"), [(row.name, row.what, row.state) for row in rows]))


@mission.command("run")
@click.argument("names", metavar="ROW...", nargs=-1, required=True)
def run_rows(*, names: tuple[str, ...]) -> int:
    """Run what shows the rows: scenarios with their input and output, tests with their verdict.

    Exit code 1 when one of them fails.
    """
    checkout = _checkout()
    rows = _rows(checkout)
    for name in names:
        if name not in rows:
            raise NoSuchRow(
                f"{PAGE} says of no row {name} that it is shown.", remedy="See: l2c mission list."
            )
    failed = [name for name in names if not _is_shown(rows[name], checkout)]
    return 1 if failed else 0


def _is_shown(row: Row, checkout: Path) -> bool:
    click.echo(f"{row.name}: {row.what} ({row.state})")
    passed = [
        _plays(checkout / claim) if claim.endswith(".yaml") else _passes(claim, checkout)
        for claim in row.claims
    ]
    return bool(passed) and all(passed)


def _plays(scenario: Path) -> bool:
    click.echo(f"\nInput, {scenario.name}:\n\n{scenario.read_text(encoding='utf-8')}\nOutput:\n")
    if is_price_file(scenario):
        answers = asked_prices(scenario)
        click.echo("\n".join(text for text, _ in answers))
        is_right = all(is_so for _, is_so in answers)
    else:
        is_right = simulate.main([str(scenario)], standalone_mode=False) == 0
    click.echo(f"\n{'as it should be' if is_right else 'NOT as it should be'}\n")
    return is_right


def _passes(test: str, checkout: Path) -> bool:
    if find_spec("pytest") is None:
        raise Misconfigured("pytest is not installed.", remedy="Run `make setup` in the checkout.")
    file, _, name = test.partition("::")  # the page leaves out the class a test stands in
    quietly = ("-n", "0", "-q", "-p", "no:cacheprovider")
    run = subprocess.run(  # noqa: S603 - a test the page of this checkout names
        [sys.executable, "-m", "pytest", *quietly, file, "-k", name],
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT_S,
        check=False,
    )
    if run.returncode:
        click.echo(run.stdout[-8000:])
    said = name.removeprefix("test_").replace("_", " ")
    click.echo(f"{'passed' if run.returncode == 0 else 'FAILED'}: {said}  ({test})")
    return run.returncode == 0


def _rows(checkout: Path) -> dict[str, Row]:
    return read_rows((checkout / PAGE).read_text(encoding="utf-8"))


def _checkout() -> Path:
    found = next(_with_page(Path.cwd()), None)
    if found is None:
        raise Misconfigured(
            f"There is no {PAGE} here: the rows are shown by the tests of a checkout.",
            remedy="Run it inside a clone of the project.",
        )
    return found


def _with_page(start: Path) -> Iterator[Path]:
    return (folder for folder in (start, *start.parents) if (folder / PAGE).is_file())
