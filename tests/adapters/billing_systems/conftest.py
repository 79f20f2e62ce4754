"""A foreign billing system with one debtor, whom the hub knows as a customer."""

from collections.abc import Iterator

import pytest
from billing_systems_world import DEBTOR, NOW, SFID, Oldbooks, oldbooks_database
from sqlalchemy import text

from connector.store.engine import Store


@pytest.fixture(scope="module")
def database(postgres) -> Iterator[Oldbooks]:
    with oldbooks_database(postgres) as theirs:
        yield theirs


@pytest.fixture
def oldbooks(database: Oldbooks, store: Store) -> Oldbooks:
    """Oldbooks with one debtor, whom the hub knows as a customer."""
    database.run(
        "TRUNCATE ar.debtors, ar.documents, ar.items, ar.receipts, ar.matches, ar.l2c_outbox "
        "RESTART IDENTITY CASCADE"
    )
    with store.transaction() as tx:
        brand = tx.scalar(
            text(
                "INSERT INTO brand (key, name, legal_name, invoice_prefix) "
                "VALUES ('default', 'North', 'North', 'NT') RETURNING id"
            )
        )
        tx.execute(
            text(
                "INSERT INTO account (brand_id, sfid, kind, name, currency) "
                "VALUES (:brand, :sfid, 'business', 'Dental Group', 'EUR')"
            ),
            {"brand": brand, "sfid": SFID},
        )
    database.add_debtor(DEBTOR, crm_id=SFID, now=NOW)
    return database
