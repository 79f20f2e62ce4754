"""A person in the CRM of the chaos run, and the administrator who makes trouble there."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import requests

DATA = "/services/data/v62.0"
ROWS_PER_CALL = 200
TRIES = 60
PAUSE_S = 0.1
TIMEOUT_S = 60
_PASSES = frozenset({401, 403, 503})  # expired sessions and refusals that hit everybody alike


class RefusedForGood(RuntimeError):
    """The org did not do what the person asked, however often."""


class Administrator:
    """Schedules faults and reads what only the org itself knows."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._http = _session()

    def call(self, method: str, what: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the answer to an admin call."""
        answer = self._http.request(
            method, f"{self._base}/__sandbox__/{what}", json=body, timeout=TIMEOUT_S
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None


class Person:
    """Reads and writes by REST under a user name of their own, which no fault names."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._base = facts["base_url"]
        self._form = {"grant_type": "password"} | {
            name: facts[name] for name in ("client_id", "client_secret", "username", "password")
        }
        self._http = _session()
        self.calls = 0

    def create(self, name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """Create records and return their ids."""
        return [row["id"] for row in self._write("POST", name, rows)]

    def change(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Change records, each named by its Id."""
        self._write("PATCH", name, rows)

    def rows(self, soql: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a query."""
        answer = self._ask("GET", f"{DATA}/query?q={quote(soql)}")
        yield from answer["records"]
        while not answer["done"]:
            answer = self._ask("GET", answer["nextRecordsUrl"])
            yield from answer["records"]

    def _write(
        self, method: str, name: str, rows: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = []
        for start in range(0, len(rows), ROWS_PER_CALL):
            records = [
                {"attributes": {"type": name}, **row} for row in rows[start : start + ROWS_PER_CALL]
            ]
            results += self._write_all(method, records)
        return results

    def _write_all(self, method: str, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Write all of the records or none: tried again while another transaction holds one."""
        body = {"allOrNone": True, "records": records}
        for _ in range(TRIES):
            results: list[dict[str, Any]] = self._ask(method, f"{DATA}/composite/sobjects", body)
            errors = [error for result in results for error in result["errors"]]
            if not errors:
                return results
            if not any(error["statusCode"] == "UNABLE_TO_LOCK_ROW" for error in errors):
                raise RefusedForGood(str(errors[:3]))
            time.sleep(PAUSE_S)
        raise RefusedForGood(f"locked for {TRIES} tries")

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        for _ in range(TRIES):
            if "Authorization" not in self._http.headers:
                self._sign_in()
            self.calls += 1
            answer = self._http.request(method, self._base + path, json=body, timeout=TIMEOUT_S)
            if answer.status_code == 401:
                self._http.headers.pop("Authorization")
            elif answer.status_code not in _PASSES:
                if not answer.ok:
                    raise RefusedForGood(f"{method} {path}: {answer.status_code} {answer.text}")
                return answer.json()
            time.sleep(PAUSE_S)
        raise RefusedForGood(f"{method} {path}: still refused after {TRIES} tries")

    def _sign_in(self) -> None:
        for _ in range(TRIES):
            answer = self._http.post(
                f"{self._base}/services/oauth2/token", data=self._form, timeout=TIMEOUT_S
            )
            if answer.ok:
                self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
                return
            time.sleep(PAUSE_S)
        raise RefusedForGood("the person cannot sign in")


def _session() -> requests.Session:
    http = requests.Session()
    http.trust_env = False
    return http
