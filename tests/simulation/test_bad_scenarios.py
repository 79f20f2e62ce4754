"""What cannot be is refused with file, line and clash."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from connector.cli.main import cli
from connector.errors import ConnectorError
from connector.simulation.play import TooMuchToPlay, play
from connector.simulation.read import BadScenario, read_script
from connector.yaml_file import UnreadableFile

GOOD = """\
calendar: {currency: EUR}
catalogue: {line: "60.00", box: {once: "9.00"}}
events:
  - {at: 2026-06-01, start: s1, plan: line}
until: 2026-07-01
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "life.yaml"


def simulate(file: Path, text: str, *options: str) -> Result:
    file.write_text(text, encoding="utf-8")
    return CliRunner().invoke(cli, ["simulate", str(file), *options], standalone_mode=False)


def refusal(file: Path, text: str) -> str:
    error = simulate(file, text).exception
    assert isinstance(error, ConnectorError)
    return error.message


@pytest.mark.parametrize(
    ("written", "instead", "line", "clash"),
    [
        ("EUR", "EUX", 1, "'EUX' is not a currency"),
        ("calendar: {currency: EUR}", "calendar: {}", 1, "calendar.currency is missing"),
        ("plan: line", "plan: line, color: red", 4, "events.0.color is not a key of the grammar"),
        ("plan: line", "plan: line, quantity: -1", 4, "events.0.quantity"),
        ("start: s1", "begin: s1", 4, "an event has one verb"),
        ("2026-06-01", "2026-06-31", 4, "'2026-06-31' is no day of the calendar"),
        ("at: 2026-06-01", "at: 2026-06-01T10:00:00", 4, "needs its offset"),
        ('"60.00"', '"sixty"', 2, "catalogue.line.recurring"),
        ('"60.00"', "{every: year}", 2, "a plan needs a price"),
        ('"60.00"', '{recurring: "1", parts: {tape: 1}}', 2, "has a part 'tape' nobody defined"),
        (
            "plan: line",
            "plan: line, discounts: [{percent: 5, amount: 5}]",
            4,
            "either a percent or an amount",
        ),
        ("EUR}", "EUR, every: week, anchor_day: 8}", 1, "a week begins on a weekday"),
        ("EUR}", "EUR, timezone: Mars/Olympus}", 1, "is no time zone"),
    ],
)
def test_a_word_that_cannot_be_is_named_with_its_line(
    file: Path, written: str, instead: str, line: int, clash: str
) -> None:
    message = refusal(file, GOOD.replace(written, instead, 1))

    assert f"{file}, line {line}: " in message
    assert clash in message


@pytest.mark.parametrize(
    ("event", "clash"),
    [
        ("{at: 2026-05-31, change: s1, price: 70, reported: 2026-06-02}", "charging.before_start"),
        ("{at: 2026-06-09, start: s1, plan: line}", "charging.already_started"),
        ("{at: 2026-06-09, cancel: s2}", "simulation.unknown_name"),
        ("{at: 2026-06-09, start: s2, plan: lime}", "simulation.unknown_name"),
        ("{at: 2026-06-09, start: s2, plan: box}", "simulation.no_such_price"),
        ("{at: 2026-06-09, sell: line}", "simulation.no_such_price"),
        ("{at: 2026-06-09, remove: s1, part: backup}", "simulation.not_now"),
        ("{at: 2026-06-09, resume: s1}", "simulation.not_now"),
        ("{at: 2026-06-09, return: box}", "simulation.not_now"),
        ("{at: 2026-06-09, pay: 5, invoice: 7}", "simulation.not_now"),
        (
            "{at: 2026-06-09, start: s2, plan: line, steps: "
            "[{from: 2026-06-20, quantity: 2}, {from: 2026-06-15, quantity: 3}]}",
            "does not come after 2026-06-20",
        ),
    ],
)
def test_an_event_that_does_not_fit_is_named_with_its_line(
    file: Path, event: str, clash: str
) -> None:
    message = refusal(file, GOOD.replace("until:", f"  - {event}\nuntil:"))

    assert message.startswith(f"{file}, line 5: ")
    assert clash in message


def test_a_change_of_what_starts_later_says_when_it_starts(file: Path) -> None:
    early = "  - {at: 2026-05-20, re_rate: s1, price: 5}\n"

    message = refusal(file, GOOD.replace("until:", f"{early}until:"))

    assert "'s1' begins on 2026-06-01" in message
    assert "charging.before_start" in message


def test_a_price_in_another_currency_than_the_account_is_refused(file: Path) -> None:
    message = refusal(file, GOOD.replace('"60.00"', '{recurring: "60.00", currency: USD}', 1))

    assert message.startswith(f"{file}, line 4: ")
    assert "is in USD, account 'customer' in EUR" in message


def test_a_tax_rate_that_nobody_gave_is_named(file: Path) -> None:
    message = refusal(file, GOOD.replace("EUR}", 'EUR, country: FR}\ntax: {DE: "19"}', 1))

    assert message.startswith(f"{file}: ")
    assert "'standard' tax rate for FR" in message


def test_a_bomb_of_aliases_is_refused(file: Path) -> None:
    file.write_text("a: &a [x, x]\nb: &b [*a, *a]\n", encoding="utf-8")

    with pytest.raises(UnreadableFile, match="line 1: anchors"):
        read_script(file)


def test_a_huge_file_is_refused(file: Path) -> None:
    file.write_text("#" * (1024 * 1024 + 1), encoding="utf-8")

    with pytest.raises(UnreadableFile, match="larger than"):
        read_script(file)


def test_too_many_events_are_refused(file: Path) -> None:
    many = "  - {at: 2026-06-01, sell: box}\n" * 2_001
    file.write_text(GOOD.replace("until:", f"{many}until:"), encoding="utf-8")

    with pytest.raises(BadScenario, match="at most 2000 items"):
        read_script(file)


def test_an_endless_life_is_refused(file: Path) -> None:
    file.write_text(GOOD.replace("until: 2026", "until: 9998"), encoding="utf-8")
    script, _ = read_script(file)

    with pytest.raises(TooMuchToPlay):
        play(script)


def test_a_few_events_that_make_too_many_charges_are_refused(file: Path) -> None:
    steps = ", ".join(
        f"{{from: 2026-{n // 28 + 6:02}-{n % 28 + 1:02}, quantity: 2}}" for n in range(1, 99)
    )
    many = "".join(
        f"  - {{at: 2026-06-01, start: t{n}, plan: line, steps: [{steps}]}}\n" for n in range(99)
    )
    text = GOOD.replace("until: 2026-07-01", f"{many}until: 2028-07-01")
    file.write_text(text, encoding="utf-8")
    script, _ = read_script(file)

    with pytest.raises(TooMuchToPlay, match="9802 charges"):
        play(script)


def test_nothing_but_a_list_is_refused(file: Path) -> None:
    assert f"{file}, line 1: " in refusal(file, "- 1\n")
