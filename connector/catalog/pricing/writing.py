"""Writes a price as the JSON object that `l2c price` prints."""

from decimal import Decimal

from connector.catalog.pricing.exact import digits, exact_text
from connector.catalog.pricing.steps import Priced, Step


def as_json(priced: Priced) -> dict[str, object]:
    """Return amount, exact amount and explanation as texts; a bundle has its parts as well."""
    written: dict[str, object] = {
        "amount": digits(priced.amount),
        "unrounded": exact_text(priced.unrounded),
        "explanation": [_step(step) for step in priced.steps],
    }
    if priced.parts:
        written["parts"] = [
            {"name": part.name, "amount": digits(part.amount)} for part in priced.parts
        ]
    return written


def _step(step: Step) -> dict[str, str]:
    written = {"step": step.kind}
    for name, fact in step.facts.items():
        text = str(fact)
        written[name] = digits(fact) if "E" in text and isinstance(fact, Decimal) else text
    written["amount"] = exact_text(step.amount)
    return written
