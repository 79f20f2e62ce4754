"""The reference of the benchmark `sandbox`: the same HTTP server, answering one prepared body.

`python -m l2c_bench.prepared N` prints its address, then answers everything with N bytes until
standard input closes.
"""

import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from cheroot import wsgi

THREADS = 12  # as many as the local org has


def main() -> None:
    """Serve until standard input closes."""
    body = b"x" * int(sys.argv[1])
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.input"].read()
        start("200 OK", headers)
        return [body]

    server = wsgi.Server(("127.0.0.1", 0), answer, numthreads=THREADS)
    server.prepare()
    threading.Thread(target=server.serve, daemon=True).start()
    print(f"http://127.0.0.1:{server.bind_addr[1]}", flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
