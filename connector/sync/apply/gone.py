"""Records that are gone from the CRM, and those that come back (fact sheet H.1, H.2).

A customer born in the CRM keeps its row, its services and its bills here: the row says since when
it is deleted, its link is Broken, and nothing of it is sent until it is restored. A record born
here that somebody deleted there is drift: its link is cut and it is owed to the CRM once more.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from connector.sync.inbox.arrivals import OrgRow
from connector.sync.inbox.store import in_waiting_pages

log = structlog.get_logger(__name__)

DELETED_CODE = "DELETED_IN_CRM"

# A deletion older than the version known has been undone since.
_MARK = text(
    """
    WITH said AS (
        SELECT n.sfid, n.at FROM jsonb_to_recordset(:rows) AS n(sfid text, at timestamptz))
    UPDATE crm_record r
       SET deleted_at = coalesce(n.at, r.system_modstamp, now()),
           system_modstamp = greatest(r.system_modstamp, n.at),
           sfid = CASE WHEN r.born = 'crm' THEN r.sfid END,
           known = CASE WHEN r.born = 'crm' THEN r.known ELSE '{}' END,
           status = CASE WHEN r.born = 'crm' THEN 'Ignored' ELSE 'Pending' END,
           error = 'It was deleted in the CRM.', error_code = :code,
           remedy = CASE WHEN r.born = 'crm'
                         THEN 'Restore it from the recycle bin of the CRM, or leave it so.'
                         ELSE 'Nothing: it is made again by itself.' END
      FROM said n
     WHERE r.sfid = n.sfid AND r.deleted_at IS NULL
       AND (n.at IS NULL OR r.system_modstamp IS NULL OR r.system_modstamp <= n.at)
    RETURNING r.entity, r.hub_id, r.born
    """
).bindparams(bindparam("rows", type_=JSONB))
_MARK_ACCOUNTS = text(
    """
    WITH said AS (
        SELECT n.sfid, n.at FROM jsonb_to_recordset(:rows) AS n(sfid text, at timestamptz))
    UPDATE account a
       SET deleted_at = coalesce(n.at, now()),
           link_state = CASE a.link_state WHEN 'Unlinked' THEN 'Unlinked' ELSE 'Broken' END
      FROM said n
     WHERE a.sfid = n.sfid AND a.deleted_at IS NULL
       AND NOT EXISTS (SELECT FROM crm_record r WHERE r.sfid = a.sfid AND r.deleted_at IS NULL)
    """
).bindparams(bindparam("rows", type_=JSONB))
_OWE = text(
    """
    INSERT INTO push_log (entity, keys)
    SELECT code, CAST(:keys AS bigint[]) FROM push_entity WHERE name = :entity
    """
)
# The instant of a mark that was wrong is no version of the record.
_RESTORE = text(
    """
    UPDATE crm_record r
       SET deleted_at = NULL, status = 'In Sync', error = NULL, error_code = NULL, remedy = NULL,
           system_modstamp = CASE WHEN n.is_seen THEN n.at ELSE r.system_modstamp END
      FROM jsonb_to_recordset(:rows) AS n(sfid text, at timestamptz, is_seen boolean)
     WHERE r.sfid = n.sfid AND (r.deleted_at <= n.at OR r.deleted_at IS NOT NULL AND n.is_seen)
       AND r.born = 'crm'
    RETURNING r.sfid, r.entity, r.hub_id
    """
).bindparams(bindparam("rows", type_=JSONB))
_RESTORE_ACCOUNTS = text(
    """
    UPDATE account a
       SET deleted_at = NULL,
           link_state = CASE WHEN EXISTS (SELECT FROM billing_account b WHERE b.account_id = a.id)
                             THEN 'Linked' ELSE 'Unlinked' END
      FROM jsonb_to_recordset(:rows) AS n(sfid text, at timestamptz, is_seen boolean)
     WHERE a.sfid = n.sfid AND (a.deleted_at <= n.at OR a.deleted_at IS NOT NULL AND n.is_seen)
    RETURNING a.sfid
    """
).bindparams(bindparam("rows", type_=JSONB))
_MARKED_LATER = text(
    """
    WITH said AS (
        SELECT n.sfid, n.at FROM jsonb_to_recordset(:rows) AS n(sfid text, at timestamptz))
    SELECT r.sfid FROM crm_record r JOIN said n ON n.sfid = r.sfid AND r.deleted_at > n.at
    UNION
    SELECT a.sfid FROM account a JOIN said n ON n.sfid = a.sfid AND a.deleted_at > n.at
    """
).bindparams(bindparam("rows", type_=JSONB))
_STANDING = text(
    """
    SELECT sfid, deleted_at IS NOT NULL AS is_marked FROM crm_record WHERE sfid = ANY(:sfids)
    UNION
    SELECT sfid, deleted_at IS NOT NULL FROM account WHERE sfid = ANY(:sfids)
    """
)


@dataclass(frozen=True, slots=True)
class Gone:
    """What became of some deletions."""

    marked: int = 0  # born in the CRM: kept here, no longer sent
    made_again: int = 0  # born here: owed to the CRM once more


def note_deleted(
    tx: Connection,
    object_name: str,
    sfids: Sequence[str],
    *,
    at: Mapping[str, datetime] | None = None,
) -> Gone:
    """Note that records are gone from the CRM; ids nobody here knows are passed over.

    `at` holds the org's instants of the deletions, where they are known.
    """
    rows = [{"sfid": sfid, "at": (at or {}).get(sfid)} for sfid in sfids]
    if not rows:
        return Gone()
    again: dict[str, list[int]] = {}
    marked = 0
    for row in tx.execute(_MARK, {"rows": rows, "code": DELETED_CODE}):
        if row.born == "hub":
            again.setdefault(row.entity, []).append(row.hub_id)
        else:
            marked += 1
    tx.execute(_MARK_ACCOUNTS, {"rows": rows})
    _owe(tx, again)
    made_again = sum(map(len, again.values()))
    if marked or made_again:
        log.warning("sync.deleted_in_crm", object=object_name, kept=marked, made_again=made_again)
    return Gone(marked, made_again)


def _owe(tx: Connection, owed: Mapping[str, list[int]]) -> None:
    for entity, keys in owed.items():
        tx.execute(_OWE, {"entity": entity, "keys": sorted(keys)})


def note_alive(
    tx: Connection, rows: Sequence[OrgRow], *, seen: Set[tuple[str, str]] = frozenset()
) -> int:
    """Restore the links of records that were deleted and are back; return how many.

    A page may be older than the deletion; what was `seen` a moment ago is not, whatever its stamp.
    """
    alive = [
        {
            "sfid": row.sfid,
            "at": row.version,
            "is_seen": (row.object_name, row.sfid) in seen,
        }
        for row in rows
        if not row.is_deleted
    ]
    if not alive:
        return 0
    restored: set[str] = set()
    owed: dict[str, list[int]] = {}
    for row in tx.execute(_RESTORE, {"rows": alive}):
        restored.add(row.sfid)
        owed.setdefault(row.entity, []).append(row.hub_id)
    restored |= set(tx.scalars(_RESTORE_ACCOUNTS, {"rows": alive}))
    _owe(tx, owed)  # what changed here meanwhile was not sent
    if restored:
        log.info("sync.undeleted_in_crm", count=len(restored))
    return len(restored)


def marked_later(tx: Connection, rows: Sequence[OrgRow]) -> list[OrgRow]:
    """Return the records a page shows alive that are marked as deleted since.

    The page may be old, or the mark wrong: a user who may not see a record takes it for gone, and
    when it is seen again it has the stamp it had (fact sheet H.1). Only a new look tells.
    """
    alive = [{"sfid": row.sfid, "at": row.version} for row in rows if not row.is_deleted]
    marked = set(tx.scalars(_MARKED_LATER, {"rows": alive})) if alive else set()
    return [row for row in rows if row.sfid in marked and not row.is_deleted]


def news_of_life(tx: Connection, rows: Sequence[OrgRow]) -> list[OrgRow]:
    """Return the records whose being deleted, or not, is another than what is known here."""
    standing = _standing(tx, [row.sfid for row in rows])
    return [row for row in rows if standing.get(row.sfid, row.is_deleted) != row.is_deleted]


def gone_before_entry(tx: Connection, object_name: str, rows: Sequence[OrgRow]) -> list[OrgRow]:
    """Return the deleted records that nobody here knows yet, but a waiting page shows alive."""
    deleted = [row for row in rows if row.is_deleted]
    standing = _standing(tx, [row.sfid for row in deleted])
    strangers = [row.sfid for row in deleted if row.sfid not in standing]
    entering = in_waiting_pages(tx, object_name, strangers)
    return [row for row in deleted if row.sfid in entering]


def known_alive(tx: Connection, object_name: str, sfids: Sequence[str]) -> set[str]:
    """Return those of the ids that are known here and not as deleted, or are about to be.

    A record whose page still waits is not known yet. Its deletion has to wait behind that page, or
    it would be entered alive and nobody would say again that it is gone.
    """
    standing = _standing(tx, sfids)
    strangers = [sfid for sfid in sfids if sfid not in standing]
    alive = {sfid for sfid, is_marked in standing.items() if not is_marked}
    return alive | in_waiting_pages(tx, object_name, strangers)


def _standing(tx: Connection, sfids: Sequence[str]) -> dict[str, bool]:
    if not sfids:
        return {}
    found = tx.execute(_STANDING, {"sfids": list(sfids)})
    standing: dict[str, bool] = {}
    for row in found:
        # Where both tables know it, one that is not marked yet decides.
        standing[row.sfid] = standing.get(row.sfid, True) and row.is_marked
    return standing
