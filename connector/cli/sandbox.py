"""`l2c sandbox`: the local org alone."""

import os
import sys

import click


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
)
@click.pass_context
def sandbox(ctx: click.Context) -> None:
    """Run the local Salesforce-compatible org; options are those of the org itself."""
    # The org stands apart from the connector and shares no import with it. It takes the place of
    # this process: whoever ends the command ends the org, which would outlive a parent.
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "l2c_sandbox", *ctx.args])  # noqa: S606 - ours
