"""The road between the org and the connector: messages get lost, come twice, late, out of order.

It stands where a load balancer would, and passes a message on to any process that listens.
"""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

TIMEOUT_S = 30
LOST, TWICE, LATE = "lost", "twice", "late"
SHARES = {LOST: 0.1, TWICE: 0.2, LATE: 0.1}
LONGEST_DELAY_S = 3.0
_ACK = (
    b'<?xml version="1.0"?><soapenv:Envelope '
    b'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack>'
    b"</notificationsResponse></soapenv:Body></soapenv:Envelope>"
)


class BadRoad:
    """Takes messages in for the connector and does not always deliver them."""

    def __init__(self, addresses: Callable[[], list[str]], *, seed: int) -> None:
        self._addresses = addresses
        self._chance = random.Random(seed)
        self._guard = threading.Lock()
        self._is_bad = False
        self._late: list[threading.Thread] = []
        self.counts: Counter[str] = Counter()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def spoil(self) -> None:
        """Lose, repeat and delay messages from now on."""
        self._is_bad = True

    def mend(self) -> None:
        """Deliver everything from now on, and return when what was late has arrived."""
        with self._guard:
            self._is_bad = False
            late = list(self._late)
        for thread in late:
            thread.join(LONGEST_DELAY_S + TIMEOUT_S)

    def close(self) -> None:
        """Take nothing in any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(TIMEOUT_S)

    def take(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Return what the org is answered to a message."""
        with self._guard:
            fate = self._fate()
            if fate is not None:
                self.counts[fate] += 1
            if fate == LATE:
                pause_s = self._chance.uniform(0, LONGEST_DELAY_S)
                thread = threading.Thread(target=self._deliver_late, args=(path, body, pause_s))
                self._late.append(thread)
                thread.start()
        if fate in {LOST, LATE}:  # told as delivered: the org does not send it again
            return 200, _ACK
        if fate == TWICE:
            self._deliver(path, body)
        return self._deliver(path, body)

    def _fate(self) -> str | None:
        if not self._is_bad:
            return None
        drawn = self._chance.random()
        for fate, share in SHARES.items():
            if drawn < share:
                return fate
            drawn -= share
        return None

    def _deliver_late(self, path: str, body: bytes, pause_s: float) -> None:
        time.sleep(pause_s)
        self._deliver(path, body)

    def _deliver(self, path: str, body: bytes) -> tuple[int, bytes]:
        addresses = self._addresses()
        with self._guard:
            self._chance.shuffle(addresses)
        for address in addresses:
            connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=TIMEOUT_S)
            try:
                connection.request("POST", path, body, {"Content-Type": "text/xml; charset=utf-8"})
                answer = connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                continue  # killed a moment ago
            finally:
                connection.close()
        return 503, b"nobody listens"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        road = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = road.take(self.path, body)
                self.send_response(status)
                self.send_header("Content-Type", "text/xml; charset=utf-8")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing of each message."""

        return Handler
