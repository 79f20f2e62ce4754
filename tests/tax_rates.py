"""A tax provider on this machine, over real HTTP."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from connector.adapters.tax.http import HttpTaxProvider


class Rates:
    """A provider on this machine: a rate or whole answer by category, and what it was asked."""

    def __init__(self) -> None:
        self.percents: dict[str, str] = {"standard": "8.875"}
        self.taxes: dict[str, list[dict[str, str]]] = {}  # several of a line, by category
        self.asked: list[list[dict[str, Any]]] = []
        self.is_down = False
        self.when_asked: Callable[[], None] = lambda: None
        rates = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, told = rates.told(body["questions"])
                content = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.provider = HttpTaxProvider(self.url, pause=lambda _: None)

    def told(self, questions: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        if self.is_down:
            return 503, {}
        self.when_asked()
        self.asked.append(questions)
        return 200, {"answers": [self.answer(one["category"]) for one in questions]}

    def answer(self, category: str) -> dict[str, Any]:
        if category in self.taxes:
            return {"taxes": self.taxes[category]}
        if category in self.percents:
            return {"percent": self.percents[category]}
        return {"error": "unknown category"}


@contextmanager
def serving() -> Iterator[Rates]:
    """Serve a provider until the block ends."""
    made = Rates()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        thread.join()
        made.server.server_close()
