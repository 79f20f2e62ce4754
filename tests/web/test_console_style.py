"""The console's colours can be read, and one state looks the same everywhere."""

import itertools
import re
from decimal import Decimal
from pathlib import Path

import pytest

import connector.web
from connector.store.tables.ordering import TASK_STATES
from connector.web.console import words

CSS = Path(connector.web.__file__).with_name("static").joinpath("console.css").read_text()
GROUNDS = ("paper", "panel")
TEXTS = ("ink", "soft", "brand", "good", "busy", "warn", "bad")
SMALL_TEXT = 4.5  # WCAG 2.2, success criterion 1.4.3


def tokens(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", css))


LIGHT, DARK = (tokens(part) for part in CSS.split("@media (prefers-color-scheme: dark)")[:2])


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [("#000000", "#ffffff", 21.0), ("#777777", "#ffffff", 4.48), ("#ffffff", "#ffffff", 1.0)],
)
def test_the_ratio_is_that_of_the_standard(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == pytest.approx(ratio, abs=0.01)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_can_be_read_on_every_ground(scheme: dict[str, str]) -> None:
    pairs = [*itertools.product(TEXTS, GROUNDS), ("paper", "brand")]  # the last one: buttons

    assert {
        f"{text} on {ground}": round(contrast(scheme[text], scheme[ground]), 2)
        for text, ground in pairs
        if contrast(scheme[text], scheme[ground]) < SMALL_TEXT
    } == {}


def test_every_colour_is_a_token() -> None:
    rules = re.sub(r":root \{.*?\}", "", CSS, flags=re.DOTALL)

    assert re.findall(r"#[0-9a-fA-F]{3,8}\b|rgb|hsl", rules) == []
    assert set(LIGHT) == set(DARK)
    used = set(re.findall(r"var\(--([a-z0-9-]+)\)", CSS))
    assert used <= set(re.findall(r"--([a-z0-9-]+):", CSS))


class TestWords:
    @pytest.mark.parametrize(
        ("value", "written"),
        [("1234.5", "1,234.50"), ("-0.01", "−0.01"), ("45.6789", "45.6789"), ("0", "0.00")],
    )
    def test_an_amount_has_two_places_and_a_true_minus(self, value: str, written: str) -> None:
        assert words.amount(Decimal(value)) == written

    @pytest.mark.parametrize(("value", "written"), [("0.000123456", "0.000123456"), ("5", "5.00")])
    def test_a_price_loses_no_place(self, value: str, written: str) -> None:
        assert words.price(Decimal(value)) == written

    def test_every_state_of_a_task_has_a_tone_of_its_own_kind(self) -> None:
        tones = {state: words.tone(state) for state in TASK_STATES}

        assert tones == {
            "Pending": "planned",
            "Ready": "running",
            "In Progress": "running",
            "Waiting": "running",
            "Completed": "done",
            "Canceled": "closed",
            "Skipped": "done",
            "Error": "broken",
        }

    def test_colour_never_stands_alone(self) -> None:
        assert set(words.ICONS) == {*words.TONES, "planned"}
        assert len(set(words.ICONS.values())) == len(words.ICONS)
