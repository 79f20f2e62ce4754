"""A month of usage becomes summaries and charges: right, once, and explained."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update
from usage_world import JUNE, NOW, World

from connector.adapters.engine.duckdb import DuckDbRating
from connector.errors import InvalidInput
from connector.mediation.feeds import feed_named
from connector.mediation.imports import import_usage_file
from connector.rating.days import usage_days
from connector.rating.run import RatingReport, rate_period
from connector.store.tables.catalog import product
from connector.store.tables.charging import charge
from connector.store.tables.inventory import service, service_alias, service_change
from connector.store.tables.usage import rating_run, suspense, usage_summary

NUMBER = "+4930111000"
# 100 of 1,334 minutes are included; 1,000 at 0.02 and 234 at 0.01 are 22.34
TIERS = """
rate_plans:
  - key: talk
    name: Talk
    currency: EUR
    meters: [{meter: talk, class: talk, unit: min, sell: 0, cost: 0.005, from: 2026-01-01}]
    allowances: [{class: talk, included: 100, from: 2026-01-01}]
    class_prices:
      - class: talk
        from: 2026-01-01
        pricing:
          model: graduated
          tiers: [{up_to: 1000, unit_price: 0.02}, {up_to: null, unit_price: 0.01}]
products:
  - {key: minutes, brand: acme, name: Minutes, rate_plan: talk}
"""


@dataclass
class Month:
    """June, and what is brought in and rated in it."""

    world: World
    files: int = 0

    def calls(self, *rows: Sequence[object]) -> None:
        self._bring_in("cdr", self.world.calls(rows, name=self._name()))

    def cloud(self, *rows: Sequence[object]) -> None:
        self._bring_in("cloud", self.world.cloud(rows, name=self._name()))

    def rate(self, now: datetime = NOW) -> RatingReport:
        return rate_period(
            store=self.world.store,
            lake=self.world.lake,
            engine=DuckDbRating(self.world.lake.session),
            period_start=JUNE[0],
            period_end=JUNE[1],
            now=now,
        )

    def summaries(self) -> dict[tuple[int, str], object]:
        with self.world.store.read() as tx:
            rows = tx.execute(select(usage_summary)).all()
        return {(row.service_id, row.usage_class): row for row in rows}

    def amounts(self) -> dict[str, Decimal]:
        return {key[1]: row.rated_amount for key, row in self.summaries().items()}  # type: ignore[attr-defined]

    def _name(self) -> str:
        self.files += 1
        return f"file-{self.files}.csv"

    def _bring_in(self, feed: str, path: Path) -> None:
        report = import_usage_file(
            store=self.world.store,
            lake=self.world.lake,
            feed=feed_named(feed),
            path=path,
            now=NOW,
        )
        assert report.suspense == 0


@pytest.fixture
def line(world: World) -> int:
    return world.add_service(product_key="sip-trunk", kind="number", alias=NUMBER)


@pytest.fixture
def month(world: World) -> Month:
    return Month(world)


def call(
    record_id: str, called: str, seconds: int, at: str = "2026-06-10 12:00:00"
) -> tuple[object, ...]:
    return (record_id, NUMBER, called, at, seconds)


class TestPrices:
    def test_come_from_the_longest_prefix(self, month: Month, line: int) -> None:
        month.calls(
            call("a", "+442079460000", 61),
            call("b", "+447700900000", 61),
            call("c", "+12125550100", 7),
        )

        report = month.rate()

        assert (report.records, report.unrated) == (3, 0)
        # 2 x 0.029 + 0.05, 2 x 0.149 + 0.05, 12 s of 0.025 a minute
        assert month.amounts() == {"international": Decimal("0.461")}

    def test_follow_the_day_of_the_call(self, world: World, month: Month, tmp_path: Path) -> None:
        from usage_world import CATALOG

        folder = tmp_path / "newer"
        shutil.copytree(CATALOG, folder)
        deck = (folder / "voice-eu.csv").read_text()
        (folder / "newer.csv").write_text(deck.replace("0.089", "0.189"))
        text = (folder / "catalog.yaml").read_text()
        old = "  - {key: voice-eu, currency: EUR, file: voice-eu.csv, from: 2026-01-01}\n"
        new = "  - {key: voice-eu, currency: EUR, file: newer.csv, from: 2026-06-16}\n"
        (folder / "catalog.yaml").write_text(text.replace(old, old + new))
        world.load_catalog(folder)
        world.add_service(product_key="sip-trunk", kind="number", alias=NUMBER)
        month.calls(
            call("a", "+4915112345678", 60, "2026-06-15 23:59:59"),
            call("b", "+4915112345678", 60, "2026-06-16 00:00:00"),
        )

        month.rate()

        assert month.amounts() == {"mobile": Decimal("0.278")}

    def test_of_meters_are_per_block_of_units(self, world: World, month: Month) -> None:
        world.add_service(product_key="cloud", kind="subscription", alias="sub-1")
        month.cloud(
            ("r1", "sub-1", "vm-hour", "0.5", "2026-06-01 00:00:00"),
            ("r2", "sub-1", "vm-hour", "100", "2026-06-30 00:00:00"),
            ("r3", "sub-1", "egress-gb", "12.5", "2026-06-02 00:00:00"),
        )

        month.rate()

        assert month.amounts() == {"compute": Decimal("4.5225"), "traffic": Decimal("1")}
        units = {key[1]: (row.units, row.unit) for key, row in month.summaries().items()}  # type: ignore[attr-defined]
        assert units == {"compute": (Decimal("100.5"), "hour"), "traffic": (Decimal("12.5"), "GB")}

    def test_of_a_class_may_count_the_total_of_the_month(
        self, world: World, month: Month, tmp_path: Path
    ) -> None:
        (tmp_path / "tiers.yaml").write_text(TIERS)
        world.load_catalog(tmp_path)
        world.add_service(product_key="minutes", kind="subscription", alias="sub-1")
        month.cloud(
            ("r1", "sub-1", "talk", "600", "2026-06-01 00:00:00"),
            ("r2", "sub-1", "talk", "734", "2026-06-30 00:00:00"),
        )

        month.rate()
        again = month.rate()

        assert month.amounts() == {"talk": Decimal("22.34")}
        (row,) = month.summaries().values()
        assert [step["amount"] for step in row.derivation["steps"]] == ["20", "2.34"]  # type: ignore[attr-defined]
        with world.store.read() as tx:
            charged = tx.execute(select(charge.c.quantity, charge.c.pricing)).one()
        assert (charged.quantity, charged.pricing["model"]) == (1_234, "graduated")
        assert again.was_up_to_date
        with world.store.read() as tx:
            days = usage_days(
                tx=tx,
                lake=world.lake,
                service_id=row.service_id,
                period_start=JUNE[0],  # type: ignore[attr-defined]
            )
        # what is included is used up first: 600 - 100 at 0.02 on the first day
        assert [(one.day, one.units_so_far, one.amount_so_far) for one in days] == [
            (date(2026, 6, 1), Decimal(600), Decimal(10)),
            (date(2026, 6, 30), Decimal(1334), Decimal("22.34")),
        ]

    def test_change_with_the_product_of_the_service(
        self, world: World, month: Month, line: int
    ) -> None:
        with world.store.transaction() as tx:
            products = {row.key: row.id for row in tx.execute(select(product.c.key, product.c.id))}
            tx.execute(
                insert(service_change).values(
                    service_id=line,
                    type="UPGRADE",
                    effective_on=date(2026, 6, 16),
                    old={"product_id": products["sip-trunk"]},
                    new={"product_id": products["router"]},
                    state="Applied",
                )
            )
            tx.execute(
                update(service).where(service.c.id == line).values(product_id=products["router"])
            )
        month.calls(
            call("a", "+4915112345678", 60, "2026-06-15 12:00:00"),
            call("b", "+4915112345678", 60, "2026-06-16 12:00:00"),
        )

        report = month.rate()

        assert (report.records, report.unrated) == (1, 1)
        with world.store.read() as tx:
            assert tx.execute(select(suspense.c.reason_code)).scalars().all() == ["no_rate_plan"]


class TestAllowance:
    def test_is_used_up_in_the_order_of_the_calls(self, month: Month, line: int) -> None:
        # 3,600 s are included; the file has them out of order.
        month.calls(
            call("later", "+4930123456", 1_800, "2026-06-20 12:00:00"),
            call("first", "+4930123456", 3_000, "2026-06-10 12:00:00"),
        )

        month.rate()

        (row,) = month.summaries().values()
        assert row.included_units == 3_600  # type: ignore[attr-defined]
        # 1,200 s of the later call at 0.019 a minute
        assert month.amounts() == {"national": Decimal("0.38")}

    def test_does_not_cover_other_classes(self, month: Month, line: int) -> None:
        month.calls(call("a", "+4915112345678", 60))

        month.rate()

        assert month.amounts() == {"mobile": Decimal("0.089")}


class TestSummaries:
    def test_tie_to_the_records_and_explain_themselves(self, month: Month, line: int) -> None:
        month.calls(*(call(f"r{n}", "+4915112345678", 60 + n % 7) for n in range(10_000)))

        report = month.rate()

        assert report.summaries == 1
        (row,) = month.summaries().values()
        seconds = sum(60 + n % 7 for n in range(10_000))
        assert (row.records, row.units) == (10_000, seconds)  # type: ignore[attr-defined]
        assert row.rated_amount == (Decimal(seconds) * Decimal("0.089") / 60).quantize(  # type: ignore[attr-defined]
            Decimal("0.000000001")
        )
        derivation = row.derivation  # type: ignore[attr-defined]
        assert derivation["snapshot"] == report.snapshot
        assert derivation["parts"] == [
            {
                "records": 10_000,
                "sell": str(seconds * 89),
                "cost": str(seconds * 51),
                "scale": 3,
                "block": 60,
            }
        ]

    def test_of_several_classes_come_from_one_run(self, world: World, month: Month) -> None:
        world.add_service(product_key="sip-trunk", kind="number", alias=NUMBER)
        world.add_service(product_key="cloud", kind="subscription", alias="sub-1")
        month.calls(call("a", "+4915112345678", 60))
        month.cloud(("r1", "sub-1", "vm-hour", "2", "2026-06-01 00:00:00"))

        month.rate()

        assert {key[1]: row.unit for key, row in month.summaries().items()} == {  # type: ignore[attr-defined]
            "mobile": "s",
            "compute": "hour",
        }

    def test_become_charges_of_the_same_amount(self, world: World, month: Month, line: int) -> None:
        month.calls(call("a", "+4915112345678", 125))

        month.rate()

        with world.store.read() as tx:
            made = tx.execute(select(charge)).one()
        assert (made.kind, made.service_id) == ("usage", line)
        assert made.unit_price == month.amounts()["mobile"]
        assert made.description == "Usage mobile: 1 call, 0:02:05 h"

    def test_hold_the_usage_of_the_customers_month_only(self, month: Month, line: int) -> None:
        month.calls(
            call("before", "+4915112345678", 60, "2026-05-31 23:59:59"),
            call("first", "+4915112345678", 60, "2026-06-01 00:00:00"),
            call("last", "+4915112345678", 60, "2026-06-30 23:59:59"),
            call("after", "+4915112345678", 60, "2026-07-01 00:00:00"),
        )

        assert month.rate().records == 2


class TestAnotherRun:
    def test_of_the_same_input_changes_nothing(self, world: World, month: Month, line: int) -> None:
        month.calls(call("a", "+4915112345678", 60))
        first = month.rate()

        again = month.rate()

        assert again.was_up_to_date
        assert again.rating_run_id == first.rating_run_id
        with world.store.read() as tx:
            assert len(tx.execute(select(charge)).all()) == 1

    def test_takes_late_usage_in_and_says_so(self, world: World, month: Month, line: int) -> None:
        month.calls(call("a", "+4915112345678", 60))
        month.rate()
        month.calls(call("late", "+4915112345678", 60))

        report = month.rate()

        assert (report.records, report.was_up_to_date) == (2, False)
        (row,) = month.summaries().values()
        assert (row.late_records, row.is_final) == (1, True)  # type: ignore[attr-defined]
        assert month.amounts() == {"mobile": Decimal("0.178")}
        with world.store.read() as tx:
            states = tx.execute(select(rating_run.c.state).order_by(rating_run.c.id)).scalars()
            assert list(states) == ["replaced", "published"]
            paths = world.lake.rated_paths(tx=tx, period_start=JUNE[0])
            amounts = tx.execute(select(charge.c.unit_price)).scalars().all()
        assert len(paths) == 1
        assert amounts == [Decimal("0.178")]

    def test_before_the_month_is_over_is_provisional(self, month: Month, line: int) -> None:
        month.calls(call("a", "+4915112345678", 60))
        month.rate(now=datetime(2026, 6, 20, tzinfo=UTC))
        (provisional,) = month.summaries().values()

        month.rate()

        (final,) = month.summaries().values()
        assert (provisional.is_final, final.is_final) == (False, True)  # type: ignore[attr-defined]
        assert final.late_records == 0  # type: ignore[attr-defined]

    def test_clears_what_moved_to_another_service(
        self, world: World, month: Month, line: int
    ) -> None:
        month.calls(call("a", "+4915112345678", 60))
        month.rate()
        with world.store.transaction() as tx:
            tx.execute(
                update(service_alias)
                .where(service_alias.c.service_id == line)
                .values(value="+49000000")
            )
        other = world.add_service(product_key="sip-trunk", kind="number", alias=NUMBER)

        month.rate()

        found = {key[0]: row.rated_amount for key, row in month.summaries().items()}  # type: ignore[attr-defined]
        assert found == {line: Decimal(0), other: Decimal("0.089")}


class TestUnratedUsage:
    def test_waits_and_is_rated_once_a_price_is_there(
        self, world: World, month: Month, line: int, tmp_path: Path
    ) -> None:
        from usage_world import CATALOG

        month.calls(call("a", "+81312345678", 60), call("b", "+4915112345678", 60))

        first = month.rate()

        assert (first.records, first.unrated) == (1, 1)
        with world.store.read() as tx:
            waiting = tx.execute(select(suspense)).one()
        assert (waiting.reason_code, waiting.line_no, waiting.stage) == ("no_rate", 2, "rating")
        assert "81312345678" in waiting.raw

        folder = tmp_path / "newer"
        shutil.copytree(CATALOG, folder)
        deck = (folder / "voice-eu.csv").read_text()
        (folder / "newer.csv").write_text(deck + "81,Japan,international,0.10,0.05,60,0,1,0\n")
        text = (folder / "catalog.yaml").read_text()
        old = "  - {key: voice-eu, currency: EUR, file: voice-eu.csv, from: 2026-01-01}\n"
        new = "  - {key: voice-eu, currency: EUR, file: newer.csv, from: 2026-06-01}\n"
        (folder / "catalog.yaml").write_text(text.replace(old, old + new))
        world.load_catalog(folder)

        second = month.rate()

        assert (second.records, second.unrated) == (2, 0)
        assert month.amounts() == {"international": Decimal("0.10"), "mobile": Decimal("0.089")}
        with world.store.read() as tx:
            assert tx.execute(select(suspense.c.state)).scalars().all() == ["replayed"]

    def test_that_no_integer_could_hold_waits_too(self, world: World, month: Month) -> None:
        world.add_service(product_key="cloud", kind="subscription", alias="sub-1")
        month.cloud(("r1", "sub-1", "egress-gb", "999999999.999999", "2026-06-01 00:00:00"))

        report = month.rate()

        assert (report.records, report.unrated) == (1, 0)
        assert month.amounts() == {"traffic": Decimal("79999999.99999992")}


def test_a_month_without_usage_is_an_empty_run(month: Month) -> None:
    report = month.rate()

    assert (report.records, report.summaries) == (0, 0)


def test_only_calendar_months_are_rated(world: World) -> None:
    with pytest.raises(InvalidInput, match="by calendar month"):
        rate_period(
            store=world.store,
            lake=world.lake,
            engine=DuckDbRating(world.lake.session),
            period_start=date(2026, 6, 1),
            period_end=date(2026, 6, 30),
            now=NOW,
        )
