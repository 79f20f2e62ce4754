"""Serves the web application from a process of its own: what a reachable endpoint runs.

`l2c web` runs it. The HTTP part is native and leaves the interpreter to the application;
`server.py` serves from threads of a process that does other things, too.
"""

import socket
from collections.abc import Callable
from functools import partial
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from granian.constants import HTTPModes, Interfaces
from granian.server.mp import MPServer

from connector.errors import ConnectorError
from connector.web.app import close_app, create_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

log = structlog.get_logger(__name__)

THREADS = 8
_BACKLOG = 1024
_STOP_TIMEOUT_S = 10


def serve_until_stopped(
    load: "Callable[[], WSGIApplication]",
    *,
    host: str,
    port: int,
    threads: int = THREADS,
    started: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve what `load` returns until the process is asked to end; only from the main thread.

    `load` is called in the serving process, so that no connection crosses a fork.
    """
    server = MPServer(
        "connector.web",
        address=host,
        port=port or _free_port(host),
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=threads,
        http=HTTPModes.http1,
        websockets=False,
        backlog=_BACKLOG,
        workers_kill_timeout=_STOP_TIMEOUT_S,
        log_enabled=False,
    )
    shown = f"[{host}]" if ":" in host else host
    server.on_startup(partial(started, f"http://{shown}:{server.bind_port}"))
    server.serve(target_loader=load, wrap_loader=False)


def web_application(config_file: Path | None) -> "WSGIApplication":
    """Open the application by its settings and return its web part."""
    from connector.bootstrap import App
    from connector.config import load_settings

    try:
        app = App.open(load_settings(config_file))
    except ConnectorError as error:
        raise SystemExit(str(error)) from None  # this process has no command line above it
    flask = create_app(app)

    def close() -> None:
        close_app(flask)
        app.close()

    Finalize(None, close, exitpriority=10)  # the end of a process that multiprocessing started
    return flask


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
