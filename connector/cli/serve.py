"""`l2c serve`, `web`, `worker`, `scheduler`: the running service, whole or in parts."""

import signal
import threading
from functools import partial

import click

from connector.cli.session import Session
from connector.web.granian_server import serve_until_stopped, web_application
from connector.web.server import WebServer


@click.command()
@click.pass_obj
def serve(session: Session) -> None:
    """Run web, worker and scheduler in one process until it is stopped."""
    app = session.app()
    server = WebServer(app)
    address = server.start()
    try:
        app.start_background()
        click.echo(f"Listening on {address}; console at {address}/console/", err=True)
        wait_for_the_end()
    finally:
        server.stop()


@click.command()
@click.pass_obj
def web(session: Session) -> None:
    """Run the webhooks and the console alone, in a process of their own, until it is stopped."""
    web = session.settings.web
    serve_until_stopped(
        partial(web_application, session.config_file),
        host=web.host,
        port=web.port,
        started=lambda address: click.echo(f"Listening on {address}", err=True),
    )


@click.command()
@click.pass_obj
def worker(session: Session) -> None:
    """Take jobs until it is stopped; any number of workers may run."""
    session.app().start_background(scheduler=False)
    wait_for_the_end()


@click.command()
@click.pass_obj
def scheduler(session: Session) -> None:
    """Defer the jobs that fall due until it is stopped; any number may run."""
    session.app().start_background(worker=False)
    wait_for_the_end()


def wait_for_the_end() -> None:
    """Return when the process is asked to end."""
    ended = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: ended.set())
    ended.wait()
