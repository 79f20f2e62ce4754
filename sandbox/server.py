"""Serves an org over HTTP and HTTPS in one process."""

import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter

from . import clock
from .errors import SetupError
from .org import Org
from .ports import check_free, refused_port
from .rest.app import Application
from .rest.body import Body
from .rest.info import FIRST_VERSION, LAST_VERSION
from .sessions import ADMIN, CLIENT_ID, CLIENT_SECRET, PASSWORD

if TYPE_CHECKING:
    from .events.server import PubSubServer
    from .tls import Certificate

THREADS = 12
KEEP_ALIVE = 200
IDLE_S = 300
LOOK_S = 0.1  # between looks for idle connections, and for the wish to stop
MAX_HEADER = 131_072
BIND_TRIES = 30
BIND_PAUSE_S = 0.1


class _Gateway(wsgi.Gateway_10):
    """Lets the application cut the connection it is answering, and bound what it reads."""

    def get_environ(self) -> dict[str, Any]:  # type: ignore[override]
        """Return the WSGI environment with a way to drop the connection."""
        environ: dict[str, Any] = super().get_environ()  # type: ignore[no-untyped-call]
        environ["l2c_sandbox.drop"] = self._drop
        length = None if self.req.chunked_read else int(environ.get("CONTENT_LENGTH") or 0)
        body = Body(self.req.conn.rfile, length=length, give_up=self._close)
        # The server's own reader is replaced there too: it would read what is left of a body.
        self.req.rfile = environ["wsgi.input"] = body
        return environ

    def _close(self) -> None:
        self.req.close_connection = True

    def _drop(self) -> None:
        self.req.close_connection = True
        self.req.sent_headers = True
        with suppress(OSError):
            self.req.conn.socket.shutdown(socket.SHUT_RDWR)

    def respond(self) -> None:
        """Answer, unless the connection was dropped on purpose."""
        with suppress(BrokenPipeError, ConnectionResetError):
            super().respond()


class SandboxServer:
    """An org listening on loopback; close it to free ports and files.

    Raises:
        SetupError: A port cannot be listened on; nothing of the server is left, the org is closed.
    """

    def __init__(
        self,
        org: Org,
        *,
        host: str,
        port: int,
        tls: bool = False,
        tls_port: int = 0,
        grpc_port: int | None = None,
    ) -> None:
        self.org = org
        self._host = host
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._servers: list[Any] = []
        self._threads: list[threading.Thread] = []
        self._pubsub: PubSubServer | None = None
        self.https_url: str | None = None
        self.ca_file: str | None = None
        application = Application(org, facts=self.facts)
        try:
            self.base_url = self._listen(application, "--port", port)
            certificate: Certificate | None = None
            if tls:
                certificate = self._certificate()
                adapter = BuiltinSSLAdapter(
                    str(certificate.certificate_file), str(certificate.key_file)
                )
                self.https_url = self._listen(application, "--tls-port", tls_port, adapter=adapter)
            if grpc_port is not None:
                self._pubsub = _listen_for_events(org, host, grpc_port, certificate)
        except SetupError:
            self.close()  # what listens already has threads that would keep the process alive
            raise
        org.outbound.base_url = self.https_url or self.base_url

    def _certificate(self) -> "Certificate":
        from .tls import make_certificate  # loads cryptography: only who wants it waits for it

        self._folder = tempfile.TemporaryDirectory(prefix="l2c-sandbox-")
        certificate = make_certificate(Path(self._folder.name), host=self._host)
        self.ca_file = str(certificate.ca_file)
        return certificate

    def _listen(
        self, application: Application, option: str, port: int, *, adapter: Any = None
    ) -> str:
        server = wsgi.Server((self._host, port), application, numthreads=THREADS, timeout=IDLE_S)
        server.expiration_interval = LOOK_S
        server.gateway = _Gateway
        server.max_request_header_size = MAX_HEADER
        server.keep_alive_conn_limit = KEEP_ALIVE
        server.error_log = _ignore_log  # type: ignore[method-assign]
        server.ssl_adapter = adapter
        try:
            _prepare(server, waits=port != 0)
        except OSError as error:
            # The server's own error hides the reason of the system.
            check_free(option, host=self._host, port=port)
            raise refused_port(option, host=self._host, port=port, error=error) from error
        self._servers.append(server)
        scheme = "http" if adapter is None else "https"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{scheme}://{host}:{server.bind_addr[1]}"

    def start(self) -> None:
        """Serve in threads and begin sending outbound messages."""
        for server in self._servers:
            thread = threading.Thread(target=server.serve, daemon=True)
            thread.start()
            self._threads.append(thread)
        if self._pubsub is not None:
            self._pubsub.start()
        self.org.outbound.start()

    def facts(self) -> dict[str, Any]:
        """Return addresses and credentials."""
        return {
            "base_url": self.base_url,
            "https_url": self.https_url,
            "ca_file": self.ca_file,
            "pubsub_address": self._pubsub.address if self._pubsub is not None else None,
            "organization_id": self.org.organization_id,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "username": ADMIN,
            "password": PASSWORD,
            "api_versions": [f"{FIRST_VERSION}.0", f"{LAST_VERSION}.0"],
        }

    def close(self) -> None:
        """Stop serving; the org is closed too."""
        if self._pubsub is not None:
            self._pubsub.close()
        # Each takes up to half a second to notice, so both are told at once.
        stops = [threading.Thread(target=server.stop) for server in self._servers]
        for stop in stops:
            stop.start()
        for thread in [*stops, *self._threads]:
            thread.join(timeout=5)
        self.org.close()
        if self._folder is not None:
            self._folder.cleanup()


def _listen_for_events(
    org: Org, host: str, port: int, certificate: "Certificate | None"
) -> "PubSubServer":
    # gRPC takes a tenth of a second to load: only who wants it waits for it.
    from .events.server import PubSubServer

    return PubSubServer(org, host=host, port=port, certificate=certificate)


def _prepare(server: Any, *, waits: bool) -> None:
    """Bind the port; one that was asked for is waited for while a predecessor is ending."""
    for _ in range(BIND_TRIES if waits else 1):
        try:
            server.prepare()
        except OSError as error:
            refused = error
            clock.pause(BIND_PAUSE_S)
            continue
        return
    raise refused


def _ignore_log(msg: str = "", level: int = 20, traceback: bool = False) -> None:
    """Broken connections are everyday life of a test org; answers carry their own errors."""
