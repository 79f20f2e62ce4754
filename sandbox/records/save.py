"""Saves batches of drafts: checks, defaults, behaviours, SQL, then everything that follows."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Any

from ..errors import RowError, row_failure
from ..outbound.trigger import fire_flows
from ..schema.model import Field, FieldType, ObjectType
from ..storage.tables import quoted
from ..storage.values import to_scaled
from .behaviours import behaviour_of
from .currencies import set_currencies
from .draft import NOT_WRITABLE, Draft
from .lookup import check_references, check_unique, resolve_links
from .record_types import set_record_types
from .rollups import OUTSIDE, convert_rollups, recompute_rollups
from .transaction import Created, Row, Transaction

COLUMN_LIMIT = 2**63  # SQLite keeps whole numbers below
ZEROS = re.compile(r"\{(0+)\}")


class Writer:
    """Writes records within one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self.tx = tx

    def save(self, item: ObjectType, drafts: Sequence[Draft], *, system: bool = False) -> None:
        """Save what can be saved; a draft that ends with errors left no trace.

        `system` writes are the org's own: read-only fields and given ids are taken as they are.
        """
        tx = self.tx
        if not system:
            self._apply_faults(item, drafts)
        self._load_old(item, drafts)
        resolve_links(tx, drafts)
        check_references(tx, item, drafts)
        if not system or tx.course is not None:
            self._lock(item, drafts)
        live = [draft for draft in drafts if not draft.errors]
        self._merge(item, live, system=system)
        tx.formulas.fill_defaults(tx, item, live)
        set_record_types(tx, item, live)
        set_currencies(tx, item, [d for d in live if not d.errors], system=system)
        behaviour = behaviour_of(item.name)
        if behaviour is not None:
            behaviour.before(self, item, [d for d in live if not d.errors], system)
        if behaviour is not None or system:
            _check_range(item, live)
        for draft in live:
            _check_required(item, draft)
        if not system:
            tx.formulas.check(tx, item, live)
        check_unique(tx, item, live)
        fresh = [draft for draft in live if draft.creating and not draft.errors]
        if fresh and not system:
            tx.room.check(tx.connection, item, fresh)
        saved = [draft for draft in live if not draft.errors]
        self._insert(item, [draft for draft in saved if draft.creating])
        self._update(item, [draft for draft in saved if not draft.creating])
        if behaviour is not None and saved:
            behaviour.after(self, item, saved)
        changes = [(draft.old, draft.new) for draft in saved]
        recompute_rollups(self, item, changes)
        convert_rollups(self, item, changes)
        fire_flows(tx, item, changes)

    def publish(self, item: ObjectType, drafts: Sequence[Draft]) -> list[str | None]:
        """Publish platform events; return their uuids, None for a draft that ends with errors."""
        for draft in drafts:
            draft.new = _blank(item) | draft.values
            _check_required(item, draft)
        self._apply_faults(item, drafts)
        uuids: list[str | None] = []
        for draft in drafts:
            published = None if draft.errors else self.tx.events.publish(self.tx, item, draft.new)
            if isinstance(published, RowError):
                draft.errors.append(published)
            elif published is not None:
                draft.id = self.tx.ids.take(self.tx.connection, item, 1)[0]
            uuids.append(published if isinstance(published, str) else None)
        return uuids

    def touch(self, item: ObjectType, changes: Mapping[str, Row]) -> None:
        """Set fields of records as the org itself, read-only ones included.

        Raises:
            ApiError: A total is too large to be kept; the whole transaction fails.
        """
        if changes:
            drafts = [
                Draft(creating=False, id=record_id, values=dict(values))
                for record_id, values in changes.items()
            ]
            self.save(item, drafts, system=True)
            for draft in drafts:
                _refuse_overflow(draft)

    def insert(self, item: ObjectType, rows: Sequence[Row]) -> list[str]:
        """Create records as the org itself and return their ids.

        Raises:
            ApiError: A record is refused; the whole transaction fails with its reason.
        """
        drafts = [Draft(creating=True, values=dict(row)) for row in rows]
        self.save(item, drafts, system=True)
        for draft in drafts:
            if draft.errors:
                raise row_failure(draft.errors[0])
        return [draft.new["Id"] for draft in drafts]

    def _apply_faults(self, item: ObjectType, drafts: Sequence[Draft]) -> None:
        if not self.tx.faults.any:
            return
        user = self.tx.actor.username
        for draft in drafts:
            error = None if draft.errors else self.tx.faults.for_row(item.name, user=user)
            if error is not None:
                draft.errors.append(error)

    def _lock(self, item: ObjectType, drafts: Sequence[Draft]) -> None:
        if not self.tx.locking:
            return
        for draft in drafts:
            if draft.errors:
                continue
            refusal = self.tx.lock(item, draft.id, old=draft.old, values=draft.values)
            if refusal is not None:
                draft.errors.append(refusal)

    def _load_old(self, item: ObjectType, drafts: Sequence[Draft]) -> None:
        wanted = [d.id for d in drafts if not d.creating and d.id is not None and not d.errors]
        rows = self.tx.fetch(item, wanted) if wanted else {}
        seen: set[str] = set()
        for draft in drafts:
            if draft.creating or draft.errors or draft.id is None:
                continue
            row = rows.get(draft.id)
            if row is None:
                draft.refuse("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
            elif row["IsDeleted"] == 1:
                draft.refuse("ENTITY_IS_DELETED", "entity is deleted")
            elif draft.id in seen:
                draft.refuse("DUPLICATE_VALUE", f"duplicate id specified: {draft.id}", "Id")
            else:
                draft.old = row
                seen.add(draft.id)

    def _merge(self, item: ObjectType, drafts: Sequence[Draft], *, system: bool) -> None:
        user, now_s = self.tx.actor.user_id, self.tx.now_s
        stamps = {"LastModifiedDate": now_s, "SystemModstamp": now_s, "LastModifiedById": user}
        fresh = _blank(item) | {"CreatedDate": now_s, "CreatedById": user} | stamps
        if "OwnerId" in fresh:
            fresh["OwnerId"] = user
        for draft in drafts:
            if draft.creating:
                draft.new = fresh | draft.values
                continue
            draft.new = draft.old | stamps | draft.values
            if not system:
                _check_reparenting(item, draft)

    def _insert(self, item: ObjectType, drafts: Sequence[Draft]) -> None:
        if not drafts:
            return
        tx = self.tx
        fresh = [draft for draft in drafts if draft.new.get("Id") is None]
        for draft, new_id in zip(fresh, tx.ids.take(tx.connection, item, len(fresh)), strict=True):
            draft.new["Id"] = new_id
        for draft in drafts:
            draft.id = draft.new["Id"]
        self._number(item, drafts)
        name = item.name_field
        if item.custom and name is not None and name.auto_number is None:
            for draft in drafts:
                draft.new[name.name] = draft.new[name.name] or draft.new["Id"]
        # Most columns of a wide object stay empty, and naming one costs as much as filling it.
        every = [f.name for f in item.stored]
        columns = zip(*map(itemgetter(*every), (draft.new for draft in drafts)), strict=True)
        empty = len(drafts)
        filled = {n: c for n, c in zip(every, columns, strict=True) if c.count(None) < empty}
        rows = list(zip(*filled.values(), strict=True))
        marks = ", ".join("?" * len(filled))
        sql = f"INSERT INTO {quoted(item.name)} ({', '.join(map(quoted, filled))}) VALUES ({marks})"
        tx.connection.executemany(sql, rows)
        tx.note_creates(item, tuple(filled), rows)
        tx.created.append(Created(item.name, filled))

    def _number(self, item: ObjectType, drafts: Sequence[Draft]) -> None:
        for f in item.fields:
            if f.auto_number is None:
                continue
            first = self._next_number(f"{item.name}.{f.name}", len(drafts))
            for offset, draft in enumerate(drafts):
                draft.new[f.name] = _numbered(f, first + offset)

    def _next_number(self, key: str, count: int) -> int:
        sql = (
            "INSERT INTO sandbox_counter (object, next) VALUES (?, 1 + ?) "
            "ON CONFLICT (object) DO UPDATE SET next = next + ? RETURNING next"
        )
        (following,) = self.tx.connection.execute(sql, (key, count, count)).fetchone()
        return int(following) - count

    def _update(self, item: ObjectType, drafts: Sequence[Draft]) -> None:
        groups: dict[tuple[str, ...], list[Draft]] = defaultdict(list)
        for draft in drafts:
            old, new = draft.old, draft.new
            changed = [name for name, value in new.items() if value != old[name]]
            groups[tuple(changed)].append(draft)
        for names, members in groups.items():
            if not names:
                continue
            sets = ", ".join(f"{quoted(name)} = ?" for name in names)
            sql = f'UPDATE {quoted(item.name)} SET {sets} WHERE "Id" = ?'
            rows = [[*(draft.new[n] for n in names), draft.id] for draft in members]
            self.tx.connection.executemany(sql, rows)
        for draft in drafts:
            self.tx.note("update", item, draft.new["Id"], old=draft.old, new=draft.new)


@lru_cache(maxsize=1_024)
def _blank(item: ObjectType) -> Row:
    """Return the values of a record nobody gave any value to."""
    row: dict[str, Any] = {}
    for f in item.stored:
        value = f.default
        if f.type is FieldType.BOOLEAN:
            value = int(bool(value))
        elif isinstance(value, Decimal):
            value = to_scaled(value, scale=f.scale)
        row[f.name] = value
    row["IsDeleted"] = 0
    return row


def _numbered(item: Field, number: int) -> str:
    pattern = item.auto_number or "{0}"
    return ZEROS.sub(lambda m: str(number).zfill(len(m.group(1))), pattern)


@lru_cache(maxsize=1_024)
def _required_names(item: ObjectType) -> tuple[str, ...]:
    return tuple(f.name for f in item.fields if f.required)


def _check_required(item: ObjectType, draft: Draft) -> None:
    if draft.errors:
        return
    missing = [name for name in _required_names(item) if draft.new.get(name) is None]
    if missing:
        message = f"Required fields are missing: [{', '.join(missing)}]"
        draft.refuse("REQUIRED_FIELD_MISSING", message, *missing)


@lru_cache(maxsize=1_024)
def _decimals(item: ObjectType) -> tuple[Field, ...]:
    return tuple(f for f in item.stored if f.is_decimal)


def _check_range(item: ObjectType, drafts: Sequence[Draft]) -> None:
    """Refuse computed amounts that no column holds."""
    for field in _decimals(item):
        name = field.name
        amounts = [draft.new[name] or 0 for draft in drafts]
        if not amounts or -COLUMN_LIMIT < min(amounts) <= max(amounts) < COLUMN_LIMIT:
            continue
        for draft, amount in zip(drafts, amounts, strict=True):
            if abs(amount) >= COLUMN_LIMIT:
                message = f"{field.label}: value outside of valid range on numeric field"
                draft.refuse(OUTSIDE, message, name)


def _refuse_overflow(draft: Draft) -> None:
    """Undo the whole transaction where a total that the org keeps would be too large."""
    for error in draft.errors:
        if error.code == OUTSIDE:
            raise row_failure(error)


def _check_reparenting(item: ObjectType, draft: Draft) -> None:
    for ref in item.references:
        if ref.master_detail and not ref.reparentable and draft.changed(ref.name):
            message = NOT_WRITABLE.format(name=ref.name)
            draft.refuse("INVALID_FIELD_FOR_INSERT_UPDATE", message, ref.name)
