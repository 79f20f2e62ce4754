"""A tax provider behind HTTP: one call for a batch of questions, a few tries, exact numbers.

What is sent: `{"questions": [{"country", "postal_code", "city", "street", "customer", "category",
"supplied_on"}]}`. What is expected: `{"answers": [{"percent": "8.875", "treatment": "exclusive"}]}`
in the same order; an answer may be `{"error": "why"}` instead, or several taxes of the line, each
with a name of its own: `{"taxes": [{"name": "State tax", "percent": "4"}, {"name": "911 fee",
"amount": "1.25", "currency": "USD"}]}`. A small service of yours translates this for the provider
you have.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import requests
import structlog

from connector.billing.tax import AppliedTax, TaxPart, Treatment
from connector.billing.tax_answers import TaxQuestion
from connector.errors import InvalidInput, Misconfigured, TransientFailure
from connector.kernel.money import minor_digits

log = structlog.get_logger(__name__)

CONNECT_S = 5.0
TRIES = 3
PAUSES_S = (0.5, 2.0)  # between them
_BROKEN_OFF = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
TAXES_MAX = 30  # of one line
NAME_MAX = 80
PERCENT_MAX = 100
AMOUNT_MAX = 1_000_000
_NOT_AS_AGREED = (
    TypeError, KeyError, ValueError, ArithmeticError, AttributeError, InvalidInput,
)  # fmt: skip


class TaxProviderDown(TransientFailure):
    """The tax provider cannot be reached, or is busy, however often it is asked."""

    code = "tax.provider_down"
    remedy = "Run the bills again when it is back."


class TaxProviderRefuses(Misconfigured):
    """The tax provider refuses the call, or answers otherwise than agreed."""

    code = "tax.provider_refuses"
    remedy = "Check billing.tax_url and billing.tax_token, and what stands behind that address."


class HttpTaxProvider:
    """Asks one address; safe to call from one thread at a time."""

    name = "http"

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_s: int = 30,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = url
        self._timeout = (CONNECT_S, float(timeout_s))
        self._pause = pause
        self._session = requests.Session()
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def answers(self, questions: Sequence[TaxQuestion]) -> Mapping[TaxQuestion, AppliedTax]:
        """Return the tax of each question that was answered.

        Raises:
            TaxProviderDown: It could not be reached in three tries.
            TaxProviderRefuses: It refused the call, or did not answer as agreed.
        """
        asked = {"questions": [asdict(one) | {"supplied_on": str(one.supplied_on)}
                               for one in questions]}  # fmt: skip
        told = self._told(asked)
        answers = told.get("answers") if isinstance(told, dict) else None
        if not isinstance(answers, list) or len(answers) != len(questions):
            raise TaxProviderRefuses(
                f"The tax provider did not answer {len(questions)} questions one by one."
            )
        found = {}
        for question, answer in zip(questions, answers, strict=True):
            if isinstance(answer, dict) and "error" in answer:
                log.warning("tax.no_answer", category=question.category, why=answer["error"])
            else:
                found[question] = _tax(question, answer)
        return found

    def _told(self, asked: dict[str, Any]) -> Any:
        reason = ""
        for tried in range(TRIES):
            if tried:
                self._pause(PAUSES_S[tried - 1])
            try:
                response = self._session.post(
                    self._url, json=asked, timeout=self._timeout, allow_redirects=False
                )
            except _BROKEN_OFF as error:
                reason = type(error).__name__
                continue
            except requests.RequestException as error:
                # Only its kind: the address may hold a password.
                raise TaxProviderRefuses(
                    f"The tax provider cannot be asked: {type(error).__name__}."
                ) from None
            if response.status_code in _LATER:
                reason = f"HTTP {response.status_code}"
                continue
            if response.status_code != requests.codes.ok:
                raise TaxProviderRefuses(f"The tax provider answers HTTP {response.status_code}.")
            try:
                return json.loads(response.content, parse_float=Decimal)
            except ValueError as error:
                raise TaxProviderRefuses("The tax provider's answer is no JSON.") from error
        raise TaxProviderDown(f"The tax provider did not answer in {TRIES} tries: {reason}.")


def _tax(question: TaxQuestion, answer: Any) -> AppliedTax:
    try:
        treatment = Treatment(answer.get("treatment", Treatment.EXCLUSIVE))
        if "taxes" in answer:
            return _several(question, answer["taxes"], treatment)
        percent = _percent(answer["percent"])
    except _NOT_AS_AGREED as error:
        raise _no_tax(question, answer) from error
    if percent and treatment not in (Treatment.EXCLUSIVE, Treatment.INCLUSIVE):
        raise _no_tax(question, answer)
    return AppliedTax(question.category, percent, treatment)


def _several(question: TaxQuestion, told: Any, treatment: Treatment) -> AppliedTax:
    """Return several taxes of a line; they can only be on top of the price."""
    parts = tuple(_part(one) for one in told)
    names = {one.name for one in parts}
    percent = sum((one.percent for one in parts), Decimal(0))
    is_plain = treatment is Treatment.EXCLUSIVE and percent <= PERCENT_MAX
    if not (is_plain and 0 < len(parts) <= TAXES_MAX and len(names) == len(parts)):
        raise ValueError(f"{len(parts)} taxes of {len(names)} names, {percent} % {treatment}")
    return AppliedTax(question.category, percent, treatment, parts)


def _part(told: Any) -> TaxPart:
    if told.keys() == {"name", "percent"}:
        return TaxPart(_name(told["name"]), _percent(told["percent"]))
    if told.keys() != {"name", "amount", "currency"}:
        raise ValueError("a tax has a name and either a percent, or an amount and its currency")
    amount, currency = Decimal(str(told["amount"])), told["currency"]
    if not amount.is_finite() or not 0 < amount <= AMOUNT_MAX or amount.scaleb(4) % 1:
        raise ValueError(f"{amount} is no surcharge")
    minor_digits(currency)
    return TaxPart(_name(told["name"]), amount=amount, currency=currency)


def _percent(told: Any) -> Decimal:
    percent = Decimal(str(told))  # a text or a number; true is none
    if not percent.is_finite() or not 0 <= percent <= PERCENT_MAX or percent.scaleb(9) % 1:
        raise ValueError(f"{percent} is no percentage")
    return percent


def _name(told: Any) -> str:
    if not isinstance(told, str) or not told.strip() or not told.isprintable():
        raise ValueError("a tax needs a name")
    return told.strip()[:NAME_MAX]


def _no_tax(question: TaxQuestion, answer: Any) -> TaxProviderRefuses:
    return TaxProviderRefuses(
        f"The tax provider's answer on '{question.category}' is no tax: {answer!r:.200}."
    )
