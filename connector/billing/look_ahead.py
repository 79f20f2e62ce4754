"""Looking at bills as a run would make them: resellers charged, the taxer settled, then undone."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Connection

from connector.billing.tax_answers import choose_provider
from connector.billing.wholesale import follow_customers
from connector.billing.wholesale_terms import WholesaleTerms
from connector.store.engine import Store


@contextmanager
def looking_ahead(
    *, store: Store, terms: WholesaleTerms, provider: str | None, now: datetime
) -> Iterator[Connection]:
    """Yield a transaction that stands where a bill run would begin; at its end it is undone.

    Without resellers nobody waits for it; with them, whoever charges resellers does.

    Raises:
        BadReseller: The terms name a brand or a billing account that is none.
    """
    with store.transaction() as tx:
        choose_provider(tx, provider)
        if terms.resellers:
            follow_customers(tx, terms=terms, now=now)
        yield tx
        tx.rollback()
