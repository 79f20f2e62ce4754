"""Who may come in: users, tokens, and the meter of API calls."""

import secrets
import threading
from dataclasses import dataclass

from .records.transaction import Actor
from .storage.database import Database

CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-secret"  # noqa: S105 - a public credential of a local test org
PASSWORD = "sandbox"  # noqa: S105
ADMIN = "admin@sandbox.example"
INTEGRATION = "integration@sandbox.example"
DAILY_CALLS = 100_000
MAX_SESSIONS = 10_000


@dataclass(frozen=True, slots=True)
class Session:
    """A token and the user it stands for."""

    token: str
    actor: Actor


class Sessions:
    """The open sessions of an org; they do not outlive the process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open: dict[str, Session] = {}

    def begin(self, username: str, *, organization_id: str) -> Session | None:
        """Open a session for an active user, or return None."""
        actor = self._actor(username)
        if actor is None:
            return None
        token = f"{organization_id[:15]}!{secrets.token_urlsafe(48)}"
        session = Session(token=token, actor=actor)
        self._open[token] = session
        while len(self._open) > MAX_SESSIONS:
            self._open.pop(next(iter(self._open)), None)
        return session

    def find(self, token: str) -> Session | None:
        """Return the session of a token."""
        return self._open.get(token)

    def end(self, token: str) -> bool:
        """Close one session; return whether it was open."""
        return self._open.pop(token, None) is not None

    def expire_all(self) -> int:
        """Close every session and return how many there were."""
        count = len(self._open)
        self._open.clear()
        return count

    def _actor(self, username: str) -> Actor | None:
        sql = (
            'SELECT u."Id", u."Username", p."PermissionsSendOutboundMessages" FROM "User" u '
            'LEFT JOIN "Profile" p ON p."Id" = u."ProfileId" '
            'WHERE u."Username" = ? AND u."IsActive" = 1 AND u."IsDeleted" = 0'
        )
        with self._database.read() as connection:
            row = connection.execute(sql, (username,)).fetchone()
        if row is None:
            return None
        return Actor(user_id=row[0], username=row[1], sends_outbound_messages=row[2] == 1)


class Meter:
    """Counts API calls against the daily allowance."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.used = 0
        self.most = DAILY_CALLS

    def count(self, calls: int = 1) -> bool:
        """Count calls; return False, counting nothing, where the allowance is used up."""
        with self._lock:
            if self.used >= self.most:
                return False
            self.used += calls
            return True

    def set(self, *, most: int | None, used: int | None) -> None:
        """Set the allowance or what is used of it."""
        with self._lock:
            self.most = self.most if most is None else most
            self.used = self.used if used is None else used

    def header(self) -> str:
        """Return the value of Sforce-Limit-Info."""
        return f"api-usage={self.used}/{self.most}"
