"""A small world for usage: a loaded catalogue, customers, services and the names usage knows."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path

from sqlalchemy import Connection, insert, select

from connector.catalog.load import load_catalog
from connector.store.engine import Store
from connector.store.lake import Lake
from connector.store.tables.catalog import product
from connector.store.tables.inventory import service, service_alias
from connector.store.tables.parties import account, billing_account, brand_table

CATALOG = Path(__file__).parent / "catalog" / "data"
NOW = datetime(2026, 7, 2, 8, tzinfo=UTC)
JUNE = (date(2026, 6, 1), date(2026, 7, 1))
CALL_COLUMNS = ("call_id", "calling_number", "called_number", "start_time", "duration_s")
CLOUD_COLUMNS = ("record_id", "subscription_id", "meter", "quantity", "used_at")


@dataclass
class World:
    """What tests arrange usage with."""

    store: Store
    lake: Lake
    folder: Path
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    def load_catalog(self, folder: Path = CATALOG) -> None:
        with self.store.transaction() as tx:
            load_catalog(tx=tx, folder=folder, now=NOW)

    def add_service(
        self,
        *,
        product_key: str,
        kind: str,
        alias: str,
        valid_from: date = date(2026, 1, 1),
        valid_to: date | None = None,
        timezone: str = "Europe/Berlin",
    ) -> int:
        n = next(self.numbers)
        with self.store.transaction() as tx:
            brand_id = tx.execute(select(brand_table.c.id)).scalars().first()
            account_id = _insert(
                tx, account, brand_id=brand_id, sfid=f"001{n:015}", kind="business", name=f"A{n}"
            )
            billing_id = _insert(
                tx,
                billing_account,
                brand_id=brand_id,
                account_id=account_id,
                number=f"B{n}",
                currency="EUR",
                timezone=timezone,
                opened_at=NOW,
            )
            product_id = tx.execute(
                select(product.c.id).where(product.c.key == product_key)
            ).scalar_one()
            service_id = _insert(
                tx,
                service,
                brand_id=brand_id,
                number=f"S{n}",
                account_id=account_id,
                billing_account_id=billing_id,
                product_id=product_id,
                created_by_line_id=n,
                state="In Service",
                currency="EUR",
                service_start_on=valid_from,
            )
        self.add_alias(service_id, kind=kind, alias=alias, valid_from=valid_from, valid_to=valid_to)
        return service_id

    def add_alias(
        self,
        service_id: int,
        *,
        kind: str,
        alias: str,
        valid_from: date = date(2026, 1, 1),
        valid_to: date | None = None,
    ) -> None:
        with self.store.transaction() as tx:
            tx.execute(
                insert(service_alias).values(
                    service_id=service_id,
                    kind=kind,
                    value=alias,
                    valid_from=valid_from,
                    valid_to=valid_to,
                )
            )

    def calls(self, rows: Iterable[Sequence[object]], name: str = "calls.csv") -> Path:
        return self.write(name, CALL_COLUMNS, rows)

    def cloud(self, rows: Iterable[Sequence[object]], name: str = "cloud.csv") -> Path:
        return self.write(name, CLOUD_COLUMNS, rows)

    def write(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
        path = self.folder / name
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([columns, *rows])
        return path

    def usage(self) -> list[dict[str, object]]:
        """Return the usage records the manifest lists."""
        with self.store.read() as tx:
            files = self.lake.usage_files(
                tx=tx, period_start=date(2000, 1, 1), period_end=date(2100, 1, 1)
            )
        with self.lake.session() as duck:
            found = [
                row
                for file in files
                for row in _dicts(duck.execute("SELECT * FROM read_parquet(?)", [str(file.path)]))
            ]
        return sorted(found, key=lambda row: str(row["record_id"]))


def _dicts(result) -> list[dict[str, object]]:  # type: ignore[no-untyped-def]
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _insert(tx: Connection, table, **values: object) -> int:  # type: ignore[no-untyped-def]
    return int(tx.execute(insert(table).values(**values).returning(table.c.id)).scalar_one())
