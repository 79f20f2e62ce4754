"""Who may come in: users and tokens."""

import secrets
from collections import deque
from dataclasses import dataclass

from . import clock
from .auth.access import Access
from .auth.assertion import Certificates
from .auth.offline import OfflineAccess
from .records.transaction import Actor
from .storage.database import Database

CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-secret"  # noqa: S105 - a public credential of a local test org
PASSWORD = "sandbox"  # noqa: S105
ADMIN = "admin@sandbox.example"
INTEGRATION = "integration@sandbox.example"
MAX_SESSIONS = 10_000
IDLE_S = 7_200
LOGINS_PER_HOUR = 3_600
HOUR_S = 3_600


@dataclass(slots=True)
class Session:
    """A token and the user it stands for; it ends when it was not used for long enough."""

    token: str
    actor: Actor
    began_s: int
    used_s: float
    refresh: str | None = None  # the refresh token it was given for


class Sessions:
    """The open sessions of an org; they do not outlive the process."""

    def __init__(self, database: Database, access: Access) -> None:
        self._database = database
        self.access = access
        self._open: dict[str, Session] = {}
        self._logins: dict[str, deque[float]] = {}
        self.idle_s = IDLE_S
        self.since_s = clock.epoch_s()  # the schema does not change while the org runs
        self.recent: dict[str, deque[tuple[str, str]]] = {}
        self.certificates = Certificates()
        self.offline = OfflineAccess()

    def begin(
        self, username: str, *, organization_id: str, refresh: str | None = None
    ) -> Session | None:
        """Open a session for an active user, or return None."""
        actor = self.access.actor(username)
        if actor is None:
            return None
        token = f"{organization_id[:15]}!{secrets.token_urlsafe(48)}"
        session = Session(token, actor, clock.epoch_s(), clock.monotonic_s(), refresh)
        self._open[token] = session
        while len(self._open) > MAX_SESSIONS:
            self._open.pop(next(iter(self._open)), None)
        return session

    def peek(self, token: str) -> Session | None:
        """Return the session of a token; one that was idle for too long is closed."""
        session = self._open.get(token)
        if session is not None and clock.monotonic_s() - session.used_s > self.idle_s:
            self._open.pop(token, None)
            return None
        return session

    def find(self, token: str) -> Session | None:
        """Return the session of a token; every use begins its two hours anew."""
        session = self.peek(token)
        if session is not None:
            session.used_s = clock.monotonic_s()
        return session

    def renew(self, username: str) -> None:
        """Give the open sessions of a user what is granted by now; close them if that is none."""
        actor = self.access.actor(username)
        for token, session in list(self._open.items()):
            if session.actor.username.lower() != username.lower():
                continue
            if actor is None:
                self._open.pop(token, None)
            else:
                session.actor = actor

    def ends_s(self, session: Session) -> int:
        """Return when a session ends if nobody uses it from here on."""
        return clock.epoch_s() + max(0, int(self.idle_s - (clock.monotonic_s() - session.used_s)))

    def is_known(self, username: str) -> bool:
        """Return whether there is such a user, active or not."""
        sql = 'SELECT 1 FROM "User" WHERE "Username" = ? AND "IsDeleted" = 0'
        with self._database.read() as connection:
            return connection.execute(sql, (username,)).fetchone() is not None

    def count_login(self, username: str) -> bool:
        """Count a login; return False beyond 3,600 an hour of one user (fact sheet A.6)."""
        now_s = clock.monotonic_s()
        if len(self._logins) > MAX_SESSIONS:
            self._logins.clear()  # names that nobody has; the count of others begins anew
        times = self._logins.setdefault(username.lower(), deque(maxlen=LOGINS_PER_HOUR))
        if len(times) == LOGINS_PER_HOUR and now_s - times[0] < HOUR_S:
            return False
        times.append(now_s)
        return True

    def end_of_refresh(self, refresh: str) -> None:
        """Close the sessions that were opened with a refresh token."""
        for token in [t for t, one in list(self._open.items()) if one.refresh == refresh]:
            self._open.pop(token, None)

    def end(self, token: str) -> bool:
        """Close one session; return whether it was open."""
        return self._open.pop(token, None) is not None

    def expire_all(self) -> int:
        """Close every session and return how many there were."""
        count = len(self._open)
        self._open.clear()
        return count
