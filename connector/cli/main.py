"""The command line `l2c`: one module per noun, loaded only when its noun is used."""

import gc
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from typing_extensions import override

from connector.errors import ConnectorError, Misconfigured, TransientFailure

# noun -> (module, attribute, one line for --help); modules are heavy, help must stay quick
COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("connector.cli.demo", "demo", "The whole story on an embedded store and a local org."),
    "serve": ("connector.cli.serve", "serve", "Run web, worker and scheduler in one process."),
    "web": ("connector.cli.serve", "web", "Run the web part alone."),
    "worker": ("connector.cli.serve", "worker", "Run the background worker alone."),
    "scheduler": ("connector.cli.serve", "scheduler", "Run the clock that defers jobs alone."),
    "sandbox": ("connector.cli.sandbox", "sandbox", "Run the local Salesforce-compatible org."),
    "org": ("connector.cli.org", "org", "Try what an org answers; list what it has."),
    "doctor": ("connector.cli.doctor", "doctor", "Check configuration, store, org and mappings."),
    "db": ("connector.cli.db", "db", "Migrate, back up and restore the store."),
    "sync": ("connector.cli.sync", "sync", "Pull from, push to and compare with the CRM."),
    "audit": (
        "connector.cli.audit",
        "audit",
        "Compare an org's services with invoices, read-only.",
    ),
    "mappings": ("connector.cli.mappings", "mappings", "Check the mapping files."),
    "catalog": ("connector.cli.catalog", "catalog", "Load products, prices and rate decks."),
    "price": ("connector.cli.price", "price", "Price calculations from JSON, one a line."),
    "usage": ("connector.cli.usage", "usage", "Import, rate and inspect usage."),
    "simulate": ("connector.cli.simulate", "simulate", "Invoices of a scripted life, no store."),
    "estimate": ("connector.cli.estimate", "estimate", "What a basket or a deal would cost."),
    "bill": ("connector.cli.bill", "bill", "Run and preview the billing cycle."),
    "billing": ("connector.cli.billing", "billing", "Your own billing systems: check and pull."),
    "invoices": ("connector.cli.invoices", "invoices", "List, show and explain invoices."),
    "payments": ("connector.cli.payments", "payments", "Import and list payments."),
    "orders": ("connector.cli.orders", "orders", "List and show orders."),
    "services": ("connector.cli.services", "services", "List and show services."),
    "mission": ("connector.cli.mission", "mission", "Run what shows a row of docs/mission.md."),
    "bench": ("connector.cli.bench", "bench", "Measure a part against a named reference."),
}
SERVICES = frozenset({"serve", "web", "worker", "scheduler"})


class LazyCommands(click.Group):
    """A group that imports a command's module when the command is asked for."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the nouns in their documented order."""
        return list(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command, or None when there is no such noun."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Print the nouns without importing their modules."""
        with formatter.section("Commands"):
            formatter.write_dl([(noun, text) for noun, (_, _, text) in COMMANDS.items()])


@click.group(cls=LazyCommands)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Settings file; default config.yaml in the current folder when there is one.",
)
@click.version_option(package_name="l2c-connector", prog_name="l2c")
@click.pass_context
def cli(ctx: click.Context, config_file: Path | None) -> None:
    """Keep Salesforce and billing telling one story, from lead to cash."""
    from connector.cli.log_output import configure_logging
    from connector.cli.session import Session

    # What runs for long tells what it does; a command that answers a person keeps to its answer.
    configure_logging("info" if ctx.invoked_subcommand in SERVICES else "warning")
    ctx.obj = ctx.with_resource(Session(config_file))


# Sync holds tens of thousands of rows at once and lets them go together. Looking through them after
# every 700 new objects found nothing and took a fifth of Python's time in a push of 100,000 rows.
YOUNG_OBJECTS = 10_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; a user's mistake ends in a sentence and an exit code, never a traceback.

    Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 4 try again later.
    """
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
    try:
        code = cli.main(
            args=list(arguments) if arguments is not None else None, standalone_mode=False
        )
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        click.echo("Stopped.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ConnectorError as error:
        click.echo(f"{error.message}\n  code: {error.code}", err=True)
        if error.remedy:
            click.echo(f"  what to do: {error.remedy}", err=True)
        sys.exit(_exit_code(error))


def _exit_code(error: ConnectorError) -> int:
    if isinstance(error, Misconfigured):
        return 2
    if isinstance(error, TransientFailure):
        return 4
    return 1
