"""The SQL that judges and writes facts. Contents were checked when read, so casts cannot fail."""

_HUB_TABLE = {
    "account": "billing_account",
    "invoice": "invoice",
    "payment": "payment",
    "allocation": "allocation",
}

# What vanished there and never came here leaves no trace.
FORGET_GONE = {
    stream: f"""
    DELETE FROM foreign_fact f
     WHERE f.system = :system AND f.stream = '{stream}' AND f.is_gone
       AND NOT EXISTS (SELECT FROM {table} h
                        WHERE h.system = f.system AND h.foreign_key = f.key)
    """  # noqa: S608 - both names stand above
    for stream, table in _HUB_TABLE.items()
}

_WANTED = """
    wanted AS MATERIALIZED (
        SELECT id, key, content AS c, is_gone FROM foreign_fact WHERE id = ANY(:ids)
    )"""

_VERDICT = """
    held AS (
        UPDATE foreign_fact f SET state = 'held', reason = j.verdict FROM judged j
         WHERE f.id = j.id AND j.verdict IS NOT NULL
           AND (f.state, f.reason) IS DISTINCT FROM ('held', j.verdict)
    ), done AS (
        UPDATE foreign_fact f SET state = 'applied', reason = NULL FROM judged j
         WHERE f.id = j.id AND j.verdict IS NULL
    )
    SELECT count(*) FILTER (WHERE verdict IS NULL) AS applied,
           count(*) FILTER (WHERE verdict IS NOT NULL) AS held
      FROM judged"""

_GONE = "'It is no longer in the billing system; the CRM still shows it.'"

ACCOUNTS = f"""
    WITH {_WANTED},
    found AS (
        SELECT w.*, a.id AS named_id, a.brand_id AS named_brand_id,
               coalesce(known.id, asked.id, waiting.id) AS target_id
          FROM wanted w
          LEFT JOIN billing_account known
                 ON known.system = :system AND known.foreign_key = w.key
          LEFT JOIN billing_account asked
                 ON asked.system = :system AND asked.foreign_key IS NULL
                AND asked.id = CAST(substring(w.c ->> 'reference'
                                    FROM '^l2c:billing_account:([0-9]{{1,18}})$') AS bigint)
          LEFT JOIN account a ON a.sfid = w.c ->> 'crm_id'
          LEFT JOIN billing_account waiting
                 ON waiting.system = :system AND waiting.foreign_key IS NULL
                AND waiting.account_id = a.id AND waiting.currency = w.c ->> 'currency'
    ), judged AS MATERIALIZED (
        SELECT f.*, b.account_id, b.brand_id,
               CASE
                   WHEN f.is_gone THEN {_GONE}
                   WHEN b.id IS NULL AND f.named_id IS NULL THEN
                       format('Neither the CRM account %s nor the reference %s is known.',
                              coalesce(f.c ->> 'crm_id', '-'), coalesce(f.c ->> 'reference', '-'))
                   WHEN b.account_id <> f.named_id THEN
                       format('It names the CRM account %s but belongs to another customer.',
                              f.c ->> 'crm_id')
                   WHEN b.currency <> f.c ->> 'currency' THEN
                       format('It is in %s, but here it is kept in %s.',
                              f.c ->> 'currency', b.currency)
               END AS verdict
          FROM found f LEFT JOIN billing_account b ON b.id = f.target_id
    ), stored AS (
        INSERT INTO billing_account AS b
               (id, brand_id, account_id, system, foreign_key, number, currency, email, status,
                opened_at)
        SELECT coalesce(target_id, nextval(pg_get_serial_sequence('billing_account', 'id'))),
               coalesce(brand_id, named_brand_id), coalesce(account_id, named_id), :system, key,
               coalesce(c ->> 'number', key), c ->> 'currency', c ->> 'email',
               coalesce(c ->> 'status', 'Active'),
               coalesce(CAST(c ->> 'opened_at' AS timestamptz), :now)
          FROM judged WHERE verdict IS NULL ORDER BY id
        ON CONFLICT (id) DO UPDATE
           SET foreign_key = excluded.foreign_key, number = excluded.number,
               status = excluded.status, email = coalesce(excluded.email, b.email)
         WHERE (b.foreign_key, b.number, b.status, b.email) IS DISTINCT FROM
               (excluded.foreign_key, excluded.number, excluded.status,
                coalesce(excluded.email, b.email))
    ),
    {_VERDICT}
"""  # noqa: S608 - put together from constants of this file

LINK = """
    UPDATE account a SET link_state = 'Linked'
      FROM foreign_fact f
      JOIN billing_account b ON b.system = f.system AND b.foreign_key = f.key
     WHERE f.id = ANY(:ids) AND f.state = 'applied' AND a.id = b.account_id
       AND a.link_state <> 'Linked'
"""

# An invoice is judged with its lines, so a line that moved opens it again.
REOPEN_INVOICES = """
    UPDATE foreign_fact i SET state = 'pending'
      FROM (SELECT DISTINCT content ->> 'invoice' AS key FROM foreign_fact
             WHERE system = :system AND stream = 'invoice_line'
               AND state IN ('pending', 'held', 'broken')) l
     WHERE i.system = :system AND i.stream = 'invoice' AND i.key = l.key AND i.state = 'applied'
"""

INVOICES = f"""
    WITH {_WANTED},
    lines AS (
        SELECT w.id, count(l.id) AS lines,
               coalesce(sum(CAST(l.content ->> 'amount' AS numeric)), 0) AS net,
               coalesce(sum(CAST(l.content ->> 'tax_amount' AS numeric)), 0) AS tax,
               coalesce(bool_or(l.content ? 'tax_amount'), false) AS says_tax,
               min(l.key || ': ' || l.reason) FILTER (WHERE l.state = 'broken') AS broken
          FROM wanted w
          LEFT JOIN foreign_fact l
                 ON l.system = :system AND l.stream = 'invoice_line'
                AND l.content ->> 'invoice' = w.key AND NOT l.is_gone
         GROUP BY w.id
    ), valued AS (
        SELECT w.*, coalesce(w.c ->> 'type', 'Invoice') AS type,
               CAST(w.c ->> 'total' AS numeric) AS total, CAST(w.c ->> 'tax' AS numeric) AS tax,
               CAST(w.c ->> 'total' AS numeric) - CAST(w.c ->> 'tax' AS numeric) AS net,
               CAST(w.c ->> 'invoice_on' AS date) AS invoice_on
          FROM wanted w
    ), judged AS MATERIALIZED (
        SELECT v.*, b.id AS account_id, b.brand_id, k.id AS corrects_id,
               CASE
                   WHEN v.is_gone THEN {_GONE}
                   WHEN b.id IS NULL THEN
                       format('Billing account %s is not known.', v.c ->> 'account')
                   WHEN b.currency <> v.c ->> 'currency' THEN
                       format('It is in %s, its billing account in %s.',
                              v.c ->> 'currency', b.currency)
                   WHEN v.type = 'Credit Note' AND v.total > 0 THEN
                       'A credit note has a total of zero or less; turn the sign in the view.'
                   WHEN v.c ? 'corrects' AND k.id IS NULL THEN
                       format('It corrects %s, which is not known.', v.c ->> 'corrects')
                   WHEN l.broken IS NOT NULL THEN format('Line %s', l.broken)
                   WHEN l.lines = 0 THEN 'It has no lines.'
                   WHEN l.net <> v.net THEN
                       format('The lines sum to %s, the document to %s without tax.', l.net, v.net)
                   WHEN l.says_tax AND l.tax <> v.tax THEN
                       format('The taxes of the lines sum to %s, the document''s is %s.',
                              l.tax, v.tax)
               END AS verdict
          FROM valued v
          JOIN lines l ON l.id = v.id
          LEFT JOIN billing_account b
                 ON b.system = :system AND b.foreign_key = v.c ->> 'account'
          LEFT JOIN invoice k ON k.system = :system AND k.foreign_key = v.c ->> 'corrects'
    ), stored AS (
        INSERT INTO invoice AS i
               (brand_id, billing_account_id, system, foreign_key, type, state, run_key, series,
                number, currency, invoice_on, due_on, period_start, period_end, subtotal, tax,
                total, corrects_invoice_id, reason, created_at, posted_at, voided_at)
        SELECT brand_id, account_id, :system, key, type, 'finalised',
               'billing:' || :system || ':' || key, 'billing:' || :system, c ->> 'number',
               c ->> 'currency', invoice_on, CAST(c ->> 'due_on' AS date),
               coalesce(CAST(c ->> 'period_start' AS date), invoice_on),
               coalesce(CAST(c ->> 'period_end' AS date), invoice_on), net, tax, total,
               corrects_id, c ->> 'reason', :now,
               coalesce(CAST(c ->> 'posted_at' AS timestamptz),
                        CAST(invoice_on AS timestamp) AT TIME ZONE 'UTC'),
               CASE WHEN c ->> 'state' = 'void' THEN CAST(:now AS timestamptz) END
          FROM judged WHERE verdict IS NULL ORDER BY id
        ON CONFLICT (system, foreign_key) DO UPDATE
           SET (billing_account_id, brand_id, type, number, currency, invoice_on, due_on,
                period_start, period_end, subtotal, tax, total, corrects_invoice_id, reason,
                posted_at, voided_at) =
               ROW (excluded.billing_account_id, excluded.brand_id, excluded.type, excluded.number,
                excluded.currency, excluded.invoice_on, excluded.due_on, excluded.period_start,
                excluded.period_end, excluded.subtotal, excluded.tax, excluded.total,
                excluded.corrects_invoice_id, excluded.reason, excluded.posted_at,
                CASE WHEN excluded.voided_at IS NOT NULL
                     THEN coalesce(i.voided_at, excluded.voided_at) END)
         WHERE (i.billing_account_id, i.brand_id, i.type, i.number, i.currency, i.invoice_on,
                i.due_on, i.period_start, i.period_end, i.subtotal, i.tax, i.total,
                i.corrects_invoice_id, i.reason, i.posted_at, i.voided_at IS NULL)
               IS DISTINCT FROM
               (excluded.billing_account_id, excluded.brand_id, excluded.type, excluded.number,
                excluded.currency, excluded.invoice_on, excluded.due_on, excluded.period_start,
                excluded.period_end, excluded.subtotal, excluded.tax, excluded.total,
                excluded.corrects_invoice_id, excluded.reason, excluded.posted_at,
                excluded.voided_at IS NULL)
    ),
    {_VERDICT}
"""  # noqa: S608 - put together from constants of this file

_DOCUMENTS = """
    documents AS MATERIALIZED (
        SELECT f.key, i.id AS invoice_id, i.period_start, i.period_end
          FROM foreign_fact f
          JOIN invoice i ON i.system = f.system AND i.foreign_key = f.key
         WHERE f.id = ANY(:ids) AND f.state = 'applied'
    ), lines AS MATERIALIZED (
        SELECT d.invoice_id, d.period_start, d.period_end, l.id AS fact_id, l.key, l.content AS c,
               l.is_gone, CAST(l.content ->> 'line_no' AS int) AS line_no
          FROM documents d
          JOIN foreign_fact l ON l.system = :system AND l.stream = 'invoice_line'
           AND l.content ->> 'invoice' = d.key
    )"""

LINES = f"""
    WITH {_DOCUMENTS},
    removed AS (
        DELETE FROM invoice_line x USING documents d
         WHERE x.invoice_id = d.invoice_id
           AND NOT EXISTS (SELECT FROM lines l WHERE l.invoice_id = x.invoice_id
                              AND l.line_no = x.line_no AND NOT l.is_gone)
    )
    INSERT INTO invoice_line AS x
           (invoice_id, line_no, service_id, product_id, order_line_id, kind, description,
            quantity, unit_price, amount, tax_amount, tax_category, tax_percent, service_from,
            service_to, accounting_code, explanation)
    SELECT l.invoice_id, l.line_no, coalesce(m.service_id, s.id), p.id, m.order_line_id,
           coalesce(l.c ->> 'kind', 'Fee'), l.c ->> 'description',
           coalesce(CAST(l.c ->> 'quantity' AS numeric), 1),
           coalesce(CAST(l.c ->> 'unit_price' AS numeric), CAST(l.c ->> 'amount' AS numeric)),
           CAST(l.c ->> 'amount' AS numeric), coalesce(CAST(l.c ->> 'tax_amount' AS numeric), 0),
           coalesce(p.tax_category, ''), 0,
           coalesce(CAST(l.c ->> 'service_from' AS date), l.period_start),
           coalesce(CAST(l.c ->> 'service_to' AS date), l.period_end),
           coalesce(l.c ->> 'accounting_code', p.accounting_code, ''),
           jsonb_build_object('billed_by', CAST(:system AS text), 'line', l.key)
      FROM lines l
      LEFT JOIN billing_command m ON m.system = :system AND m.key = l.c ->> 'command'
      LEFT JOIN service s ON s.number = l.c ->> 'service'
      LEFT JOIN product p ON p.id = coalesce(
           m.product_id, (SELECT q.id FROM product q WHERE q.key = l.c ->> 'product'), s.product_id)
     WHERE NOT l.is_gone
     ORDER BY l.invoice_id, l.line_no
    ON CONFLICT (invoice_id, line_no) DO UPDATE
       SET (service_id, product_id, order_line_id, kind, description, quantity, unit_price, amount,
            tax_amount, tax_category, service_from, service_to, accounting_code, explanation) =
           ROW (excluded.service_id, excluded.product_id, excluded.order_line_id, excluded.kind,
            excluded.description, excluded.quantity, excluded.unit_price, excluded.amount,
            excluded.tax_amount, excluded.tax_category, excluded.service_from, excluded.service_to,
            excluded.accounting_code, excluded.explanation)
     WHERE (x.service_id, x.product_id, x.order_line_id, x.kind, x.description, x.quantity,
            x.unit_price, x.amount, x.tax_amount, x.tax_category, x.service_from, x.service_to,
            x.accounting_code, x.explanation)
           IS DISTINCT FROM
           (excluded.service_id, excluded.product_id, excluded.order_line_id, excluded.kind,
            excluded.description, excluded.quantity, excluded.unit_price, excluded.amount,
            excluded.tax_amount, excluded.tax_category, excluded.service_from, excluded.service_to,
            excluded.accounting_code, excluded.explanation)
"""  # noqa: S608 - put together from constants of this file

LINES_DONE = f"""
    WITH {_DOCUMENTS},
    forgotten AS (
        DELETE FROM foreign_fact f USING lines l WHERE f.id = l.fact_id AND l.is_gone
    )
    UPDATE foreign_fact f SET state = 'applied', reason = NULL FROM lines l
     WHERE f.id = l.fact_id AND NOT l.is_gone AND f.state <> 'applied'
"""  # noqa: S608 - put together from constants of this file

ORPHAN_LINES = """
    UPDATE foreign_fact l SET state = 'held',
           reason = format('Its invoice %s is not there.', l.content ->> 'invoice')
     WHERE l.system = :system AND l.stream = 'invoice_line' AND l.state = 'pending'
       AND NOT EXISTS (SELECT FROM foreign_fact i
                        WHERE i.system = :system AND i.stream = 'invoice'
                          AND i.key = l.content ->> 'invoice' AND NOT i.is_gone)
"""

PAYMENTS = f"""
    WITH {_WANTED},
    judged AS MATERIALIZED (
        SELECT w.*, b.id AS account_id, b.brand_id, CAST(w.c ->> 'amount' AS numeric) AS amount,
               CASE
                   WHEN w.is_gone THEN {_GONE}
                   WHEN b.id IS NULL THEN
                       format('Billing account %s is not known.', w.c ->> 'account')
                   WHEN b.currency <> w.c ->> 'currency' THEN
                       format('It is in %s, its billing account in %s.',
                              w.c ->> 'currency', b.currency)
                   WHEN CAST(w.c ->> 'amount' AS numeric) <= 0 THEN
                       'Its amount is not above zero; a refund is a payment in state Refunded.'
               END AS verdict
          FROM wanted w
          LEFT JOIN billing_account b
                 ON b.system = :system AND b.foreign_key = w.c ->> 'account'
    ), stored AS (
        INSERT INTO payment AS p
               (brand_id, system, foreign_key, number, source, reference, billing_account_id,
                received_on, amount, currency, method, state, created_at)
        SELECT brand_id, :system, key, c ->> 'number', 'billing',
               coalesce(c ->> 'reference', c ->> 'number'), account_id,
               CAST(c ->> 'received_on' AS date), amount, c ->> 'currency',
               coalesce(c ->> 'method', 'Bank transfer'), coalesce(c ->> 'state', 'Processed'), :now
          FROM judged WHERE verdict IS NULL ORDER BY id
        ON CONFLICT (system, foreign_key) DO UPDATE
           SET (brand_id, number, reference, billing_account_id, received_on, amount, currency,
                method, state) =
               ROW (excluded.brand_id, excluded.number, excluded.reference,
                excluded.billing_account_id, excluded.received_on, excluded.amount,
                excluded.currency, excluded.method, excluded.state)
         WHERE (p.brand_id, p.number, p.reference, p.billing_account_id, p.received_on, p.amount,
                p.currency, p.method, p.state)
               IS DISTINCT FROM
               (excluded.brand_id, excluded.number, excluded.reference,
                excluded.billing_account_id, excluded.received_on, excluded.amount,
                excluded.currency, excluded.method, excluded.state)
    ),
    {_VERDICT}
"""  # noqa: S608 - put together from constants of this file

ALLOCATIONS = f"""
    WITH {_WANTED},
    judged AS MATERIALIZED (
        SELECT w.*, i.id AS invoice_id, p.id AS payment_id, k.id AS credit_id,
               CAST(w.c ->> 'amount' AS numeric) AS amount,
               CASE
                   WHEN i.id IS NULL THEN
                       format('Invoice %s is not known.', w.c ->> 'invoice')
                   WHEN (w.c ? 'payment') = (w.c ? 'credit_note') THEN
                       'It names not just one payment or credit note.'
                   WHEN w.c ? 'payment' AND p.id IS NULL THEN
                       format('Payment %s is not known.', w.c ->> 'payment')
                   WHEN w.c ? 'credit_note' AND k.id IS NULL THEN
                       format('Credit note %s is not known.', w.c ->> 'credit_note')
                   WHEN coalesce(p.currency, k.currency) <> i.currency THEN
                       format('The money is in %s, the invoice in %s.',
                              coalesce(p.currency, k.currency), i.currency)
                   WHEN CAST(w.c ->> 'amount' AS numeric) <= 0 THEN
                       'Its amount is not above zero.'
               END AS verdict
          FROM wanted w
          LEFT JOIN invoice i ON i.system = :system AND i.foreign_key = w.c ->> 'invoice'
          LEFT JOIN payment p ON p.system = :system AND p.foreign_key = w.c ->> 'payment'
          LEFT JOIN invoice k ON k.system = :system AND k.foreign_key = w.c ->> 'credit_note'
    ), stored AS (
        INSERT INTO allocation AS a
               (system, foreign_key, invoice_id, payment_id, credit_invoice_id, amount, applied_at,
                is_reversed)
        SELECT :system, key, invoice_id, payment_id, credit_id, amount,
               CAST(c ->> 'applied_at' AS timestamptz),
               is_gone OR coalesce(CAST(c ->> 'is_reversed' AS boolean), false)
          FROM judged WHERE verdict IS NULL ORDER BY id
        ON CONFLICT (system, foreign_key) DO UPDATE
           SET (invoice_id, payment_id, credit_invoice_id, amount, applied_at, is_reversed) =
               ROW (excluded.invoice_id, excluded.payment_id, excluded.credit_invoice_id,
                excluded.amount, excluded.applied_at, excluded.is_reversed)
         WHERE (a.invoice_id, a.payment_id, a.credit_invoice_id, a.amount, a.applied_at,
                a.is_reversed)
               IS DISTINCT FROM
               (excluded.invoice_id, excluded.payment_id, excluded.credit_invoice_id,
                excluded.amount, excluded.applied_at, excluded.is_reversed)
    ),
    {_VERDICT}
"""  # noqa: S608 - put together from constants of this file
