"""Applies the bundles of the files to the store: what a product holds."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from sqlalchemy import Connection, delete, insert, select

from connector.catalog.drafts import ProductDraft
from connector.catalog.source import BadFile
from connector.store.tables.catalog import bundle_part, product

Parts = tuple[tuple[str, Decimal], ...]  # product and weight, in order


def load_bundles(tx: Connection, drafts: Iterable[ProductDraft]) -> int:
    """Write what bundles hold; return how many products hold something else now.

    Services that run keep the shares they were sold with.

    Raises:
        BadFile: A part is no product, is a bundle itself, or is the bundle.
    """
    drafts = tuple(drafts)
    ids = {row.key: row.id for row in tx.execute(select(product.c.key, product.c.id))}
    stored = _stored(tx)
    wanted = {
        draft.key: tuple((part.product, part.weight) for part in draft.bundle) for draft in drafts
    }
    bundles = {key for key, parts in (stored | wanted).items() if parts}
    changed = 0
    for draft in drafts:
        for part in draft.bundle:
            _check(draft, part.product, part.line, ids=ids, bundles=bundles)
        if stored.get(draft.key, ()) == wanted[draft.key]:
            continue
        changed += 1
        tx.execute(delete(bundle_part).where(bundle_part.c.product_id == ids[draft.key]))
        if draft.bundle:
            tx.execute(
                insert(bundle_part),
                [
                    {
                        "product_id": ids[draft.key],
                        "part_id": ids[part.product],
                        "position": position,
                        "weight": part.weight,
                    }
                    for position, part in enumerate(draft.bundle)
                ],
            )
    return changed


def _check(
    draft: ProductDraft, part: str, line: int, *, ids: dict[str, int], bundles: set[str]
) -> None:
    if part not in ids:
        raise BadFile(
            path=draft.path,
            line=line,
            problem=f"The bundle '{draft.key}' has a part '{part}', which is no product.",
        )
    if part in bundles:
        raise BadFile(
            path=draft.path,
            line=line,
            problem=f"The bundle '{draft.key}' holds '{part}', which is a bundle.",
            remedy="List the products of both in one bundle.",
        )


def _stored(tx: Connection) -> dict[str, Parts]:
    part = product.alias("part")
    rows = tx.execute(
        select(product.c.key, part.c.key.label("part"), bundle_part.c.weight)
        .join(bundle_part, bundle_part.c.product_id == product.c.id)
        .join(part, part.c.id == bundle_part.c.part_id)
        .order_by(bundle_part.c.product_id, bundle_part.c.position)
    )
    found: dict[str, list[tuple[str, Decimal]]] = defaultdict(list)
    for row in rows:
        found[row.key].append((row.part, row.weight))
    return {key: tuple(parts) for key, parts in found.items()}
