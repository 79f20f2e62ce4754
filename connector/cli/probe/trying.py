"""Tries cases on an org: makes what a case needs, calls, compares, and tidies up."""

import itertools
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import requests

from connector.cli.probe.cases import Case, Step
from connector.cli.probe.events import EventCalls
from connector.cli.probe.matching import difference

VERSION = "59.0"
TIMEOUT_S = 60
TRIES = 50  # of a call that waits for a job
PAUSE_S = 0.2
NAME = re.compile(r"\{(\w+)\}")
TOO_LONG = 17_000  # characters of an address (fact sheet B.1)
MINUTE = "%Y-%m-%dT%H:%M:%SZ"


class Verdict(StrEnum):
    """What a case showed."""

    HOLDS = "holds"
    DIFFERS = "differs"
    SKIPPED = "not tried"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case and what it showed."""

    case: Case
    verdict: Verdict
    said: str = ""


class CannotTry(Exception):
    """The org lacks what a case needs."""


@dataclass(slots=True)
class TriedOrg:
    """An org to try cases on, with an open session."""

    base_url: str
    token: str
    now: datetime
    known: Mapping[str, str] = field(default_factory=dict)  # client_id, pubsub (an address), ...
    http: requests.Session = field(default_factory=requests.Session)
    version: str = VERSION
    _objects: frozenset[str] | None = None
    _events: EventCalls | None = None
    _numbers: Any = field(default_factory=itertools.count)
    _run: str = field(default_factory=lambda: secrets.token_hex(4))

    def try_case(self, case: Case) -> Outcome:
        """Try one case and tidy up after it."""
        values = self._values()
        values |= {name: _filled(value, values) for name, value in case.values.items()}
        made: list[str] = []
        try:
            self._check_needs(case)
            for name, (object_name, fields) in case.given.items():
                values[name] = self._make(object_name, _filled(fields, values), made)
                values[f"{name}_15"] = values[name][:15]
            # Now also those that name what was made.
            values |= {name: _filled(value, values) for name, value in case.values.items()}
            for step in case.steps:
                found = self._take(step, values, made)
                if found is not None:
                    return Outcome(case, Verdict.DIFFERS, found)
        except CannotTry as error:
            return Outcome(case, Verdict.SKIPPED, str(error))
        except requests.RequestException as error:
            return Outcome(case, Verdict.DIFFERS, f"no answer: {type(error).__name__}")
        finally:
            for path in reversed(made):
                self._send("DELETE", path)
        return Outcome(case, Verdict.HOLDS)

    def objects(self) -> frozenset[str]:
        """Return the names of the org's objects."""
        if self._objects is None:
            body = self._send("GET", "/sobjects").json()
            self._objects = frozenset(entry["name"] for entry in body["sobjects"])
        return self._objects

    def describe(self, object_name: str) -> dict[str, Any] | None:
        """Return what the org says about an object, or None where it has none of that name."""
        answer = self._send("GET", f"/sobjects/{object_name}/describe")
        return dict(answer.json()) if answer.status_code == 200 else None

    def _values(self) -> dict[str, Any]:
        times = {
            "now": self.now,
            "hour_ago": self.now - timedelta(hours=1),
            "soon": self.now + timedelta(minutes=30),
            "long_ago": self.now - timedelta(days=40),
            "weeks_ago": self.now - timedelta(days=16),
        }
        stamps = {name: moment.strftime(MINUTE) for name, moment in times.items()}
        run = f"{self._run}{next(self._numbers)}"
        known = {"run": run, "v": self.version, "token": self.token, "long": "x" * TOO_LONG}
        return known | stamps | dict(self.known)

    def _check_needs(self, case: Case) -> None:
        for need in case.needs:
            if need[0].isupper():
                if need not in self.objects():
                    raise CannotTry(f"the org has no {need}")
            elif need not in self.known:
                raise CannotTry(f"no {need} is known of the org")

    def _make(self, object_name: str, fields: Any, made: list[str]) -> str:
        answer = self._send("POST", f"/sobjects/{object_name}", json=fields)
        if answer.status_code != 201:
            raise CannotTry(f"{object_name} cannot be made: {answer.text:.200}")
        record_id = str(answer.json()["id"])
        made.append(f"/sobjects/{object_name}/{record_id}")
        return record_id

    def _take(self, step: Step, values: dict[str, Any], made: list[str]) -> str | None:
        """Make one call; return the first difference from what is expected, or None."""
        fields = _filled({k: v for k, v in step.fields.items() if k != "then"}, values)
        for _ in range(TRIES if fields.get("wait") else 1):
            found = self._compare(step, fields, values, made)
            if found is None:
                break
            time.sleep(PAUSE_S if fields.get("wait") else 0)
        return found

    def _compare(
        self, step: Step, fields: Mapping[str, Any], values: dict[str, Any], made: list[str]
    ) -> str | None:
        if step.method == "rpc":
            answer = self._rpc(fields)
        else:
            answer = _read(self._call(step, fields, str(_filled(step.target, values))))
            _remember(answer.status, fields, step, answer.body, made)
        body = answer.body
        expected = fields.get("expect", {"status": 200})
        found = difference(expected.get("status", "*"), answer.status, at="status")
        if found is not None:
            return f"{found} {answer.text:.300}"
        for name, value in expected.get("header", {}).items():
            found = found or difference(value, answer.headers.get(name), at=name)
        if "text" in expected:
            found = found or difference(expected["text"], answer.text, at="text")
        if "body" in expected:
            found = found or difference(expected["body"], body)
        for name, path in fields.get("keep", {}).items():
            values[name] = _followed(body, path)
        return found

    def _rpc(self, fields: Mapping[str, Any]) -> "_Answer":
        """Call the Pub/Sub API; the explanation of a refusal is its header `error-code`."""
        if self._events is None:
            self._events = EventCalls(
                self.known["pubsub"],
                instance_url=self.base_url,
                organization_id=self.known["organization_id"],
            )
        token = fields.get("auth") or self.token
        reply = self._events.call(fields["rpc"], fields["ask"], token=token)
        headers = {"error-code": reply.error_code}
        return _Answer(reply.status, headers, str(reply.body), reply.body)

    def _call(self, step: Step, fields: Mapping[str, Any], target: str) -> requests.Response:
        options: dict[str, Any] = {"headers": dict(fields.get("headers", {}))}
        if step.method == "soql":
            options["params"] = {"q": target}
            return self._send("GET", "/query", auth=fields.get("auth"), **options)
        if "body" in fields:
            options["json"] = fields["body"]
        elif "form" in fields:
            options["data"] = fields["form"]
        elif "text" in fields:
            options["data"] = str(fields["text"]).encode()
        return self._send(step.method.upper(), target, auth=fields.get("auth"), **options)

    def _send(
        self, method: str, path: str, *, auth: str | None = None, **options: Any
    ) -> requests.Response:
        if path.startswith("http"):
            # The receiver of a test's outbound messages: no business of the org's token.
            return self.http.request(method, path, timeout=TIMEOUT_S, **options)
        if not path.startswith(("/services", "/id/", "/__sandbox__")):
            path = f"/services/data/v{self.version}{path}"
        headers = dict(options.pop("headers", {}))
        if auth != "none":
            headers.setdefault("Authorization", auth or f"Bearer {self.token}")
        return self.http.request(
            method,
            self.base_url + path,
            headers=headers,
            timeout=TIMEOUT_S,
            allow_redirects=False,
            **options,
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back, over HTTP (its status is a number) or from the Pub/Sub API (a name)."""

    status: int | str
    headers: Mapping[str, str]
    text: str
    body: Any


def _read(answer: requests.Response) -> _Answer:
    try:
        body = answer.json() if answer.content else None
    except ValueError:
        body = answer.text
    return _Answer(answer.status_code, answer.headers, answer.text, body)


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    """Return a value of a case with its names replaced; a text that is one name keeps its kind."""
    if isinstance(value, str):
        whole = NAME.fullmatch(value)
        if whole and whole[1] in values:
            return values[whole[1]]
        return NAME.sub(lambda m: str(values.get(m[1], m[0])), value)
    if isinstance(value, Mapping) and "$times" in value:
        count = _filled(value["$times"], values)
        return [_filled(value["of"], {**values, "n": n}) for n in range(count)]
    if isinstance(value, Mapping):
        return {_filled(k, values): _filled(v, values) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(item, values) for item in value]
    return value


def _followed(body: Any, path: str) -> Any:
    for part in path.split(".") if path else ():
        body = body[int(part)] if part.isdigit() else body[part]
    return body


def _remember(
    status: int | str, fields: Mapping[str, Any], step: Step, body: Any, made: list[str]
) -> None:
    """Note what a call has made, to be deleted after the case."""
    rows = body if isinstance(body, list) else [body]
    if step.method not in {"post", "patch"} or status not in {200, 201}:
        return
    sent = fields.get("body")
    records = sent.get("records", ()) if isinstance(sent, dict) else ()
    object_name = fields.get("makes") or _object_of(step.target)
    for index, row in enumerate(rows):
        if isinstance(row, dict) and row.get("success") and row.get("id"):
            name = object_name
            if index < len(records) and isinstance(records[index], dict):
                name = records[index].get("attributes", {}).get("type", name)
            if name is not None:
                made.append(f"/sobjects/{name}/{row['id']}")


def _object_of(target: str) -> str | None:
    found = re.match(r"(?:/services/data/v[\d.]+)?/sobjects/(\w+)", target)
    return found[1] if found else None
