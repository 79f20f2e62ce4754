"""`l2c demo`: the whole story, from a won opportunity to a paid invoice, on one machine."""

import signal
import tempfile
import threading
from pathlib import Path
from types import FrameType

import click
import orjson

HINTS = """
The demo stays up. Look around, then press Ctrl-C to end it.

  Console         {address}/console/
  Local org       {base_url}   (also {https_url})
                  client id {client_id}, client secret {client_secret}
                  user {username}, password {password}

Try it (another terminal):
  l2c --config {folder}/config.yaml sync status
  l2c --config {folder}/config.yaml invoices list
  curl -s {base_url}/services/oauth2/token -d grant_type=password -d client_id={client_id} \\
       -d client_secret={client_secret} -d username={username} -d password={password}
  curl -s {address}/healthz
"""


@click.command()
@click.option("--once", is_flag=True, help="End after the story instead of staying up.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON summary last on stdout.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Keep everything in this folder; told again, the story finds it and makes nothing twice.",
)
@click.option(
    "--calls",
    type=click.IntRange(100, 5_000_000),
    default=60_000,
    show_default=True,
    help="Call records a month.",
)
def demo(*, once: bool, as_json: bool, keep: Path | None, calls: int) -> None:
    """Tell the whole story on an embedded store and a local org: two billing months."""
    if keep is not None:
        _run(keep.resolve(), once=once, as_json=as_json, calls=calls)
        return
    with tempfile.TemporaryDirectory(prefix="l2c-demo-") as scratch:
        _run(Path(scratch), once=once, as_json=as_json, calls=calls)


def _run(folder: Path, *, once: bool, as_json: bool, calls: int) -> None:
    # Imported here: `l2c --help` must not wait for the rating engine and the PDF compiler.
    from connector.cli.demo.crm_user import CrmUser
    from connector.cli.demo.ending import summarise
    from connector.cli.demo.narrator import Narrator
    from connector.cli.demo.stage import set_stage
    from connector.cli.demo.story import Story

    narrator = Narrator()
    signal.signal(signal.SIGTERM, _leave)
    with set_stage(folder) as stage:
        crm = CrmUser(stage.org)
        Story(stage=stage, crm=crm, narrator=narrator, folder=folder, calls_a_month=calls).tell()
        summary = summarise(stage=stage, crm=crm, narrator=narrator)
        if as_json:
            click.echo(orjson.dumps(summary))
        if not once:
            facts = stage.org.facts()
            click.echo(HINTS.format(address=stage.address, folder=folder, **facts), err=True)
            _wait_for_the_end()


def _leave(number: int, _: FrameType | None) -> None:
    """End the story where it is: server, org and scratch folder are cleared away on the way out."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _wait_for_the_end() -> None:
    ended = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: ended.set())
    ended.wait()
