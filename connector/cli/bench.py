"""`l2c bench`: each benchmark prints a ratio against a named reference of the same run."""

import importlib
from collections.abc import Callable
from typing import Any

import click

from connector.cli.printing import print_json


@click.group()
def bench() -> None:
    """Measure a part of the connector; ratios count, seconds depend on the machine."""


@bench.command()
@click.option("--senders", type=click.IntRange(1, 64), default=8, show_default=True)
@click.option("--messages", type=click.IntRange(10, 1_000_000), default=2_000, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object last.")
def webhook(*, senders: int, messages: int, as_json: bool) -> None:
    """Receive outbound messages; reference: INSERT and COMMIT per message on one connection."""
    _report(_benchmark("webhook")(senders=senders, messages=messages), as_json=as_json)


@bench.command()
@click.option("--rows", type=click.IntRange(1, 10_000_000), default=5_000, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object last.")
def push(*, rows: int, as_json: bool) -> None:
    """Push changed rows to a local org; reference: a client sending prepared bodies."""
    _report(_benchmark("push")(rows=rows), as_json=as_json)


@bench.command()
@click.option("--rows", type=click.IntRange(1, 10_000_000), default=5_000, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object last.")
def pull(*, rows: int, as_json: bool) -> None:
    """Load records by Bulk snapshot; reference: the same client dropping the same result."""
    _report(_benchmark("pull")(rows=rows), as_json=as_json)


@bench.command()
@click.option("--rows", type=click.IntRange(1, 10_000_000), default=5_000, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object last.")
def reconcile(*, rows: int, as_json: bool) -> None:
    """Compare both sides in full; reference: the same client dropping the same result."""
    _report(_benchmark("reconcile")(rows=rows), as_json=as_json)


@bench.command()
@click.option(
    "--records", type=click.IntRange(1_000, 1_000_000_000), default=1_000_000, show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object last.")
def rating(*, records: int, as_json: bool) -> None:
    """Rate calls; reference: the engine copying the same rows from Parquet to Parquet."""
    _report(_benchmark("rating")(records=records), as_json=as_json)


@bench.command()
@click.option(
    "--calculations",
    type=click.IntRange(100, 100_000_000),
    default=100_000,
    show_default=True,
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object last.")
def price(*, calculations: int, as_json: bool) -> None:
    """Price lines of JSON; reference: reading and writing the same lines, pricing nothing."""
    _report(_benchmark("price")(calculations=calculations), as_json=as_json)


@bench.command()
@click.option("--requests", type=click.IntRange(10, 1_000_000), default=4_000, show_default=True)
@click.option("--rows", type=click.IntRange(200, 1_000_000), default=20_000, show_default=True)
@click.option(
    "--records",
    type=click.IntRange(1_000, 10_000_000),
    default=50_000,
    show_default=True,
    help="Records to load by Bulk 2.0, into memory and into a file.",
)
@click.option(
    "--push-rows",
    type=click.IntRange(0, 1_000_000),
    default=10_000,
    show_default=True,
    help="Rows to push; 0 leaves the push out.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object last.")
def sandbox(*, requests: int, rows: int, records: int, push_rows: int, as_json: bool) -> None:
    """Ask, fill and start the local org; reference: its server answering a prepared body."""
    run = _benchmark("sandbox")
    result = run(requests=requests, rows=rows, records=records, push_rows=push_rows)
    _report(result, as_json=as_json)


@bench.command()
@click.option("--changes", type=click.IntRange(20, 1_000_000), default=200, show_default=True)
@click.option(
    "--kills",
    type=click.IntRange(0, 100_000),
    default=None,
    help="Processes to kill; by default one for 500 changes, at least four.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="What is drawn at random.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object last.")
def chaos(*, changes: int, kills: int | None, seed: int, as_json: bool) -> None:
    """Change both sides while everything goes wrong; the driver's own ledger is the truth.

    Exit code 1 when something is missing, duplicated or wrong.
    """
    result = _benchmark("chaos")(changes=changes, kills=kills, seed=seed)
    _report(result, as_json=as_json)
    if result["missing"] or result["duplicated"] or result["wrong"]:
        raise click.exceptions.Exit(1)


@bench.command()
@click.option("--changes", type=click.IntRange(5, 10_000), default=20, show_default=True)
@click.option("--pending", type=click.IntRange(100, 1_000_000), default=2_000, show_default=True)
@click.option(
    "--sweep-every-s",
    type=click.IntRange(1, 3_600),
    default=10,
    show_default=True,
    help="The schedule of the sweep; 60 is that of a plain installation.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object last.")
def latency(*, changes: int, pending: int, sweep_every_s: int, as_json: bool) -> None:
    """Measure how long a change takes to the other side, each way."""
    run = _benchmark("latency")
    result = run(changes=changes, pending=pending, sweep_every_s=sweep_every_s)
    _report(result, as_json=as_json)


@bench.command("bill-run")
@click.option("--accounts", type=click.IntRange(1, 10_000_000), default=2_000, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object last.")
def bill_run(*, accounts: int, as_json: bool) -> None:
    """Bill accounts of ten lines each; reference: COPY of the very rows the run wrote."""
    _report(_benchmark("bill_run")(accounts=accounts), as_json=as_json)


def _benchmark(name: str) -> Callable[..., dict[str, Any]]:
    # The benchmarks are a package of their own beside the connector, as jobs and sandbox are.
    run: Callable[..., dict[str, Any]] = importlib.import_module(f"l2c_bench.{name}").run
    return run


def _report(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    for key, value in result.items():
        click.echo(f"{key:28} {value}")
