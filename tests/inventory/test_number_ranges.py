"""The policy file of numbers refuses what the register could not serve."""

from pathlib import Path

import pytest

from connector.inventory.number_ranges import BadNumberRanges, load_number_policy


def written(folder: Path, first: str, last: str) -> Path:
    path = folder / "number_ranges.yaml"
    path.write_text(
        f"ranges:\n  - {{key: one, service_classes: [voice], first: '{first}', last: '{last}'}}\n",
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize(
    ("first", "last", "complaint"),
    [
        ("+4961310000000", "+4961319999999", "at most 1,000,000 numbers"),
        ("+49613100", "+496131999", "same length"),
        ("+4961311", "+4961310", "`first` comes first"),
    ],
)
def test_refuses_a_range_nobody_can_search(
    tmp_path: Path, first: str, last: str, complaint: str
) -> None:
    with pytest.raises(BadNumberRanges, match=complaint):
        load_number_policy(written(tmp_path, first, last))


def test_takes_a_million_numbers(tmp_path: Path) -> None:
    policy = load_number_policy(written(tmp_path, "+49613100000", "+49613999999"))

    assert len(policy.ranges) == 1
