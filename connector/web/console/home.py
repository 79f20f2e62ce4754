"""The start page: is anything stuck, and whom do we serve."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

STUCK_SHOWN_MAX = 50


@dataclass(frozen=True, slots=True)
class Overview:
    """What the start page shows."""

    stuck: Sequence[Any]
    waiting: int
    accounts: Sequence[Any]
    account_count: int

    @property
    def is_quiet(self) -> bool:
        """Whether nothing needs a person."""
        return not self.stuck


# Everything that will not go on by itself, or not soon, with its reason and what to do.
STUCK = text(
    """
    SELECT 'CRM record' AS kind, entity || ' ' || hub_id AS what, error AS why, remedy
      FROM crm_record WHERE status IN ('Error', 'Conflict')
    UNION ALL
    SELECT 'Request from the CRM', flow || ' on ' || object || ' ' || sfid, reason, remedy
      FROM intent WHERE state IN ('parked', 'failed')
    UNION ALL
    SELECT 'Message from the CRM', source || ' ' || id, error,
           'See l2c sync dead-letters.'
      FROM inbox WHERE state = 'failed'
    UNION ALL
    SELECT 'Task', t.number || ' ' || t.name, t.error_message,
           'Restart or dismiss the task in the CRM.'
      FROM task t WHERE t.state = 'Error'
    UNION ALL
    SELECT 'Payment', p.number || ' ' || p.currency || ' ' || round(p.amount, 2), p.hold_reason,
           'Find out whose money it is and allocate it.'
      FROM payment p WHERE p.billing_account_id IS NULL
    UNION ALL
    SELECT 'Usage', f.name || ': ' || count(*) || ' lines', s.reason_code,
           'Mend the cause, then l2c usage replay.'
      FROM suspense s JOIN usage_file f ON f.id = s.usage_file_id
     WHERE s.state = 'open' GROUP BY f.name, s.reason_code
    UNION ALL
    SELECT 'Bill run', b.key, problem ->> 'problem', coalesce(problem ->> 'remedy', '')
      FROM bill_run b CROSS JOIN LATERAL jsonb_array_elements(b.problems) AS problem
    LIMIT :most
    """
)

WAITING = text(
    "SELECT (SELECT count(*) FROM inbox WHERE state = 'pending')"
    " + (SELECT count(*) FROM intent WHERE state = 'pending')"
    " + (SELECT count(*) FROM push_queue) + (SELECT count(*) FROM push_log)"
)

ACCOUNTS = text(
    """
    SELECT a.id, a.name, a.kind, b.name AS brand, f.balance, f.credit_balance,
           coalesce(a.currency, '') AS currency, f.last_invoice_on,
           (SELECT count(*) FROM service s
             WHERE s.account_id = a.id AND s.state = 'In Service') AS services,
           (SELECT count(*) FROM customer_order o JOIN v_order_state v ON v.order_id = o.id
             WHERE o.account_id = a.id
               AND v.state NOT IN ('Completed', 'Canceled', 'Partial')) AS open_orders
      FROM account a
      JOIN brand b ON b.id = a.brand_id
      LEFT JOIN v_account_finance f ON f.account_id = a.id
     WHERE a.deleted_at IS NULL
     ORDER BY a.name, a.id
     LIMIT :limit OFFSET :offset
    """
)


def read_overview(*, tx: Connection, limit: int, offset: int) -> Overview:
    """Read the start page."""
    return Overview(
        stuck=tx.execute(STUCK, {"most": STUCK_SHOWN_MAX}).all(),
        waiting=int(tx.scalar(WAITING) or 0),
        accounts=tx.execute(ACCOUNTS, {"limit": limit, "offset": offset}).all(),
        account_count=int(
            tx.scalar(text("SELECT count(*) FROM account WHERE deleted_at IS NULL")) or 0
        ),
    )
