"""Transactions that stamp their records now and commit later, by command (fact sheet H.1).

The calls of such a transaction are run once when it opens, so that ids, stamps, answers and
locks are known, and undone; at commit they are run again with the same ids and stamps. Until
then nobody sees the records, others wait for their locks, and `latestDateCovered` stays behind.
"""

import itertools
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import clock
from .errors import ApiError
from .origin import origin, origin_of
from .records.transaction import Actor, Course, IdSource
from .schema.model import ObjectType
from .sessions import INTEGRATION, Session

if TYPE_CHECKING:
    from .org import Org
    from .rest.http import Request

MAX_OPEN = 100
MAX_CALLS = 200
FAILED_FROM = 400


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction that waits for its commit."""

    id: str
    opened_s: int
    actor: Actor
    calls: tuple["Request", ...]
    taken: Mapping[str, Sequence[str]]

    def as_json(self) -> dict[str, Any]:
        """Return the form the admin calls show."""
        return {
            "id": self.id,
            "opened_at": clock.from_epoch(self.opened_s).isoformat(),
            "calls": [f"{call.method} {call.path}" for call in self.calls],
        }


class _UndoError(Exception):
    """Takes back what a transaction did while it was opened."""


class LateCommits:
    """The open transactions of one org."""

    def __init__(self, org: "Org") -> None:
        self._org = org
        self._open: dict[str, OpenTransaction] = {}
        self._numbers = itertools.count(1)
        self._guard = threading.Lock()

    def covered_s(self, end_s: int) -> int:
        """Return up to which second changes before `end_s` are surely visible."""
        opened = [tx.opened_s for tx in list(self._open.values())]
        return min([end_s, clock.epoch_s(), *opened])

    def overview(self) -> list[dict[str, Any]]:
        """Return the open transactions, oldest first."""
        return [tx.as_json() for tx in list(self._open.values())]

    def open(self, calls: Sequence["Request"], *, username: str | None) -> dict[str, Any]:
        """Open a transaction; its records are stamped with the present second.

        Raises:
            ApiError: One of the calls is refused; then nothing is open.
        """
        if not 0 < len(calls) <= MAX_CALLS or len(self._open) >= MAX_OPEN:
            message = f"requests must be 1 to {MAX_CALLS} calls; {MAX_OPEN} may be open at once"
            raise ApiError(400, "INVALID_INPUT", message)
        session = self._session(username or INTEGRATION)
        for call in calls:
            call.session = session
        holder = f"t{next(self._numbers)}"
        opened_s = clock.epoch_s()

        def rehearse() -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
            ids = _Recorded(self._org.ids)
            locked: set[str] = set()
            answers: list[dict[str, Any]] = []
            try:
                course = Course(now_s=opened_s, ids=ids, locked=locked)
                with self._org.transaction(session.actor, request_id=holder, course=course):
                    answers = self._run(calls)
                    self._org.locks.take(holder, locked)
                    raise _UndoError
            except _UndoError:
                return answers, ids.taken

        answers, taken = self._org.locks.patiently(rehearse)
        tx = OpenTransaction(holder, opened_s, session.actor, tuple(calls), taken)
        with self._guard:
            self._open[holder] = tx
        return tx.as_json() | {"answers": answers}

    def commit(self, holder: str) -> dict[str, Any]:
        """Write the records of an open transaction, with the stamps of its opening.

        Raises:
            ApiError: 404 for an unknown one, 400 where a call is refused by now.
        """
        tx = self._find(holder)
        course = Course(now_s=tx.opened_s, ids=_Replayed(self._org.ids, tx.taken))
        with self._org.transaction(tx.actor, request_id=holder, course=course):
            # Nobody writes in between: the locks are free only for this very transaction.
            self._close(holder)
            answers = self._run(tx.calls)
        return tx.as_json() | {"answers": answers}

    def roll_back(self, holder: str) -> dict[str, Any]:
        """Forget an open transaction.

        Raises:
            ApiError: 404 for an unknown one.
        """
        tx = self._find(holder)
        self._close(holder)
        return tx.as_json()

    def forget(self) -> None:
        """Roll all open transactions back."""
        with self._guard:
            self._open.clear()
        self._org.locks.release_all()

    def _find(self, holder: str) -> OpenTransaction:
        tx = self._open.get(holder)
        if tx is None:
            raise ApiError(404, "NOT_FOUND", f"no transaction {holder} is open")
        return tx

    def _close(self, holder: str) -> None:
        with self._guard:
            if self._open.pop(holder, None) is None:
                raise ApiError(404, "NOT_FOUND", f"no transaction {holder} is open")
        self._org.locks.release(holder)

    def _run(self, calls: Sequence["Request"]) -> list[dict[str, Any]]:
        from .rest.app import answer_inner

        answers = []
        for call in calls:
            origin.set(origin_of(call.path, ""))
            answer = answer_inner(self._org, call)
            if answer.status >= FAILED_FROM:
                first = answer.body[0] if isinstance(answer.body, list) else {}
                message = f"{call.method} {call.path}: {first.get('message', answer.status)}"
                raise ApiError(400, str(first.get("errorCode", "INVALID_INPUT")), message)
            answers.append({"status": answer.status, "body": answer.body})
        return answers

    def _session(self, username: str) -> Session:
        organization_id = self._org.organization_id
        session = self._org.sessions.begin(username, organization_id=organization_id)
        if session is None:
            raise ApiError(400, "INVALID_INPUT", f"no active user {username}")
        self._org.sessions.end(session.token)
        return session


class _Recorded:
    """Hands out ids and remembers which."""

    def __init__(self, source: IdSource) -> None:
        self._source = source
        self.taken: dict[str, list[str]] = {}

    def take(self, connection: sqlite3.Connection, item: ObjectType, count: int) -> list[str]:
        """Return new ids of an object."""
        ids = self._source.take(connection, item, count)
        self.taken.setdefault(item.name, []).extend(ids)
        return ids


class _Replayed:
    """Hands out the ids of an earlier run again, then new ones."""

    def __init__(self, source: IdSource, taken: Mapping[str, Sequence[str]]) -> None:
        self._source = source
        self._left = {name: list(ids) for name, ids in taken.items()}

    def take(self, connection: sqlite3.Connection, item: ObjectType, count: int) -> list[str]:
        """Return ids of an object."""
        left = self._left.get(item.name, [])
        again, self._left[item.name] = left[:count], left[count:]
        missing = count - len(again)
        return again + (self._source.take(connection, item, missing) if missing else [])
