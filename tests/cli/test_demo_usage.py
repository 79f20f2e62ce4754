"""The demo's usage files: the same month makes the same file, whatever was interrupted before."""

import csv
from datetime import date
from pathlib import Path

from connector.cli.demo import usage_files


def used(path: Path, *, subscription: str, nth: int) -> list[tuple[str, str, str]]:
    usage_files.write_cloud_usage(
        path, subscription=subscription, nth=nth, first=date(2026, 6, 12), last=date(2026, 6, 14)
    )
    with path.open(encoding="utf-8") as file:
        return [(row["record_id"], row["meter"], row["quantity"]) for row in csv.DictReader(file)]


class TestCloudUsage:
    def test_does_not_depend_on_the_number_that_a_service_got(self, tmp_path: Path) -> None:
        told_at_once = used(tmp_path / "a.csv", subscription="sub-srv-000010", nth=0)

        told_after_a_kill = used(tmp_path / "b.csv", subscription="sub-srv-000017", nth=0)

        assert told_after_a_kill == told_at_once

    def test_differs_between_subscriptions(self, tmp_path: Path) -> None:
        one = used(tmp_path / "a.csv", subscription="sub-srv-000010", nth=0)

        other = used(tmp_path / "b.csv", subscription="sub-srv-000011", nth=1)

        assert one != other
