"""Who may see and do what: permission sets, their assignments, and users made by command."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..records.save import Writer
from ..records.transaction import Actor
from ..schema.model import Schema
from ..schema.permissions import PermissionSet, schema_for
from ..storage.database import Database
from ..storage.tables import quoted

if TYPE_CHECKING:
    from ..org import Org

MAX_VIEWS = 200
SENDS_MESSAGES = "sendoutboundmessages"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A user to be created or changed by command."""

    username: str
    profile: str
    permission_sets: tuple[str, ...]
    fields: Mapping[str, Any]


class UnknownName(Exception):
    """A profile or permission set that the org does not have."""


class Access:
    """The permission sets of the org, and the views of the schema that follow from them."""

    def __init__(
        self, *, schema: Schema, database: Database, permission_sets: Sequence[PermissionSet]
    ) -> None:
        self._schema = schema
        self._database = database
        self._sets = {one.name: one for one in permission_sets}
        self._views: dict[frozenset[str], Schema] = {}

    def actor(self, username: str) -> Actor | None:
        """Return an active user with all that was granted, or None."""
        sql = (
            'SELECT u."Id", u."Username", p."PermissionsSendOutboundMessages", '
            'p."PermissionsModifyAllData" FROM "User" u '
            'LEFT JOIN "Profile" p ON p."Id" = u."ProfileId" '
            'WHERE u."Username" = ? AND u."IsActive" = 1 AND u."IsDeleted" = 0'
        )
        with self._database.read() as connection:
            row = connection.execute(sql, (username,)).fetchone()
            if row is None:
                return None
            names = connection.execute(
                'SELECT s."Name" FROM "PermissionSetAssignment" a JOIN "PermissionSet" s '
                'ON s."Id" = a."PermissionSetId" WHERE a."AssigneeId" = ? AND a."IsDeleted" = 0',
                (row[0],),
            ).fetchall()
        sets = [self._sets[name] for (name,) in names if name in self._sets]
        granted = frozenset().union(*(one.custom for one in sets))
        sends = row[2] == 1 or any(SENDS_MESSAGES in one.user for one in sets)
        return Actor(
            user_id=row[0],
            username=row[1],
            sends_outbound_messages=sends,
            permissions=granted,
            view=None if row[3] == 1 else self._view(sets),
        )

    def _view(self, sets: Sequence[PermissionSet]) -> Schema:
        key = frozenset(one.name for one in sets)
        view = self._views.get(key)
        if view is None:
            if len(self._views) >= MAX_VIEWS:
                self._views.clear()
            view = self._views[key] = schema_for(self._schema, sets)
        return view

    def plant(self, writer: Writer, *, integration: str | None) -> None:
        """Bring the records of permission sets in line with the metadata.

        Args:
            writer: Of a transaction of the org itself.
            integration: On a fresh org, the user the app runs as: it is assigned the sets that
                carry a custom permission, as an administrator would do when setting it up.
        """
        item = writer.tx.schema.get("PermissionSet")
        rows = writer.tx.connection.execute('SELECT "Name", "Id" FROM "PermissionSet"').fetchall()
        known = dict(rows)
        fresh = [one for one in self._sets.values() if one.name not in known]
        ids = writer.insert(
            item,
            [
                {
                    "Name": one.name,
                    "Label": one.label[:80],
                    "Description": (one.description or "")[:255] or None,
                    "IsCustom": 1,
                }
                for one in fresh
            ],
        )
        known |= {one.name: new_id for one, new_id in zip(fresh, ids, strict=True)}
        if integration is not None:
            names = [one.name for one in self._sets.values() if one.custom]
            self._assign(writer, _id_of(writer, "User", "Username", integration), names, known)

    def _assign(
        self, writer: Writer, user_id: str, names: Sequence[str], ids: Mapping[str, str]
    ) -> None:
        rows = [{"PermissionSetId": ids[name], "AssigneeId": user_id} for name in names]
        writer.insert(writer.tx.schema.get("PermissionSetAssignment"), rows)

    def put_user(self, org: "Org", wanted: Wanted, *, actor: Actor, request_id: str) -> str:
        """Create or change a user and replace the assignments; return the id.

        Raises:
            UnknownName: There is no such profile or permission set.
            ApiError: A field of the user is refused.
        """
        from ..records.service import create

        with org.transaction(actor, request_id=request_id) as writer:
            connection = writer.tx.connection
            ids = dict(connection.execute('SELECT "Name", "Id" FROM "PermissionSet"').fetchall())
            for name in wanted.permission_sets:
                if name not in ids:
                    raise UnknownName(f"there is no permission set {name}")
            profile = _id_of(writer, "Profile", "Name", wanted.profile)
            values = {**wanted.fields, "ProfileId": profile, "IsActive": True}
            user = writer.tx.schema.get("User")
            row = connection.execute(
                'SELECT "Id" FROM "User" WHERE "Username" = ?', (wanted.username,)
            ).fetchone()
            if row is None:
                values = _defaults(wanted.username) | values
                outcome = create(writer, user, [values], system=True)[0]
                if outcome.errors or outcome.id is None:
                    raise UnknownName("; ".join(error.message for error in outcome.errors))
                user_id = outcome.id
            else:
                user_id = str(row[0])
                writer.touch(user, {user_id: {"ProfileId": profile, "IsActive": 1}})
            connection.execute(
                'DELETE FROM "PermissionSetAssignment" WHERE "AssigneeId" = ?', (user_id,)
            )
            self._assign(writer, user_id, wanted.permission_sets, ids)
        return user_id


def _defaults(username: str) -> dict[str, Any]:
    return {
        "Username": username,
        "LastName": username.partition("@")[0][:80],
        "Email": username,
        "Alias": username.partition("@")[0][:8],
        "UserType": "Standard",
        "TimeZoneSidKey": "GMT",
        "LocaleSidKey": "en_US",
        "EmailEncodingKey": "UTF-8",
        "LanguageLocaleKey": "en_US",
    }


def _id_of(writer: Writer, name: str, column: str, value: str) -> str:
    sql = f'SELECT "Id" FROM {quoted(name)} WHERE {quoted(column)} = ?'
    row = writer.tx.connection.execute(sql, (value,)).fetchone()
    if row is None:
        raise UnknownName(f"there is no {name} {value}")
    return str(row[0])
