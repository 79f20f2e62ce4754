"""The start page: is anything stuck, and whom do we serve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from connector.sync.budget.lanes import Lane
from connector.sync.budget.usage import read_budget
from connector.sync.status import BudgetStatus

STUCK_SHOWN_MAX = 50


@dataclass(frozen=True, slots=True)
class Overview:
    """What the start page shows."""

    stuck: Sequence[Any]
    stuck_count: int
    waiting: int
    last_run: Any
    budget: BudgetStatus
    accounts: Sequence[Any]
    account_count: int

    @property
    def is_quiet(self) -> bool:
        """Whether nothing needs a person."""
        return not self.stuck


# Everything that will not go on by itself, with its reason and what to do.
STUCK = text(
    """
    SELECT s.*, count(*) OVER () AS found FROM (
    SELECT 'CRM record' AS kind,
           replace(entity, '_', ' ') || ' ' || coalesce(
               CASE entity
                   WHEN 'account' THEN (SELECT name FROM account WHERE id = hub_id)
                   WHEN 'billing_account' THEN
                        (SELECT number FROM billing_account WHERE id = hub_id)
                   WHEN 'product' THEN (SELECT key FROM product WHERE id = hub_id)
                   WHEN 'customer_order' THEN
                        (SELECT number FROM customer_order WHERE id = hub_id)
                   WHEN 'work_order' THEN (SELECT number FROM work_order WHERE id = hub_id)
                   WHEN 'task' THEN (SELECT number FROM task WHERE id = hub_id)
                   WHEN 'service' THEN (SELECT number FROM service WHERE id = hub_id)
                   WHEN 'invoice' THEN (SELECT number FROM invoice WHERE id = hub_id)
                   WHEN 'payment' THEN (SELECT number FROM payment WHERE id = hub_id)
               END, hub_id::text) AS what,
           concat_ws(': ', error_code, error) AS why, coalesce(remedy, '') AS remedy
      FROM crm_record WHERE status IN ('Error', 'Conflict')
    UNION ALL
    SELECT 'Request from the CRM', flow || ' on ' || object || ' ' || sfid, coalesce(reason, ''),
           coalesce(remedy, '')
      FROM intent WHERE state IN ('parked', 'failed')
    UNION ALL
    SELECT 'Message from the CRM', source || ' ' || id, coalesce(error, ''),
           'Mend the cause, then: l2c sync pull --retry'
      FROM inbox WHERE state = 'failed'
    UNION ALL
    SELECT 'Task', t.number || ' ' || t.name, coalesce(t.error_message, ''),
           'Restart or dismiss the task in the CRM.'
      FROM task t WHERE t.state = 'Error'
    UNION ALL
    SELECT 'Payment', p.number || ' ' || p.currency || ' ' || round(p.amount, 2),
           coalesce(p.hold_reason, ''),
           'Find out whose it is: l2c payments assign ' || p.number || ' --invoice NUMBER'
      FROM payment p WHERE p.billing_account_id IS NULL AND p.state = 'Processed'
    UNION ALL
    SELECT 'Usage', f.name || ': ' || count(*) || ' lines', s.reason_code,
           CASE s.stage WHEN 'import'
                THEN 'Mend the cause, then: l2c usage replay --feed ' || f.feed
                ELSE 'Mend the cause: the next rating of the month takes them up.' END
      FROM suspense s JOIN usage_file f ON f.id = s.usage_file_id
     WHERE s.state = 'open' GROUP BY f.id, s.stage, s.reason_code
    UNION ALL
    SELECT 'Bill run', b.key || coalesce(' ' || ba.number, ''), p.problem ->> 'reason',
           coalesce(p.problem ->> 'remedy', '')
      FROM bill_run b CROSS JOIN LATERAL jsonb_array_elements(b.problems) AS p(problem)
      LEFT JOIN billing_account ba ON ba.id = (p.problem ->> 'billing_account_id')::bigint
    UNION ALL
    SELECT 'Mapping', entity || ' (' || CASE halts WHEN 'push' THEN 'not sent' ELSE 'not read' END
           || ')', file || ':' || line || ' ' || field || ': ' || problem, remedy
      FROM mapping_finding WHERE halts IS NOT NULL
    UNION ALL
    SELECT 'Comparison with the CRM', drift || ' differences', 'Both sides were changed, or one '
           'side was changed by someone who may not.',
           'See l2c sync reconcile; with --repair the hub''s values are sent again.'
      FROM (SELECT drift FROM reconcile_report ORDER BY id DESC LIMIT 1) r WHERE drift > 0
    ) s
    LIMIT :most
    """
)

WAITING = text(
    "SELECT (SELECT count(*) FROM inbox WHERE state = 'pending')"
    " + (SELECT count(*) FROM intent WHERE state = 'pending')"
    " + (SELECT count(*) FROM push_queue)"
    " + (SELECT coalesce(sum(cardinality(keys)), 0) FROM push_log)"
)

LAST_RUN = text(
    "SELECT billed_to, accounts, finished_at FROM bill_run ORDER BY billed_to DESC LIMIT 1"
)

# Letters of a pattern stand for themselves: somebody's name may hold a per cent sign.
_FOUND = "a.deleted_at IS NULL AND position(lower(:search) IN lower(a.name)) > 0"

# The page is cut first: finance and states are then worked out for its accounts alone.
ACCOUNTS = text(
    f"""
    WITH shown AS MATERIALIZED (
        SELECT a.id, a.name, a.kind, a.brand_id, a.currency FROM account a
         WHERE {_FOUND} ORDER BY a.name, a.id LIMIT :limit OFFSET :offset
    )
    SELECT a.id, a.name, a.kind, b.name AS brand, f.balance, f.credit_balance,
           c.currency, f.last_invoice_on,
           (SELECT count(*) FROM service s
             WHERE s.account_id = a.id AND s.state = 'In Service') AS services,
           (SELECT count(*) FROM customer_order o
              JOIN LATERAL (SELECT v.state FROM v_order_state v
                             WHERE v.order_id = o.id OFFSET 0) v ON true
             WHERE o.account_id = a.id
               AND v.state NOT IN ('Completed', 'Canceled', 'Partial')) AS open_orders
      FROM shown a
      JOIN brand b ON b.id = a.brand_id
      LEFT JOIN LATERAL (
          SELECT * FROM v_account_finance f WHERE f.account_id = a.id OFFSET 0) f ON true
      LEFT JOIN LATERAL (
          -- the currency whose balance v_account_finance tells
          SELECT x.currency FROM billing_account x WHERE x.account_id = a.id
           ORDER BY x.currency IS DISTINCT FROM a.currency, x.opened_at, x.id LIMIT 1) c ON true
     ORDER BY a.name, a.id
    """  # noqa: S608 - a constant above
)

ACCOUNT_COUNT = text(f"SELECT count(*) FROM account a WHERE {_FOUND}")  # noqa: S608 - a constant


def read_overview(
    *, tx: Connection, search: str, limit: int, offset: int, shares: Mapping[Lane, int]
) -> Overview:
    """Read the start page; `search` is a part of account names."""
    budget, now = read_budget(tx, shares=shares)
    stuck = tx.execute(STUCK, {"most": STUCK_SHOWN_MAX}).all()
    found = {"search": search}
    return Overview(
        stuck=stuck,
        stuck_count=stuck[0].found if stuck else 0,
        waiting=int(tx.scalar(WAITING) or 0),
        last_run=tx.execute(LAST_RUN).one_or_none(),
        budget=BudgetStatus.of(budget, now=now),
        accounts=tx.execute(ACCOUNTS, found | {"limit": limit, "offset": offset}).all(),
        account_count=int(tx.scalar(ACCOUNT_COUNT, found) or 0),
    )
