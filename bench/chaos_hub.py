"""The hub's side of the chaos run: rows written by plain SQL, some committed late."""

from collections.abc import Sequence
from typing import Any

import psycopg

_HOUSE = """
WITH b AS (INSERT INTO brand (key, name, legal_name, invoice_prefix)
           VALUES ('default', 'House', 'House', 'INV')
           ON CONFLICT (key) DO UPDATE SET name = excluded.name RETURNING id)
INSERT INTO product (brand_id, key, name, display_name, kind)
SELECT id, 'SEAT', 'Seat', 'Seat', 'Service' FROM b
"""
_BILLING_ACCOUNTS = """
INSERT INTO billing_account (brand_id, account_id, number, currency, opened_at)
SELECT brand_id, id, 'BA-' || id, 'EUR', now() FROM account
"""
_ORDERS = """
INSERT INTO customer_order (brand_id, number, account_id, origination, origin_key, currency,
                            created_at)
SELECT brand_id, 'ORD-' || id, id, 'API', 'chaos:' || id, 'EUR', now() FROM account
"""
_SERVICES = """
WITH wanted AS (
    SELECT w.*, a.id AS account_id, a.brand_id, o.id AS order_id, p.id AS product_id,
           b.id AS billing_account_id
      FROM unnest(%(numbers)s::text[], %(sfids)s::text[], %(names)s::text[], %(quantities)s::int[])
           AS w (number, sfid, name, quantity)
      JOIN account a ON a.sfid = w.sfid
      JOIN customer_order o ON o.account_id = a.id
      JOIN billing_account b ON b.account_id = a.id
      JOIN product p ON p.key = 'SEAT'),
lines AS (
    INSERT INTO order_line (order_id, sequence, request_type, product_id, description)
    SELECT order_id, right(number, 9)::int, 'NEW', product_id, number FROM wanted
    RETURNING id, description)
INSERT INTO service (brand_id, number, account_id, billing_account_id, product_id,
                     created_by_line_id, customer_service_name, state, quantity, mr_price, currency,
                     service_start_on)
SELECT w.brand_id, w.number, w.account_id, w.billing_account_id, w.product_id, l.id, w.name,
       'In Service', w.quantity, 2, 'EUR', date '2026-06-01'
  FROM wanted w JOIN lines l ON l.description = w.number
"""
_CHANGE = """
UPDATE service s SET customer_service_name = w.name, quantity = w.quantity
  FROM unnest(%(numbers)s::text[], %(names)s::text[], %(quantities)s::int[])
       AS w (number, name, quantity)
 WHERE s.number = w.number
"""
# Every street the hub ever showed, in the order in which it did.
_WITNESS = """
CREATE TABLE chaos_seen (n bigserial PRIMARY KEY, sfid text NOT NULL, street text,
                         seen_at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE FUNCTION chaos_see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos_seen (sfid, street) VALUES (NEW.sfid, NEW.street);
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_see AFTER UPDATE OF street ON account FOR EACH ROW
    WHEN (OLD.street IS DISTINCT FROM NEW.street) EXECUTE FUNCTION chaos_see();
"""
_SUMMARIES = """
WITH run AS (
    INSERT INTO rating_run (period_start, period_end, snapshot, records, unrated, published_at,
                            input_hash)
    VALUES (date '2026-06-01', date '2026-07-01', '{}', 0, 0, now(), '-') RETURNING id)
INSERT INTO usage_summary (brand_id, service_id, usage_class, period_start, period_end, unit, units,
                           included_units, rated_amount, cost_amount, currency, records,
                           rating_run_id, derivation)
SELECT s.brand_id, s.id, 'Voice', date '1900-01-01' + n, date '1900-01-02' + n, 's', n, 0, n, 0,
       'EUR', n, run.id, '{}'
  FROM run, (SELECT * FROM service ORDER BY id LIMIT 1) s, generate_series(1, %(rows)s) n
"""


class Hub:
    """Connections to the hub's database, none of them through the connector's code."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._now = psycopg.connect(conninfo, autocommit=True)
        self._late: psycopg.Connection[Any] | None = None

    def close(self) -> None:
        """Close the connections; what has not been committed is lost."""
        self._now.close()
        if self._late is not None:
            self._late.close()

    def watch(self) -> None:
        """Begin to note every value the hub shows of what is the CRM's."""
        self._now.execute(_WITNESS)

    def open_house(self) -> None:
        """Make the brand and the product everything else needs."""
        self._now.execute(_HOUSE)

    def open_accounts(self) -> None:
        """Make payers and orders for all accounts."""
        self._now.execute(_BILLING_ACCOUNTS)
        self._now.execute(_ORDERS)

    def add(self, rows: Sequence[tuple[str, str, str, int]]) -> None:
        """Add services given as number, account, name and quantity."""
        numbers, sfids, names, quantities = (list(part) for part in zip(*rows, strict=True))
        added = self._now.execute(
            _SERVICES,
            {"numbers": numbers, "sfids": sfids, "names": names, "quantities": quantities},
        )
        assert added.rowcount == len(rows), (added.rowcount, len(rows))

    def change(self, rows: Sequence[tuple[str, str, int]]) -> None:
        """Change services given as number, name and quantity."""
        _change(self._now, rows)

    def change_late(self, rows: Sequence[tuple[str, str, int]]) -> None:
        """Change services in a transaction that stays open until `commit_late`."""
        assert self._late is None
        self._late = psycopg.connect(self._conninfo)
        _change(self._late, rows)

    def commit_late(self) -> None:
        """Commit what was changed late."""
        assert self._late is not None
        self._late.commit()
        self._late.close()
        self._late = None

    def make_summaries(self, rows: int) -> None:
        """Make so many new rows of usage by one statement."""
        self._now.execute(_SUMMARIES, {"rows": rows})

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self._now.execute(query).fetchall()


def _change(connection: psycopg.Connection[Any], rows: Sequence[tuple[str, str, int]]) -> None:
    numbers, names, quantities = (list(part) for part in zip(*rows, strict=True))
    changed = connection.execute(
        _CHANGE, {"numbers": numbers, "names": names, "quantities": quantities}
    )
    assert changed.rowcount == len(rows), (changed.rowcount, len(rows))
