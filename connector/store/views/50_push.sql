-- What the CRM is to show, one view per mapped entity: `id` and the columns its mapping names.
-- Only finalised documents are here. A view that reads an aggregate does so in a LATERAL with
-- OFFSET 0: fetching a thousand keys then costs a thousand index look-ups, not a whole aggregation.

CREATE VIEW push_product AS
SELECT p.id, p.key, p.name, p.display_name, p.kind, nullif(p.vendor, '') AS vendor,
       p.is_location_based, p.change_policy, true AS is_active
  FROM product p;

CREATE VIEW push_price_entry AS
SELECT e.id, e.product_id,
       p.key || ' ' || e.request_type
           || CASE WHEN e.term_months > 0 THEN ' ' || e.term_months || ' months' ELSE '' END
           || ' ' || e.currency AS name,
       'builtin' AS billing_system, e.request_type, e.term_months, e.renewal_type, e.currency,
       e.mr_price, e.nr_price, e.work_order_template, e.valid_from, e.valid_to
  FROM price_entry e JOIN product p ON p.id = e.product_id;

CREATE VIEW push_location AS
SELECT l.id, l.sfid, a.sfid AS account_sfid, l.name, 'builtin' AS billing_system, l.street, l.city,
       l.postal_code, l.country, l.normalized_key
  FROM location l JOIN account a ON a.id = l.account_id AND a.deleted_at IS NULL
 WHERE l.sfid IS NULL
    OR EXISTS (SELECT FROM crm_record r
                WHERE r.entity = 'location' AND r.hub_id = l.id AND r.born = 'hub');

-- Customers only, and while the CRM has them (what belongs to a deleted one waits for its return):
-- an account that never ordered stays as the CRM made it.
CREATE VIEW push_account AS
SELECT a.id, a.sfid, a.link_state,
       'l2c:billing_account:' || b.id AS billing_account_key,
       b.number AS billing_account_number, b.status AS billing_status,
       f.balance, f.credit_balance, f.last_invoice_on, f.last_invoice_total,
       f.last_payment_on, f.last_payment_amount, f.sources, s.mrr, s.active_services
  FROM account a
  JOIN LATERAL (SELECT * FROM billing_account b WHERE b.account_id = a.id
                 ORDER BY b.superseded_by_id IS NOT NULL, b.id LIMIT 1) b ON true
  LEFT JOIN LATERAL (SELECT * FROM v_account_finance f WHERE f.account_id = a.id OFFSET 0) f
         ON true
  CROSS JOIN LATERAL (
       SELECT count(*) AS active_services,
              coalesce(sum(s.mr_price * s.quantity), 0)
              + coalesce(sum((SELECT sum(o.unit_mr_price * o.quantity) FROM add_on o
                               WHERE o.service_id = s.id AND o.end_on IS NULL)), 0) AS mrr
         FROM service s WHERE s.account_id = a.id AND s.state = 'In Service') s
 WHERE a.deleted_at IS NULL;

CREATE VIEW push_billing_account AS
SELECT b.id, a.sfid AS account_sfid, b.number || ' ' || b.currency AS name, b.system, b.number,
       b.currency, b.cycle, b.anchor_day, br.name AS brand_name, b.status,
       f.balance, f.credit_balance, f.oldest_due_on, f.last_invoice_on, f.last_invoice_total,
       f.last_payment_on, f.last_payment_amount
  FROM billing_account b
  JOIN account a ON a.id = b.account_id AND a.deleted_at IS NULL
  JOIN brand br ON br.id = b.brand_id
  LEFT JOIN LATERAL (SELECT * FROM v_billing_account_balance f
                      WHERE f.billing_account_id = b.id OFFSET 0) f ON true;

CREATE VIEW push_customer_order AS
SELECT o.id, o.number, a.sfid AS account_sfid, o.opportunity_sfid, o.quote_sfid,
       'builtin' AS billing_system, o.origination, o.po_number, o.requested_on, o.currency,
       s.state, s.progress_pct, s.next_step, s.blocker, s.started_at, s.expected_end_at,
       s.actual_end_at
  FROM customer_order o
  JOIN account a ON a.id = o.account_id AND a.deleted_at IS NULL
  LEFT JOIN LATERAL (SELECT * FROM v_order_state s WHERE s.order_id = o.id OFFSET 0) s ON true;

CREATE VIEW push_opportunity AS
SELECT o.id, o.id AS order_id, o.opportunity_sfid AS sfid, s.state, s.progress_pct, s.next_step
  FROM customer_order o
  LEFT JOIN LATERAL (SELECT * FROM v_order_state s WHERE s.order_id = o.id OFFSET 0) s ON true
 WHERE o.opportunity_sfid IS NOT NULL;

CREATE VIEW push_order_line AS
SELECT l.id, l.order_id, l.product_id, l.price_entry_id, l.target_service_id, l.location_id,
       sv.id AS created_service_id, 'builtin' AS billing_system, l.origin_line_sfid, l.sequence,
       l.request_type, l.quantity, l.mr_price * l.quantity AS mrr, l.nr_price * l.quantity AS nrr,
       l.term_months, l.renewal_type, s.state,
       (SELECT o.currency FROM customer_order o WHERE o.id = l.order_id) AS currency
  FROM order_line l
  LEFT JOIN service sv ON sv.created_by_line_id = l.id
  LEFT JOIN LATERAL (SELECT * FROM v_order_line_state s WHERE s.order_line_id = l.id OFFSET 0) s
         ON true;

CREATE VIEW push_work_order AS
SELECT w.id, w.number, l.order_id, w.order_line_id, w.service_id, 'builtin' AS billing_system,
       w.template, w.role, s.state, s.progress_pct, s.started_at, s.expected_end_at, s.actual_end_at
  FROM work_order w
  JOIN order_line l ON l.id = w.order_line_id
  LEFT JOIN LATERAL (SELECT * FROM v_work_order_state s WHERE s.work_order_id = w.id OFFSET 0) s
         ON true;

CREATE VIEW push_task AS
SELECT t.id, t.number, t.work_order_id, t.name, 'builtin' AS billing_system, t.sequence, t.kind,
       t.code_ref, t.queue, t.phase, t.milestone_of, t.state, t.attempts, t.next_attempt_at,
       t.ready_at, t.actual_start_at, t.actual_end_at, t.expected_end_at, t.error_message,
       t.why_in_plan
  FROM task t;

CREATE VIEW push_task_dependency AS
SELECT d.id, d.predecessor_id, d.successor_id, 'builtin' AS billing_system, d.type, d.lag_days
  FROM task_dependency d;

CREATE VIEW push_service AS
SELECT s.id, s.number, a.sfid AS account_sfid, s.product_id, s.location_id,
       ba.system AS billing_system, s.customer_service_name, s.state,
       s.state = 'In Service' AS is_active, s.state IN ('New', 'In Service') AS is_open,
       EXISTS (SELECT FROM service_change c
                WHERE c.service_id = s.id AND c.state = 'Scheduled') AS has_pending_change,
       s.service_start_on, s.service_end_on, s.current_term_start_on, s.current_term_end_on,
       s.term_months, s.renewal_type, s.quantity, s.mr_price * s.quantity AS base_mrr,
       s.mr_price * s.quantity
       + coalesce((SELECT sum(o.unit_mr_price * o.quantity) FROM add_on o
                    WHERE o.service_id = s.id AND o.end_on IS NULL), 0) AS mrr,
       s.currency, nullif(p.vendor, '') AS vendor,
       CASE s.state
           WHEN 'New' THEN 'Pending'
           WHEN 'In Service' THEN 'Active'
           WHEN 'Suspended for Non-Pay' THEN 'Suspended'
           WHEN 'Order Canceled' THEN 'None'
           ELSE 'Ended'
       END AS billing_status,
       b.billing_start_on, b.billed_through_on, b.billed_mrr
  FROM service s
  JOIN account a ON a.id = s.account_id AND a.deleted_at IS NULL
  JOIN billing_account ba ON ba.id = s.billing_account_id
  JOIN product p ON p.id = s.product_id
  LEFT JOIN LATERAL (SELECT * FROM v_service_billing b WHERE b.service_id = s.id OFFSET 0) b
         ON true;

CREATE VIEW push_add_on AS
SELECT o.id, o.service_id, o.product_id, 'builtin' AS billing_system, o.quantity, o.unit_mr_price,
       o.start_on, o.end_on,
       (SELECT s.currency FROM service s WHERE s.id = o.service_id) AS currency
  FROM add_on o;

CREATE VIEW push_service_change AS
SELECT c.id, c.service_id, c.order_line_id, 'builtin' AS billing_system, c.type, c.effective_on,
       c.old::text AS old_text, c.new::text AS new_text, c.state, c.applied_at
  FROM service_change c;

CREATE VIEW push_usage_summary AS
SELECT u.id, u.service_id, 'builtin' AS billing_system, u.usage_class, u.period_start, u.period_end,
       u.units, u.unit, u.included_units, greatest(u.units - u.included_units, 0) AS overage_units,
       u.rated_amount, u.currency, u.records, u.late_records, u.is_final
  FROM usage_summary u;

CREATE VIEW push_invoice AS
SELECT i.id, i.billing_account_id, i.corrects_invoice_id, i.number, ba.system AS billing_system,
       i.type, b.status,
       CASE WHEN i.reason IN ('Cancellation', 'SLA', 'Dispute', 'Correction', 'Goodwill')
            THEN i.reason END AS reason,
       i.invoice_on, i.due_on, i.posted_at, i.period_start, i.period_end, i.currency, i.subtotal,
       i.tax, i.total, b.paid, b.credited, b.balance, b.paid_on, r.key AS bill_run,
       '/' || (f.known ->> 'document') AS pdf_path
  FROM invoice i
  JOIN billing_account ba ON ba.id = i.billing_account_id
  LEFT JOIN bill_run r ON r.id = i.bill_run_id
  LEFT JOIN LATERAL (SELECT * FROM v_invoice_balance b WHERE b.invoice_id = i.id OFFSET 0) b
         ON true
  LEFT JOIN crm_record f ON f.entity = 'invoice_file' AND f.hub_id = i.id
 WHERE i.state = 'finalised';

CREATE VIEW push_invoice_line AS
SELECT l.id, l.invoice_id, l.service_id, l.product_id,
       coalesce(c.order_line_id, l.order_line_id) AS order_line_id, i.system AS billing_system,
       l.line_no, l.kind, l.description, l.quantity, l.unit_price,
       l.amount, l.tax_amount, l.service_from, l.service_to, l.accounting_code,
       l.explanation::text AS explanation_text, i.currency
  FROM invoice_line l
  JOIN invoice i ON i.id = l.invoice_id AND i.state = 'finalised'
  LEFT JOIN charge c ON c.id = l.charge_id;

CREATE VIEW push_payment AS
SELECT p.id, p.billing_account_id, a.sfid AS account_sfid, p.number, ba.system AS billing_system,
       p.received_on, p.amount, p.currency, u.unapplied,
       CASE WHEN p.method IN ('Bank transfer', 'Direct debit', 'Card', 'Cheque', 'Cash', 'Online')
            THEN p.method ELSE 'Other' END AS method,
       p.state, p.reference
  FROM payment p
  JOIN billing_account ba ON ba.id = p.billing_account_id
  JOIN account a ON a.id = ba.account_id AND a.deleted_at IS NULL
  LEFT JOIN LATERAL (SELECT * FROM v_payment_unapplied u WHERE u.payment_id = p.id OFFSET 0) u
         ON true;

CREATE VIEW push_allocation AS
SELECT x.id, x.invoice_id, x.payment_id, x.credit_invoice_id, x.system AS billing_system,
       x.amount, x.applied_at, x.is_reversed,
       (SELECT i.currency FROM invoice i WHERE i.id = x.invoice_id) AS currency
  FROM allocation x;
