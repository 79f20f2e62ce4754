"""The score of an account: which share of its records the CRM shows as the hub knows them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from connector.sync.mapping.definition import Mapping, Mappings, Parent
from connector.sync.mapping.transforms import literal

ACCOUNT = "account"
ACCOUNT_COLUMN = "account_sfid"  # of push views: the Salesforce id of the account

_CREATE = (
    text("""
    CREATE TEMPORARY TABLE crm_account_of (entity text, hub_id bigint, account_id bigint,
                                           PRIMARY KEY (entity, hub_id))
"""),
    text("CREATE TEMPORARY TABLE crm_score (account_id bigint, records bigint, in_step bigint)"),
)
_DROP = text("DROP TABLE IF EXISTS crm_account_of, crm_score")
_REMEMBER = text("""
    INSERT INTO crm_account_of (entity, hub_id, account_id)
    SELECT :entity, hub_id, account_id FROM crm_drift
     WHERE hub_id IS NOT NULL AND account_id IS NOT NULL
""")
_ADD = text("""
    INSERT INTO crm_score (account_id, records, in_step)
    SELECT account_id, count(*),
           count(*) FILTER (WHERE NOT (is_owed OR is_in_conflict)
                              AND kind = 'differing' AND cardinality(fields) = 0)
      FROM crm_drift WHERE account_id IS NOT NULL GROUP BY account_id
""")
_KEEP = text("""
    INSERT INTO account_score AS a (account_id, records, in_step, made_at)
    SELECT account_id, sum(records), sum(in_step), :now FROM crm_score
     GROUP BY account_id ORDER BY account_id
    ON CONFLICT (account_id) DO UPDATE
       SET records = excluded.records, in_step = excluded.in_step, made_at = excluded.made_at
""")
_FORGET = text("""
    DELETE FROM account_score a
     WHERE NOT EXISTS (SELECT FROM crm_score s WHERE s.account_id = a.account_id)
""")
_READ = text("""
    SELECT s.account_id, a.name, a.sfid, s.records, s.in_step, s.made_at
      FROM account_score s JOIN account a ON a.id = s.account_id
     WHERE CAST(:account_id AS bigint) IS NULL OR s.account_id = :account_id
     ORDER BY s.in_step\\:\\:numeric / s.records, s.account_id LIMIT :limit
""")


@dataclass(frozen=True, slots=True)
class AccountScore:
    """How much of an account the last comparison found in step; all of it is 100."""

    account_id: int
    name: str
    sfid: str | None
    records: int
    in_step: int
    made_at: datetime

    @property
    def percent(self) -> Decimal:
        """Return the share in percent, rounded down: 100 means all of it."""
        return Decimal(self.in_step * 1_000 // self.records) / 10


class Scores:
    """Adds up, entity by entity, what a comparison finds; works in temporary tables."""

    def __init__(self, session: Connection, mappings: Mappings) -> None:
        self._session = session
        self._parents = {
            parent.entity for mapping in mappings.pushed for parent in mapping.parents.values()
        }
        self.drop()
        for statement in _CREATE:
            session.execute(statement)

    def add(self, mapping: Mapping) -> None:
        """Count the pairs of the entity that was compared last."""
        self._session.execute(_ADD)
        if mapping.entity in self._parents:
            self._session.execute(_REMEMBER, {"entity": mapping.entity})
            self._session.execute(text("ANALYZE crm_account_of"))

    def keep(self, *, now: datetime) -> None:
        """Replace the scores of the last comparison."""
        self._session.execute(_KEEP, {"now": now})
        self._session.execute(_FORGET)

    def drop(self) -> None:
        """Remove the temporary tables."""
        self._session.execute(_DROP)


def account_sql(mapping: Mapping, mappings: Mappings) -> tuple[str, str]:
    """Return the SQL of the account a row of the push view `v` belongs to, and the joins it needs.

    It is named by the row itself, or by the first of its parents that has one.
    """
    if mapping.entity == ACCOUNT:
        return "v.id", ""
    if any(field.column == ACCOUNT_COLUMN for field in mapping.fields.values()):
        return "acc.id", f'LEFT JOIN account acc ON acc.sfid = v."{ACCOUNT_COLUMN}"'
    parent = _belongs_to(mapping, mappings, frozenset())
    if parent is None:
        return "NULL\\:\\:bigint", ""
    return (
        "acc.account_id",
        f"LEFT JOIN crm_account_of acc ON acc.entity = {literal(parent.entity)} "
        f'AND acc.hub_id = v."{parent.column}"',
    )


def _belongs_to(mapping: Mapping, mappings: Mappings, above: frozenset[str]) -> Parent | None:
    for parent in sorted(mapping.parents.values(), key=lambda one: not one.required):
        target = mappings.by_entity[parent.entity]
        if target.entity in above | {mapping.entity} or target.push is None:
            continue
        if (
            target.entity == ACCOUNT
            or any(field.column == ACCOUNT_COLUMN for field in target.fields.values())
            or _belongs_to(target, mappings, above | {mapping.entity}) is not None
        ):
            return parent
    return None


def read_scores(
    *, tx: Connection, account_id: int | None = None, limit: int = 1_000
) -> tuple[AccountScore, ...]:
    """Return the scores of the last comparison, the worst first; all of them, or one account's."""
    rows = tx.execute(_READ, {"account_id": account_id, "limit": limit})
    return tuple(AccountScore(**row._mapping) for row in rows)
