"""Taxes that a provider knows: what it is asked, and its answers as bills look them up.

A question is about a place, a kind of customer, a category and a day; a later bill asks nothing
again. `ask_taxes.py` asks, outside any transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol

from sqlalchemy import Connection, text

from connector.billing.draft import Payer
from connector.billing.tax import AppliedTax, NoTaxRate, TaxPart, Treatment
from connector.store.engine import to_json


@dataclass(frozen=True, slots=True, order=True)
class TaxQuestion:
    """Which tax is due; `country` is where it is supplied, perhaps not where the payer is."""

    country: str
    postal_code: str
    city: str
    street: str
    customer: str
    category: str
    supplied_on: date


class TaxNotAnswered(NoTaxRate):
    """The tax provider was not asked yet, or did not know."""

    code = "billing.tax_not_answered"
    remedy = "Look at the log of the provider and run the bills again."

    def __init__(self, message: str, *, question: TaxQuestion) -> None:
        super().__init__(message)
        self.question = question


class TaxProvider(Protocol):
    """Somebody outside who knows taxes."""

    @property
    def name(self) -> str:
        """What its answers are kept under."""
        ...

    def answers(self, questions: Sequence[TaxQuestion]) -> Mapping[TaxQuestion, AppliedTax]:
        """Return the tax of each question it has an answer to.

        Raises:
            TransientFailure: It cannot be reached; ask later.
            Misconfigured: It does not let us in, or does not speak as agreed.
        """
        ...


_COLUMNS = tuple(one.name for one in fields(TaxQuestion))
_CHOSEN = text("SELECT name FROM tax_provider")
_CHOOSE = (
    text("DELETE FROM tax_provider WHERE name IS DISTINCT FROM CAST(:name AS text)"),
    text("INSERT INTO tax_provider (name) SELECT n FROM unnest(ARRAY[CAST(:name AS text)]) n "
         " WHERE n IS NOT NULL "
         "ON CONFLICT DO NOTHING"),
)  # fmt: skip
_KEPT = text(
    "SELECT DISTINCT t.country, t.postal_code, t.city, t.street, t.customer, t.category, "
    "       t.supplied_on, t.percent, t.treatment, t.parts "
    "  FROM billing_account b JOIN account a ON a.id = b.account_id "
    "  JOIN tax_answer t ON t.provider = :provider "
    "   AND t.postal_code = coalesce(a.postal_code, '') AND t.city = coalesce(a.city, '') "
    "   AND t.street = coalesce(a.street, '') AND t.customer = a.kind "
    " WHERE b.id = ANY(:ids)"
)
_KEEP = text(
    "INSERT INTO tax_answer (provider, country, postal_code, city, street, customer, category, "
    "                        supplied_on, percent, treatment, parts, answered_at) "
    "SELECT :provider, q.country, q.postal_code, q.city, q.street, q.customer, q.category, "
    "       q.supplied_on, q.percent, q.treatment, CAST(q.parts AS jsonb), :now "
    "  FROM unnest(CAST(:country AS text[]), CAST(:postal_code AS text[]), CAST(:city AS text[]), "
    "              CAST(:street AS text[]), CAST(:customer AS text[]), CAST(:category AS text[]), "
    "              CAST(:supplied_on AS date[]), CAST(:percent AS numeric[]), "
    "              CAST(:treatment AS text[]), CAST(:parts AS text[])) "
    "       AS q(country, postal_code, city, street, customer, category, supplied_on, percent, "
    "            treatment, parts) ON CONFLICT DO NOTHING"
)


def question_of(payer: Payer, category: str, on: date, country: str = "") -> TaxQuestion:
    """Return what is to be asked about a line.

    Raises:
        NoTaxRate: Nobody knows in which country.
    """
    place = country or payer.country or ""
    if not place:
        raise NoTaxRate(
            f"The customer of billing account {payer.number} has no country, so no tax rate.",
            remedy="Fill in the billing country of the account in the CRM.",
        )
    return TaxQuestion(
        place, payer.postal_code, payer.city, payer.street, payer.customer_kind, category, on
    )


class KeptTaxes:
    """The answers of a provider, as bills ask for them."""

    def __init__(self, answers: Mapping[TaxQuestion, AppliedTax]) -> None:
        self._answers = answers

    def applied(self, payer: Payer, category: str, on: date, country: str = "") -> AppliedTax:
        """Return the tax due from a payer on a day; an exempt payer owes none.

        Raises:
            NoTaxRate: The payer's country is not known.
            TaxNotAnswered: The provider has not answered.
        """
        if payer.is_tax_exempt:
            return AppliedTax(category, Decimal(0), Treatment.EXEMPT)
        question = question_of(payer, category, on, country)
        found = self._answers.get(question)
        if found is None:
            raise TaxNotAnswered(
                f"The tax provider has no answer on '{category}' for {payer.number} on {on}.",
                question=question,
            )
        return found


def choose_provider(tx: Connection, name: str | None) -> None:
    """Let bills be taxed by a provider's answers from now on, or (None) by the table."""
    for statement in _CHOOSE:
        tx.execute(statement, {"name": name})


def chosen_provider(tx: Connection) -> str | None:
    """Return whose answers count; None: the catalogue's table."""
    found: str | None = tx.scalar(_CHOSEN)
    return found


def kept_answers(
    tx: Connection, *, provider: str, ids: Sequence[int]
) -> dict[TaxQuestion, AppliedTax]:
    """Return what a provider has answered about the places of payers."""
    rows = tx.execute(_KEPT, {"provider": provider, "ids": list(ids)})
    return {
        TaxQuestion(*row[:7]): AppliedTax(
            row.category, row.percent, Treatment(row.treatment), _parts(row.parts)
        )
        for row in rows
    }


def _parts(kept: Sequence[Mapping[str, str]] | None) -> tuple[TaxPart, ...]:
    return tuple(
        TaxPart(one["name"], Decimal(one["percent"]), Decimal(one["amount"]), one["currency"])
        for one in kept or ()
    )


def _kept(parts: Sequence[TaxPart]) -> str | None:
    """Return parts as JSON, numbers as their digits; nothing for a single tax."""
    return to_json([asdict(one) for one in parts]).decode() if parts else None


def keep_answers(
    tx: Connection, *, provider: str, answers: Mapping[TaxQuestion, AppliedTax], now: datetime
) -> None:
    """Keep answers; the first to a question stays."""
    by_column = zip(*(astuple(question) for question in answers), strict=True)
    values = {name: list(column) for name, column in zip(_COLUMNS, by_column, strict=True)}
    values["percent"] = [one.percent for one in answers.values()]
    values["treatment"] = [str(one.treatment) for one in answers.values()]
    values["parts"] = [_kept(one.parts) for one in answers.values()]
    tx.execute(_KEEP, values | {"provider": provider, "now": now})
