"""Applies rate decks to the store: a changed file is a new version from its own day on."""

from collections.abc import Iterable

from sqlalchemy import Connection, insert, select, update

from connector.catalog.drafts import DeckDraft
from connector.catalog.source import BadFile
from connector.store.engine import copy_rows
from connector.store.tables.catalog import rate, rate_deck

_RATE_COLUMNS = (
    "rate_deck_id",
    "prefix",
    "destination",
    "usage_class",
    "sell_units",
    "cost_units",
    "scale",
    "block_s",
    "minimum_s",
    "increment_s",
    "connection_units",
)


def load_decks(tx: Connection, drafts: Iterable[DeckDraft]) -> tuple[int, int]:
    """Add the versions that are new; return how many, and how many rates they hold.

    Raises:
        BadFile: A version that is loaded has other rates now, or one is inserted before another.
    """
    versions = rates = 0
    for draft in sorted(drafts, key=lambda one: (one.key, one.valid_from)):
        if _is_loaded(tx, draft):
            continue
        _add_version(tx, draft)
        versions += 1
        rates += len(draft.rates)
    return versions, rates


def _is_loaded(tx: Connection, draft: DeckDraft) -> bool:
    known = tx.execute(
        select(rate_deck.c.sha256, rate_deck.c.currency).where(
            rate_deck.c.key == draft.key, rate_deck.c.valid_from == draft.valid_from
        )
    ).one_or_none()
    if known is None:
        return False
    if (known.sha256, known.currency) != (draft.sha256, draft.currency):
        raise BadFile(
            path=draft.path,
            line=draft.line,
            problem=f"Deck '{draft.key}' from {draft.valid_from} is loaded with other rates.",
            remedy="List the new file as another entry of the deck with a later `from`.",
        )
    return True


def _add_version(tx: Connection, draft: DeckDraft) -> None:
    last = tx.execute(
        select(rate_deck.c.id, rate_deck.c.version, rate_deck.c.valid_from)
        .where(rate_deck.c.key == draft.key)
        .order_by(rate_deck.c.version.desc())
        .limit(1)
    ).one_or_none()
    if last is not None:
        if last.valid_from > draft.valid_from:
            raise BadFile(
                path=draft.path,
                line=draft.line,
                problem=f"Deck '{draft.key}' has a later version, from {last.valid_from}.",
            )
        tx.execute(
            update(rate_deck).where(rate_deck.c.id == last.id).values(valid_to=draft.valid_from)
        )
    deck_id = tx.execute(
        insert(rate_deck)
        .values(
            key=draft.key,
            version=1 if last is None else last.version + 1,
            currency=draft.currency,
            sha256=draft.sha256,
            valid_from=draft.valid_from,
        )
        .returning(rate_deck.c.id)
    ).scalar_one()
    copy_rows(
        tx,
        rate,
        _RATE_COLUMNS,
        (
            (
                deck_id,
                one.prefix,
                one.destination,
                one.usage_class,
                one.price.sell,
                one.price.cost,
                one.price.scale,
                one.price.block,
                one.minimum_s,
                one.increment_s,
                one.price.connection,
            )
            for one in draft.rates
        ),
    )
