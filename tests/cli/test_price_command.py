"""`l2c price`, as a process and in one."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from connector.cli.price import LINE_BYTES_MAX, price

L2C = Path(sys.executable).with_name("l2c")
TIERS = [
    {"up_to": "10", "unit_price": "1.00", "flat": "0"},
    {"up_to": None, "unit_price": "0.50", "flat": "0"},
]
GRADUATED = {"currency": "EUR", "model": "graduated", "tiers": TIERS, "quantity": "15"}
UNIT = {"currency": "EUR", "model": "per_unit", "unit_price": "2.00", "quantity": "3"}


def ask(*lines: str | bytes | dict[str, Any], code: int = 0) -> list[dict[str, Any]]:
    encoded = [line if isinstance(line, bytes) else as_text(line).encode() for line in lines]
    result = CliRunner().invoke(
        price, ["--json"], input=b"\n".join(encoded), standalone_mode=False, catch_exceptions=False
    )
    assert result.return_value == code
    return [json.loads(line) for line in result.stdout.splitlines()]


def as_text(line: str | dict[str, Any]) -> str:
    return line if isinstance(line, str) else json.dumps(line)


def refused(line: dict[str, Any] | str | bytes) -> dict[str, Any]:
    (answer,) = ask(line, code=1)
    assert set(answer) <= {"error", "code", "field", "line"}
    return answer


class TestAnAnswer:
    def test_is_amount_exact_amount_and_explanation(self) -> None:
        assert ask(GRADUATED) == [
            {
                "amount": "12.50",
                "unrounded": "12.5",
                "explanation": [
                    {
                        "step": "tier",
                        "from": "0",
                        "up_to": "10",
                        "quantity": "10",
                        "unit_price": "1.00",
                        "amount": "10",
                    },
                    {
                        "step": "tier",
                        "from": "10",
                        "quantity": "5",
                        "unit_price": "0.50",
                        "amount": "2.5",
                    },
                ],
            }
        ]

    def test_keeps_every_digit(self) -> None:
        huge, tiny = "123456789012345678901234567890.5", "0.123456789012345678901234567891"

        (answer,) = ask(UNIT | {"unit_price": huge, "quantity": tiny})

        assert Fraction(answer["unrounded"]) == Fraction(huge) * Fraction(tiny)
        assert abs(Fraction(answer["amount"]) - Fraction(answer["unrounded"])) <= Fraction(1, 200)

    def test_of_the_installed_command_comes_before_the_next_question(self) -> None:
        with subprocess.Popen(
            [L2C, "price", "--json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            for quantity, amount in (("1", "2.00"), ("2", "4.00")):
                process.stdin.write(json.dumps(UNIT | {"quantity": quantity}) + "\n")
                process.stdin.flush()
                assert json.loads(process.stdout.readline())["amount"] == amount
            process.stdin.close()
            assert process.wait(timeout=60) == 0

    def test_for_people_shows_the_sum(self) -> None:
        result = CliRunner().invoke(
            price, [], input=json.dumps(GRADUATED) + "\n[]", standalone_mode=False
        )

        first, ten, rest, error = result.stdout.splitlines()
        assert first == "12.50  (exactly 12.5)"
        assert " ".join(ten.split()) == "10 tier from 0, up to 10, quantity 10, unit price 1.00"
        assert " ".join(rest.split()) == "2.5 tier from 10, quantity 5, unit price 0.50"
        assert error == "line 2: line: it is no JSON object."


class TestABadLine:
    def test_does_not_stop_the_others(self) -> None:
        answers = ask(UNIT, "{", UNIT | {"quantity": "-1"}, "", UNIT | {"quantity": "4"}, code=1)

        assert [answer.get("amount") for answer in answers] == ["6.00", None, None, "8.00"]
        assert [answer.get("line") for answer in answers] == [None, 2, 3, None]

    def test_that_is_too_long_does_not_stop_the_others(self) -> None:
        answers = ask(b"x" * (LINE_BYTES_MAX + 1), UNIT, b'"' + b"y" * 3 * LINE_BYTES_MAX, code=1)

        assert [answer.get("code") for answer in answers] == [
            "price.line_too_long", None, "price.line_too_long",
        ]  # fmt: skip

    @pytest.mark.parametrize("line", ["[1]", '"x"', "null", "12", "nonsense", b"\xff\xfe", "{}}"])
    def test_is_told_whatever_it_is(self, line: str | bytes) -> None:
        assert refused(line)["line"] == 1


@pytest.mark.parametrize(
    "text",
    ["NaN", "Infinity", "-Infinity", "sNaN", "1e5", "1E+400", "1e-999999999", "1_000", "1,5", "",
     " 1", "1 ", "1\n", "+1", "1.", ".5", "--1", "0x10", "١٢", "1" * 31, "0." + "1" * 31,
     "9" * 100_000],
)  # fmt: skip
def test_only_plain_decimal_numbers_are_amounts(text: str) -> None:
    answer = refused(UNIT | {"quantity": text})

    assert answer["field"] == "quantity"
    assert len(answer["error"]) < 300


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"quantity": 3}, "quantity", "price.unusable"),
        ({"unit_price": 2.5}, "unit_price", "price.unusable"),
        ({"quantity": True}, "quantity", "price.unusable"),
        ({"quantity": None}, "quantity", "price.unusable"),
        ({"quantity": ["3"]}, "quantity", "price.unusable"),
        ({"quantity": "-3"}, "quantity", "price.negative_quantity"),
        ({"unit_price": "-2"}, "unit_price", "price.unusable"),
        ({"qty": "3"}, "qty", "price.unknown_field"),
        ({"tiers": []}, "tiers", "price.unknown_field"),
        ({"model": "perunit"}, "model", "price.unusable"),
        ({"model": None}, "model", "price.unusable"),
        ({"model": {}}, "model", "price.unusable"),
        ({"currency": None}, "currency", "price.unusable"),
        ({"currency": 978}, "currency", "price.unusable"),
        ({"minimum": 5}, "minimum", "price.unusable"),
        ({"minimum": "-5"}, "minimum", "price.unusable"),
        ({"minimum": "5", "maximum": "4"}, "minimum", "price.unusable"),
        ({"cycle": "0"}, "cycle", "price.unusable"),
        ({"discounts": {}}, "discounts", "price.unusable"),
        ({"discounts": ["10"]}, "discounts[0]", "price.unusable"),
        ({"discounts": [{"percent": 10}]}, "discounts[0].percent", "price.unusable"),
        ({"discounts": [{"percent": "101"}]}, "percent", "price.unusable"),
        ({"discounts": [{"amount": "-1"}]}, "amount", "price.unusable"),
        ({"discounts": [{}]}, "discounts", "price.unusable"),
        ({"discounts": [{"percent": "1", "amount": "1"}]}, "discounts", "price.unusable"),
        ({"discounts": [{"percent": "1", "off": "1"}]}, "discounts[0].off", "price.unknown_field"),
        ({"discounts": [{"percent": "1"}] * 51}, "discounts", "price.unusable"),
        ({"policy": {"tier_bound": "open"}}, "policy.tier_bound", "price.unusable"),
        ({"policy": {"bound": "open"}}, "policy.bound", "price.unknown_field"),
    ],
)
def test_the_refusal_names_the_field(change: dict[str, Any], field: str, code: str) -> None:
    answer = refused(UNIT | change)

    assert (answer["field"], answer["code"]) == (field, code)
    assert field in answer["error"]


@pytest.mark.parametrize("currency", ["XYZ", "eur", "XAU", "E" * 150])
def test_a_currency_without_cents_of_its_own_is_refused(currency: str) -> None:
    answer = refused(UNIT | {"currency": currency})

    assert (answer["code"], currency in answer["error"]) == ("money.unknown_currency", True)


@pytest.mark.parametrize("model", ["graduated", "volume", "stairstep"])
@pytest.mark.parametrize(
    "bounds", [[], ["10"], ["10", "5", None], ["10", "10", None], [None, "10"], ["0", None],
               ["-5", None], [None, None]],
)  # fmt: skip
def test_tiers_with_a_gap_are_refused(model: str, bounds: list[str | None]) -> None:
    tiers = [{"up_to": bound, "flat": "1"} for bound in bounds]

    answer = refused(GRADUATED | {"model": model, "tiers": tiers})

    assert answer["code"] == "price.tier_gap"


@pytest.mark.parametrize(
    ("tier", "field"),
    [
        ({"unit_price": "1"}, "tiers[1].up_to"),
        ({"up_to": None}, "tiers[1].unit_price"),
        ({"up_to": None, "unit_price": 1}, "tiers[1].unit_price"),
        ({"up_to": None, "unit_price": "-1"}, "unit_price"),
        ({"up_to": None, "unit_price": "1", "from": "10"}, "tiers[1].from"),
        ("open", "tiers[1]"),
    ],
)
def test_a_tier_that_says_too_little_or_too_much_is_refused(tier: object, field: str) -> None:
    assert refused(GRADUATED | {"tiers": [TIERS[0], tier]})["field"] == field


PERCENTAGE = {"currency": "EUR", "model": "percentage", "rate": "0.01"}


@pytest.mark.parametrize(
    ("question", "field"),
    [
        (PERCENTAGE, "quantity"),
        (PERCENTAGE | {"transactions": ["5", "7"], "quantity": "11"}, "quantity"),
        (PERCENTAGE | {"transactions": ["5", 7]}, "transactions[1]"),
        (PERCENTAGE | {"transactions": ["5", "-7"]}, "transactions[1]"),
        (PERCENTAGE | {"quantity": "5", "free_units": "0.5"}, "free_units"),
        (PERCENTAGE | {"quantity": "5", "min_amount": "2", "max_amount": "1"}, "min_amount"),
        (
            {"currency": "EUR", "model": "package", "package_size": "0", "package_price": "1",
             "quantity": "1"},
            "package_size",
        ),
        (
            {"currency": "EUR", "model": "resale", "unit_cost": "1", "margin": "1",
             "quantity": "1"},
            "margin",
        ),
        (
            {"currency": "EUR", "model": "resale", "unit_cost": "1", "fx_rate": "0",
             "quantity": "1"},
            "fx_rate",
        ),
        ({"currency": "EUR", "model": "bundle", "amount": "1", "components": []}, "components"),
        (
            {"currency": "EUR", "model": "vendor_lines", "lines": [],
             "rules": [{"vendor": "V", "percent": "5"}]},
            "rules",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_in_a_model_is_refused(question: dict[str, Any], field: str) -> None:
    assert refused(question)["field"] == field


@pytest.mark.parametrize("quantity", ["2", "12", None])
def test_transactions_may_be_counted_or_summed_up(quantity: str | None) -> None:
    stated = {} if quantity is None else {"quantity": quantity}

    assert ask(PERCENTAGE | {"transactions": ["5", "7"]} | stated)[0]["amount"] == "0.12"
