-- What is paid, credited, open and left over. Balances are never stored: they follow allocations.
-- Lateral joins, because most readers ask for a few rows and must not pay for all of them.

-- What earlier credits left of each line of a finalised document, where anything is left. A line
-- that is a credit itself has no credits of its own.
CREATE VIEW v_invoice_line_left AS
SELECT l.id AS line_id, l.invoice_id, l.line_no, l.amount + c.amount AS amount_left,
       l.tax_amount + c.tax AS tax_left
  FROM invoice_line l
  JOIN invoice i ON i.id = l.invoice_id AND i.state = 'finalised'
  CROSS JOIN LATERAL (
      SELECT coalesce(sum(g.amount), 0) AS amount, coalesce(sum(g.tax_amount), 0) AS tax
        FROM invoice_line g
        JOIN invoice n ON n.id = g.invoice_id AND n.state = 'finalised'
       WHERE g.corrects_line_id = l.id
  ) c
 WHERE (l.amount + c.amount <> 0 OR l.tax_amount + c.tax <> 0)
   AND NOT EXISTS (SELECT 1 FROM invoice v WHERE v.run_key = 'void:' || l.invoice_id
                      AND v.state = 'finalised');

-- balance = total - paid - credited, for invoices and for credit notes. A credit note's total is
-- negative; what is used of it counts as a negative credit, so its balance rises to zero. What was
-- written off counts as credited.
CREATE VIEW v_invoice_balance AS
SELECT s.invoice_id, s.paid, s.credited, s.balance,
       CASE
           WHEN s.state = 'draft' THEN 'Draft'
           WHEN s.voided_at IS NOT NULL OR s.is_void THEN 'Void'
           WHEN s.written_off > 0 THEN 'Written Off'
           WHEN s.type = 'Credit Note' THEN
               CASE WHEN s.balance = 0 THEN 'Credited' ELSE 'Issued' END
           WHEN s.balance = 0 THEN
               CASE WHEN s.credited > 0 AND s.paid = 0 THEN 'Credited' ELSE 'Paid' END
           WHEN s.paid + s.credited > 0 THEN 'Partially Paid'
           ELSE 'Issued'
       END AS status,
       CASE WHEN s.type <> 'Credit Note' AND s.state = 'finalised' AND s.balance = 0
                 AND s.voided_at IS NULL AND s.written_off = 0 AND NOT s.is_void
            THEN coalesce(s.last_on, s.invoice_on) END AS paid_on
  FROM (
      SELECT i.id AS invoice_id, i.type, i.state, i.voided_at, i.invoice_on, g.last_on,
             g.paid, g.credited - u.used + w.amount AS credited, w.amount AS written_off,
             CASE WHEN i.voided_at IS NULL
                  THEN i.total - g.paid - g.credited + u.used - w.amount ELSE 0 END AS balance,
             EXISTS (SELECT 1 FROM invoice v
                      WHERE v.run_key = 'void:' || i.id AND v.state = 'finalised') AS is_void
        FROM invoice i
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(a.amount) FILTER (WHERE a.payment_id IS NOT NULL), 0) AS paid,
                   coalesce(sum(a.amount) FILTER (WHERE a.credit_invoice_id IS NOT NULL), 0)
                       AS credited,
                   max(coalesce(p.received_on, c.invoice_on)) AS last_on
              FROM allocation a
              LEFT JOIN payment p ON p.id = a.payment_id
              LEFT JOIN invoice c ON c.id = a.credit_invoice_id
             WHERE a.invoice_id = i.id AND NOT a.is_reversed
        ) g
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(a.amount), 0) AS used
              FROM allocation a
             WHERE a.credit_invoice_id = i.id AND NOT a.is_reversed
        ) u
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(o.amount), 0) AS amount
              FROM write_off o
             WHERE o.invoice_id = i.id
        ) w
  ) s;

-- Money nobody has used yet stays visible, also when its owner is not known.
CREATE VIEW v_payment_unapplied AS
SELECT p.id AS payment_id, u.applied,
       CASE WHEN p.state = 'Processed' THEN p.amount - u.applied ELSE 0 END AS unapplied
  FROM payment p
  CROSS JOIN LATERAL (
      SELECT coalesce(sum(a.amount), 0) AS applied
        FROM allocation a
       WHERE a.payment_id = p.id AND NOT a.is_reversed
  ) u;

-- balance: open invoices less what the customer has to their credit; credit_balance: that credit.
CREATE VIEW v_billing_account_balance AS
SELECT b.id AS billing_account_id,
       d.owed - d.credit_notes - m.unapplied AS balance,
       d.credit_notes + m.unapplied AS credit_balance,
       d.oldest_due_on,
       i.invoice_on AS last_invoice_on, i.total AS last_invoice_total,
       p.received_on AS last_payment_on, p.amount AS last_payment_amount
  FROM billing_account b
  CROSS JOIN LATERAL (
      SELECT coalesce(sum(v.balance) FILTER (WHERE i.type <> 'Credit Note'), 0) AS owed,
             coalesce(-sum(v.balance) FILTER (WHERE i.type = 'Credit Note'), 0) AS credit_notes,
             min(i.due_on) FILTER (WHERE i.type <> 'Credit Note' AND v.balance > 0)
                 AS oldest_due_on
        FROM invoice i
        JOIN v_invoice_balance v ON v.invoice_id = i.id
       WHERE i.billing_account_id = b.id AND i.state = 'finalised'
  ) d
  CROSS JOIN LATERAL (
      SELECT coalesce(sum(u.unapplied), 0) AS unapplied
        FROM payment p
        JOIN v_payment_unapplied u ON u.payment_id = p.id
       WHERE p.billing_account_id = b.id
  ) m
  LEFT JOIN LATERAL (
      SELECT invoice_on, total
        FROM invoice
       WHERE billing_account_id = b.id AND state = 'finalised' AND type <> 'Credit Note'
         AND voided_at IS NULL
       ORDER BY invoice_on DESC, id DESC LIMIT 1
  ) i ON true
  LEFT JOIN LATERAL (
      SELECT received_on, amount
        FROM payment
       WHERE billing_account_id = b.id AND state = 'Processed'
       ORDER BY received_on DESC, id DESC LIMIT 1
  ) p ON true;

-- One row per customer. Amounts of different currencies do not add up: the account's own currency
-- counts, or the one that was billed first when it names none.
CREATE VIEW v_account_finance AS
SELECT a.id AS account_id, f.balance, f.credit_balance, f.sources,
       f.last_invoice_on, f.last_invoice_total, f.last_payment_on, f.last_payment_amount
  FROM account a
  CROSS JOIN LATERAL (
      SELECT b.currency
        FROM billing_account b
       WHERE b.account_id = a.id
       ORDER BY (b.currency IS DISTINCT FROM a.currency), b.opened_at, b.id LIMIT 1
  ) leading_currency
  CROSS JOIN LATERAL (
      SELECT sum(v.balance) AS balance, sum(v.credit_balance) AS credit_balance,
             string_agg(DISTINCT b.system, ', ' ORDER BY b.system) AS sources,
             max(v.last_invoice_on) AS last_invoice_on,
             (array_agg(v.last_invoice_total ORDER BY v.last_invoice_on DESC NULLS LAST))[1]
                 AS last_invoice_total,
             max(v.last_payment_on) AS last_payment_on,
             (array_agg(v.last_payment_amount ORDER BY v.last_payment_on DESC NULLS LAST))[1]
                 AS last_payment_amount
        FROM billing_account b
        JOIN v_billing_account_balance v ON v.billing_account_id = b.id
       WHERE b.account_id = a.id AND b.currency = leading_currency.currency
  ) f;

-- Recurring charges are billed in advance: the next one is due on the day up to which the last went.
-- Where a foreign system bills, its lines say how far, and what was handed to it says how much.
CREATE VIEW v_service_billing AS
SELECT c.service_id,
       min(c.starts_on) AS billing_start_on,
       max(least(l.billed_to, c.ends_on)) - 1 AS billed_through_on,  -- the last day, inclusive
       coalesce(
           sum(c.quantity * c.unit_price * (100 - c.discount_percent) / 100)
               FILTER (WHERE c.ends_on IS NULL), 0) AS billed_mrr,
       CASE WHEN bool_or(c.ends_on IS NULL)
            THEN coalesce(max(least(l.billed_to, c.ends_on)), min(c.starts_on)) END
           AS next_charge_on
  FROM charge c
  CROSS JOIN LATERAL (
      SELECT max(l.service_to) AS billed_to
        FROM invoice_line l
        JOIN invoice i ON i.id = l.invoice_id
       WHERE l.charge_id = c.id AND i.state = 'finalised' AND l.amount > 0
  ) l
 WHERE c.kind = 'recurring' AND c.service_id IS NOT NULL
   AND c.ends_on IS DISTINCT FROM c.starts_on
 GROUP BY c.service_id
UNION ALL
SELECT m.service_id,
       min(m.effective_on) FILTER (WHERE m.command = 'start') AS billing_start_on,
       least(l.billed_to, e.ended_on) - 1 AS billed_through_on,
       CASE WHEN e.ended_on IS NULL THEN
           (array_agg(m.quantity * m.unit_price ORDER BY m.effective_on DESC, m.id DESC)
               FILTER (WHERE m.command IN ('start', 'change')))[1] ELSE 0 END AS billed_mrr,
       CASE WHEN e.ended_on IS NULL THEN
           coalesce(l.billed_to, min(m.effective_on) FILTER (WHERE m.command = 'start')) END
           AS next_charge_on
  FROM billing_command m
  CROSS JOIN LATERAL (
      SELECT min(x.effective_on) AS ended_on
        FROM billing_command x
       WHERE x.service_id = m.service_id AND x.command = 'end' AND x.delivered_at IS NOT NULL
  ) e
  CROSS JOIN LATERAL (
      SELECT max(l.service_to) AS billed_to
        FROM invoice_line l
        JOIN invoice i ON i.id = l.invoice_id
       WHERE l.service_id = m.service_id AND i.system <> 'builtin' AND i.voided_at IS NULL
         AND l.kind IN ('Recurring', 'Proration') AND l.amount > 0
  ) l
 WHERE m.command IN ('start', 'change') AND m.delivered_at IS NOT NULL
 GROUP BY m.service_id, e.ended_on, l.billed_to;
