"""The web application in a process of its own, as `l2c web` runs it."""

import subprocess
import sys
import time

import requests

PROGRAM = """
import sys
from functools import partial
from pathlib import Path
from connector.web.granian_server import serve_until_stopped, web_application

serve_until_stopped(
    partial(web_application, Path(sys.argv[1])), host="127.0.0.1", port=0,
    started=lambda address: print(address, flush=True),
)
"""


def test_serves_and_ends_when_asked(store, tmp_path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"store: {{url: '{store.url}'}}\n")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(config)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        address = process.stdout.readline().strip()

        assert _healthy(address)
    finally:
        process.terminate()
        assert process.wait(15) == 0
        process.stdout.close()


def _healthy(address: str) -> bool:
    with requests.Session() as http:
        http.trust_env = False
        for _ in range(200):
            try:
                return http.get(f"{address}/healthz", timeout=5).json() == {"status": "ok"}
            except requests.ConnectionError:
                time.sleep(0.05)
    return False
