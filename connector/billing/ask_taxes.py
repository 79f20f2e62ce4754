"""Asking a tax provider for what bills need, beforehand and outside any transaction."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from decimal import Decimal
from typing import TypeVar

import structlog
from sqlalchemy import Connection

from connector.billing import queries
from connector.billing.chunk import HORIZON, documents_of
from connector.billing.draft import Payer
from connector.billing.earned_discounts import with_earned_discounts
from connector.billing.run_plan import due_page
from connector.billing.tax import AppliedTax, Treatment
from connector.billing.tax_answers import (
    TaxNotAnswered,
    TaxProvider,
    TaxQuestion,
    choose_provider,
    keep_answers,
    kept_answers,
    question_of,
)
from connector.errors import ConnectorError
from connector.store.engine import Store

log = structlog.get_logger(__name__)

PAGE_ACCOUNTS = 500
PAGES_MAX = 100_000  # as a preview
BATCH = 200  # questions of one call
QUESTIONS_MAX = 100  # of one bill, asked one by one

T = TypeVar("T")


def ask_taxes(*, store: Store, provider: TaxProvider, billed_to: date, now: datetime) -> int:
    """Ask for every tax that the bills of a day need and nobody answered yet; return how many.

    The bills are computed without being written, to see what they need. Where the provider cannot
    be reached, asking ends: who has no answer gets no bill in this run; the next one asks again.
    """
    with store.transaction() as tx:
        choose_provider(tx, provider.name)
    after_id = answered = 0
    for _ in range(PAGES_MAX):
        with store.read() as tx:
            ids = due_page(tx, billed_to=billed_to, after_id=after_id, limit=PAGE_ACCOUNTS)
            questions = _open_questions(tx, provider.name, ids, billed_to)
        if not ids:
            break
        after_id = ids[-1]
        known, is_down = _asked(store, provider, sorted(questions), now)
        answered += known
        if is_down:
            return answered
    log.info("taxes.asked", provider=provider.name, answers=answered)
    return answered


def ask_ahead(
    *,
    look: AbstractContextManager[Connection],
    store: Store,
    provider: TaxProvider,
    billed_to: date,
    now: datetime,
) -> int:
    """Ask for every tax that the bills of a day would need in a transaction to look at.

    The transaction has ended when the provider is asked.
    """
    questions: set[TaxQuestion] = set()
    with look as tx:
        after_id = 0
        for _ in range(PAGES_MAX):
            ids = due_page(tx, billed_to=billed_to, after_id=after_id, limit=PAGE_ACCOUNTS)
            if not ids:
                break
            after_id = ids[-1]
            questions |= _open_questions(tx, provider.name, ids, billed_to)
    known, _ = _asked(store, provider, sorted(questions), now)
    return known


def with_answers(
    *, store: Store, provider: TaxProvider | None, now: datetime, compute: Callable[[], T]
) -> T:
    """Return what is computed, asking the provider for each tax it stops at, and beginning again.

    `compute` opens its own transaction, which has ended when the provider is asked. Answers are
    kept.

    Raises:
        TaxNotAnswered: The provider does not know, or there is none.
        TransientFailure: The provider cannot be reached.
    """
    for _ in range(QUESTIONS_MAX):
        try:
            return compute()
        except TaxNotAnswered as missing:
            answers = provider.answers([missing.question]) if provider is not None else {}
            if provider is None or missing.question not in answers:
                raise
            with store.transaction() as tx:
                keep_answers(tx, provider=provider.name, answers=answers, now=now)
    return compute()


def _asked(
    store: Store, provider: TaxProvider, questions: Sequence[TaxQuestion], now: datetime
) -> tuple[int, bool]:
    """Ask in batches and keep the answers; return how many, and whether the provider is down."""
    answered = 0
    for first in range(0, len(questions), BATCH):
        try:
            answers = provider.answers(questions[first : first + BATCH])
        except ConnectorError as error:
            log.error("taxes.not_answered", provider=provider.name, reason=str(error))
            return answered, True
        if answers:
            with store.transaction() as tx:
                keep_answers(tx, provider=provider.name, answers=answers, now=now)
        answered += len(answers)
    return answered, False


def _open_questions(
    tx: Connection, provider: str, ids: Sequence[int], billed_to: date
) -> set[TaxQuestion]:
    kept = kept_answers(tx, provider=provider, ids=ids)
    done = queries.already_billed(tx, ids=ids, billed_to=billed_to)
    left = [one for one in ids if one not in done]
    books = queries.load_books(tx, ids=left, horizon=billed_to + HORIZON, lock=False)
    books = with_earned_discounts(tx, books=books, billed_to=billed_to, keep=False)
    needed = _Needed()
    for book in books:
        documents_of(book, needed, billed_to, [])  # who cannot be computed is the run's to tell
    return needed.questions - kept.keys()


class _Needed:
    """A source of taxes that only notes what it is asked."""

    def __init__(self) -> None:
        self.questions: set[TaxQuestion] = set()

    def applied(self, payer: Payer, category: str, on: date, country: str = "") -> AppliedTax:
        if payer.is_tax_exempt:
            return AppliedTax(category, Decimal(0), Treatment.EXEMPT)
        self.questions.add(question_of(payer, category, on, country))
        return AppliedTax(category, Decimal(0))
