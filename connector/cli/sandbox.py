"""`l2c sandbox`: the local org alone."""

import subprocess
import sys

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
)
@click.pass_context
def sandbox(ctx: click.Context) -> None:
    """Run the local Salesforce-compatible org; options are those of the org itself."""
    # A process of its own: the org stands apart from the connector and shares no import with it.
    command = [sys.executable, "-m", "l2c_sandbox", *ctx.args]
    try:
        ctx.exit(subprocess.run(command, check=False).returncode)  # noqa: S603
    except KeyboardInterrupt:
        ctx.exit(0)
