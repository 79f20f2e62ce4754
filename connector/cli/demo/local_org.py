"""The local org as a process of its own, and what its administrator does to it."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import requests

from connector.errors import TransientFailure

START_TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class LocalOrg:
    """A running local org and how to reach it."""

    base_url: str
    https_url: str
    ca_file: str
    organization_id: str
    client_id: str
    client_secret: str
    username: str
    password: str
    process: subprocess.Popen[str]

    @classmethod
    def start(cls, data_file: Path) -> Self:
        """Start the org on its data file; it ends when this process ends, however that happens.

        Raises:
            TransientFailure: It did not come up.
        """
        # Own code with fixed arguments; its standard input is our life line to it.
        process = subprocess.Popen(  # noqa: S603
            [
                sys.executable,
                "-m",
                "l2c_sandbox",
                "--json",
                "--tls",
                "--exit-with-stdin",
                "--data",
                str(data_file),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        first_line = process.stdout.readline()
        if not first_line:
            code = process.wait(timeout=START_TIMEOUT_S)
            raise TransientFailure(f"The local org did not start (exit code {code}).")
        facts = json.loads(first_line)
        return cls(
            process=process,
            **{
                name: facts[name]
                for name in (
                    "base_url",
                    "https_url",
                    "ca_file",
                    "organization_id",
                    "client_id",
                    "client_secret",
                    "username",
                    "password",
                )
            },
        )

    def facts(self) -> dict[str, str]:
        """Return what a visitor needs to reach the org and sign in."""
        return {
            "base_url": self.base_url,
            "https_url": self.https_url,
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "username": self.username,
            "password": self.password,
        }

    def send_messages_to(self, endpoint_base: str) -> None:
        """Point the org's outbound messages at the connector."""
        self._admin("PUT", "outbound", {"endpoint_base": endpoint_base})

    def messages_waiting(self) -> int:
        """Return how many outbound notifications the org still has to deliver."""
        return int(self._admin("GET", "outbound")["pending"])

    def stop(self) -> None:
        """End the org."""
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _admin(self, method: str, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        with requests.Session() as http:
            http.trust_env = False
            answer = http.request(
                method, f"{self.base_url}/__sandbox__/{what}", json=body, timeout=30
            )
        answer.raise_for_status()
        content: dict[str, Any] = answer.json() if answer.content else {}
        return content
