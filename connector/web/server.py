"""Serves the web application from threads of this process, as the demo and `l2c serve` do."""

import threading

import structlog
from cheroot import wsgi

from connector.errors import Misconfigured, StateConflict
from connector.web.app import WebApp, close_app, create_app

log = structlog.get_logger(__name__)

THREADS = 8
_LOOK_S = 0.1  # between looks for idle connections, and for the wish to stop
_STOP_TIMEOUT_S = 5
_HEADERS_MAX_BYTES = 64 * 1024


class _Server(wsgi.Server):
    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        # Cheroot's texts may quote a request: only that something happened is logged.
        log.warning("web.server_error", level=level, has_traceback=traceback, length=len(msg))


class WebServer:
    """The web application on one address, served until it is stopped."""

    def __init__(self, app: WebApp, *, threads: int = THREADS) -> None:
        web = app.settings.web
        self._flask = create_app(app)
        self._host = web.host
        self._server = _Server(
            (web.host, web.port),
            self._flask,
            numthreads=threads,
            max=threads * 4,
            request_queue_size=128,
            shutdown_timeout=_STOP_TIMEOUT_S,
        )
        self._server.expiration_interval = _LOOK_S
        self._server.max_request_header_size = _HEADERS_MAX_BYTES
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Listen and serve in the background; return the base address.

        Raises:
            Misconfigured: The port is taken or may not be used.
        """
        if self._thread is not None:
            raise StateConflict("The web server runs already.")
        try:
            self._server.prepare()
        except OSError as error:
            raise Misconfigured(
                f"The web server cannot listen on {self._server.bind_addr}: {error}.",
                remedy="Choose another web.port, or 0 for a free one.",
            ) from error
        self._thread = threading.Thread(target=self._server.serve, name="web", daemon=True)
        self._thread.start()
        log.info("web.started", address=self.address)
        return self.address

    @property
    def address(self) -> str:
        """Return the base address; the port is the one really used."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._server.bind_addr[1]}"

    def wait(self) -> None:
        """Wait until the server is stopped."""
        if self._thread is not None:
            self._thread.join()

    def stop(self) -> None:
        """Finish the requests that run, and close."""
        self._server.stop()
        if self._thread is not None:
            self._thread.join(_STOP_TIMEOUT_S)
            self._thread = None
        close_app(self._flask)
