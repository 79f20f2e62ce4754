"""What files say together: every name has its entry, and no two entries claim the same days."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

from connector.catalog.drafts import CatalogFiles
from connector.catalog.source import BadFile
from connector.catalog.upgrade_paths import circle_through

NAMES_SHOWN_MAX = 10


@dataclass(frozen=True, slots=True)
class _Dated:
    """An entry of a slot (a price of a product and term, a tax of a country ...) and its days."""

    slot: str
    valid_from: date
    valid_to: date | None
    path: Path
    line: int


def incoherences(files: CatalogFiles, *, is_whole: bool = True) -> tuple[BadFile, ...]:
    """Return what does not fit together in files that were read; nothing is asked of a store.

    Names without their entry, unless something could not be read (`is_whole`): that may be it.
    Dates that clash: two entries of one slot from the same day, or one that is said to end only
    after the next has begun. Upgrades that lead back to where they began, or to what has no price
    for it. In the order of files and lines.
    """
    found = [*(_missing(files) if is_whole else ()), *date_clashes(files), *bad_paths(files)]
    return tuple(sorted(found, key=lambda one: (str(one.path), one.line)))


def _missing(files: CatalogFiles) -> Iterator[BadFile]:
    brands = {one.key for one in files.brands}
    products = {one.key for one in files.products}
    plans = {one.key for one in files.plans}
    decks = {one.key for one in files.decks}
    bundles = {one.key for one in files.products if one.bundle}
    for product in files.products:
        what = f"Product '{product.key}'"
        if product.brand not in brands:
            yield _absent(what, "brand", product.brand, brands, product.path, product.line)
        plan = product.rate_plan_key
        if plan is not None and plan not in plans:
            yield _absent(what, "rate plan", plan, plans, product.path, product.line)
        for key in product.upgrades_to:
            if key not in products:
                yield _absent(what, "product", key, products, product.path, product.line)
        for part in product.bundle:
            if part.product not in products:
                told = f"The bundle '{product.key}'"
                yield _absent(told, "product", part.product, products, product.path, part.line)
            elif part.product in bundles:
                yield BadFile(
                    path=product.path,
                    line=part.line,
                    problem=f"The bundle '{product.key}' holds '{part.product}', a bundle.",
                    remedy="List the products of both in one bundle.",
                )
    for rates in files.plans:
        if rates.deck_key is not None and rates.deck_key not in decks:
            what = f"Rate plan '{rates.key}'"
            yield _absent(what, "deck", rates.deck_key, decks, rates.path, rates.line)
    for discount in files.discounts:
        for key in discount.products:
            if key not in products:
                what = f"Discount '{discount.key}'"
                yield _absent(what, "product", key, products, discount.path, discount.line)
        for key in discount.brands:
            if key not in brands:
                what = f"Discount '{discount.key}'"
                yield _absent(what, "brand", key, brands, discount.path, discount.line)


def _absent(what: str, kind: str, name: str, known: set[str], path: Path, line: int) -> BadFile:
    shown = ", ".join(sorted(known)[:NAMES_SHOWN_MAX]) or "none"
    more = " and more" if len(known) > NAMES_SHOWN_MAX else ""
    return BadFile(
        path=path,
        line=line,
        problem=f"{what} names the {kind} '{name}', which no file has.",
        remedy=f"Correct the name, or check it together with the file that has it: "
        f"there are {shown}{more}.",
    )


def date_clashes(files: CatalogFiles) -> Iterator[BadFile]:
    """Yield entries that claim days of another one of the same slot."""
    slots: dict[str, list[_Dated]] = defaultdict(list)
    for entry in _entries(files):
        slots[entry.slot].append(entry)
    for entries in slots.values():
        ordered = sorted(entries, key=lambda one: one.valid_from)
        for before, after in pairwise(ordered):
            yield from _clash(before, after)


def bad_paths(files: CatalogFiles) -> Iterator[BadFile]:
    """Yield upgrades that go round in a circle, and those that nobody could order."""
    steps = {product.key: product.upgrades_to for product in files.products}
    priced = {
        product.key
        for product in files.products
        if any(price.request_type == "UPGRADE" for price in product.prices)
    }
    for product in files.products:
        circle = circle_through(product.key, steps)
        if circle is not None and product.key == min(circle):
            yield BadFile(
                path=product.path,
                line=product.line,
                problem=f"Upgrades of '{product.key}' lead back to it: {' > '.join(circle)}.",
                remedy="Name upgrades only; each can be gone back as a downgrade.",
            )
        for key in product.upgrades_to:
            if key in steps and key not in priced:
                yield BadFile(
                    path=product.path,
                    line=product.line,
                    problem=f"'{product.key}' upgrades to '{key}', which has no price for it.",
                    remedy=f"Give '{key}' a price with request: UPGRADE, or leave it out.",
                )


def _clash(before: _Dated, after: _Dated) -> Iterator[BadFile]:
    first = f"{before.path.name}:{before.line}"
    if before.valid_from == after.valid_from:
        yield BadFile(
            path=after.path,
            line=after.line,
            problem=f"The {after.slot} is there twice from {after.valid_from}; first in {first}.",
            remedy="Keep one of them, or give the later one a `from` of its own.",
        )
    elif before.valid_to is not None and before.valid_to > after.valid_from:
        yield BadFile(
            path=before.path,
            line=before.line,
            problem=f"The {before.slot} from {before.valid_from} ends on {before.valid_to}, but "
            f"{after.path.name}:{after.line} takes its place on {after.valid_from}.",
            remedy=f"Write until: {after.valid_from}, or leave until out: the next one ends it.",
        )


def _entries(files: CatalogFiles) -> Iterator[_Dated]:
    for product in files.products:
        for price in product.prices:
            slot = (
                f"price of '{product.key}', {price.request_type}, {price.term_months} months, "
                f"{price.currency}"
            )
            yield _Dated(slot, price.valid_from, price.valid_to, product.path, price.line)
    for deck in files.decks:
        yield _Dated(f"deck '{deck.key}'", deck.valid_from, None, deck.path, deck.line)
    for plan in files.plans:
        named = [
            *((f"meter '{one.meter}'", one.valid_from, one.line) for one in plan.meters),
            *((f"allowance of '{one.usage_class}'", one.valid_from, one.line)
              for one in plan.allowances),
            *((f"class price of '{one.usage_class}'", one.valid_from, one.line)
              for one in plan.class_prices),
        ]  # fmt: skip
        for what, valid_from, line in named:
            yield _Dated(f"{what} in '{plan.key}'", valid_from, None, plan.path, line)
    for discount in files.discounts:
        slot = f"discount '{discount.key}'"
        yield _Dated(slot, discount.valid_from, discount.valid_to, discount.path, discount.line)
    for rule in files.vendor_rules:
        slot = f"rule of {rule.vendor} for {rule.min_services} services"
        yield _Dated(slot, rule.valid_from, None, rule.path, rule.line)
    for rate in files.fx_rates:
        slot = f"rate of {rate.base} in {rate.quote}"
        yield _Dated(slot, rate.valid_from, None, rate.path, rate.line)
    for tax in files.taxes:
        slot = f"tax of {tax.country}, {tax.category}, for {tax.customer} customers"
        yield _Dated(slot, tax.valid_from, None, tax.path, tax.line)
