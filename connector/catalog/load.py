"""Loads catalogue files into the store, all or nothing."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, Table, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from connector.catalog.bundles import load_bundles
from connector.catalog.coherence import bad_paths, date_clashes
from connector.catalog.decks import load_decks
from connector.catalog.discounts import load_discounts, load_vendor_rules
from connector.catalog.drafts import CatalogFiles, ProductDraft
from connector.catalog.files import read_catalog
from connector.catalog.plans import load_plans, load_taxes
from connector.catalog.prices import load_prices
from connector.catalog.source import BadFile
from connector.store.engine import advisory_lock
from connector.store.tables.catalog import catalog_load, product, rate_deck, rate_plan
from connector.store.tables.parties import brand_table

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CatalogReport:
    """What a load changed."""

    brands: int = 0
    products: int = 0
    prices_opened: int = 0
    prices_closed: int = 0
    deck_versions: int = 0
    rates: int = 0
    plans: int = 0
    taxes: int = 0
    bundles: int = 0
    discounts: int = 0
    vendor_rules: int = 0
    was_loaded_before: bool = False

    def as_dict(self) -> dict[str, int | bool]:
        """Return it for JSON."""
        return asdict(self)


def load_catalog(*, tx: Connection, folder: Path, now: datetime) -> CatalogReport:
    """Load a folder of catalogue files; the same files as at the last load change nothing.

    Raises:
        BadFile: A file is wrong, with its line, two entries clash, upgrades go round in a circle,
            or a price that has begun is rewritten.
    """
    files = read_catalog(folder)
    for clash in (*date_clashes(files), *bad_paths(files)):
        raise clash
    advisory_lock(tx, "catalog.load")
    last = tx.execute(
        select(catalog_load.c.sha256).order_by(catalog_load.c.id.desc()).limit(1)
    ).scalar()
    if last == files.sha256:
        return CatalogReport(was_loaded_before=True)
    brands = _load_brands(tx, files)
    deck_versions, rates = load_decks(tx, files.decks)
    plans = load_plans(tx, files.plans, known_decks=_keys(tx, rate_deck))
    taxes = load_taxes(tx, files.taxes)
    products = _load_products(tx, files.products)
    _check_upgrades(tx, files.products)
    bundles = load_bundles(tx, files.products)
    opened, closed = load_prices(tx, files.products)
    discounts = load_discounts(tx, files.discounts)
    vendor_rules = load_vendor_rules(tx, files.vendor_rules)
    report = CatalogReport(
        brands=brands,
        products=products,
        prices_opened=opened,
        prices_closed=closed,
        deck_versions=deck_versions,
        rates=rates,
        plans=plans,
        taxes=taxes,
        bundles=bundles,
        discounts=discounts,
        vendor_rules=vendor_rules,
    )
    tx.execute(
        insert(catalog_load).values(
            sha256=files.sha256, source=str(folder), loaded_at=now, summary=report.as_dict()
        )
    )
    log.info("catalog.loaded", **report.as_dict())
    return report


def _keys(tx: Connection, table: Table) -> frozenset[str]:
    return frozenset(tx.execute(select(table.c.key)).scalars())


def _load_brands(tx: Connection, files: CatalogFiles) -> int:
    return _upsert(tx, brand_table, [asdict(brand) for brand in files.brands])


def _load_products(tx: Connection, drafts: Iterable[ProductDraft]) -> int:
    brands = {row.key: row.id for row in tx.execute(select(brand_table.c.key, brand_table.c.id))}
    plans = _keys(tx, rate_plan)
    rows: list[dict[str, Any]] = []
    for draft in drafts:
        if draft.brand not in brands:
            raise BadFile(
                path=draft.path,
                line=draft.line,
                problem=f"Product '{draft.key}' names the brand '{draft.brand}', which nobody has.",
            )
        if draft.rate_plan_key is not None and draft.rate_plan_key not in plans:
            raise BadFile(
                path=draft.path,
                line=draft.line,
                problem=f"Product '{draft.key}' names the rate plan '{draft.rate_plan_key}', "
                "which is not there.",
            )
        rows.append(
            {
                "brand_id": brands[draft.brand],
                "key": draft.key,
                "name": draft.name,
                "display_name": draft.display_name,
                "kind": draft.kind,
                "vendor": draft.vendor,
                "service_class": draft.service_class,
                "is_location_based": draft.is_location_based,
                "change_policy": draft.change_policy,
                "tax_category": draft.tax_category,
                "accounting_code": draft.accounting_code,
                "rate_plan_key": draft.rate_plan_key,
                "early_termination": draft.early_termination,
                "commitment": draft.commitment,
                "upgrades_to": list(draft.upgrades_to),
            }
        )
    return _upsert(tx, product, rows)


def _check_upgrades(tx: Connection, drafts: Iterable[ProductDraft]) -> None:
    known = _keys(tx, product)
    for draft in drafts:
        for key in draft.upgrades_to:
            if key not in known:
                raise BadFile(
                    path=draft.path,
                    line=draft.line,
                    problem=f"Product '{draft.key}' upgrades to '{key}', which is not there.",
                )


def _upsert(tx: Connection, table: Table, rows: list[dict[str, Any]]) -> int:
    """Write rows by their key; return how many differ from what was there."""
    if not rows:
        return 0
    statement = upsert(table).values(rows)
    changing = [name for name in rows[0] if name != "key"]
    differs = func.row(*(table.c[name] for name in changing)).is_distinct_from(
        func.row(*(statement.excluded[name] for name in changing))
    )
    written = tx.execute(
        statement.on_conflict_do_update(
            index_elements=["key"],
            set_={name: statement.excluded[name] for name in changing},
            where=differs,
        ).returning(table.c.id)
    )
    return len(written.all())
