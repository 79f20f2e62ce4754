"""Runs the local org in a process of its own, and speaks to its admin calls."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Org:
    """The local org of this worker."""

    base_url: str
    organization_id: str
    client_id: str
    client_secret: str
    username: str
    password: str
    https_url: str | None
    ca_file: str | None
    api_versions: tuple[str, str]
    pubsub_address: str | None

    def admin(self, path: str, *, body: object = None, method: str = "POST") -> object:
        """Call `/__sandbox__/<path>` and return the decoded answer."""
        request = urllib.request.Request(
            f"{self.base_url}/__sandbox__/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None


@contextmanager
def local_org(*options: str) -> Iterator[Org]:
    """Run a local org of its own for a while."""
    process = subprocess.Popen(
        [sys.executable, "-m", "l2c_sandbox", "--json", "--exit-with-stdin", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        line = process.stdout.readline()
        assert line, f"the local org ended with {process.wait(10)} before it said where it is"
        facts = json.loads(line)
        yield Org(
            base_url=facts["base_url"].rstrip("/"),
            organization_id=facts["organization_id"],
            client_id=facts["client_id"],
            client_secret=facts["client_secret"],
            username=facts["username"],
            password=facts["password"],
            https_url=facts.get("https_url"),
            ca_file=facts.get("ca_file"),
            api_versions=tuple(facts["api_versions"]),
            pubsub_address=facts["pubsub_address"],
        )
    finally:
        process.stdin.close()  # it goes when its input ends
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        process.stdout.close()
