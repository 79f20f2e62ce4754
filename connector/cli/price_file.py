"""Files of questions to `l2c price` with the answers that were worked out by hand."""

from pathlib import Path

import orjson
import yaml

from connector.cli.price import answer_to, told


def is_price_file(path: Path) -> bool:
    """Return whether a file asks for prices instead of playing a life."""
    return path.parent.name == "prices"


def asked_prices(path: Path) -> tuple[tuple[str, bool], ...]:
    """Return each answer to a file's questions as text, and whether it is the one by hand."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    currency = {"currency": document.get("currency", "EUR")}
    answers: list[tuple[str, bool]] = []
    for number, entry in enumerate(document["prices"], start=1):
        answer = answer_to(orjson.dumps(currency | entry["ask"]), number)
        answers.append((told(answer), answer.get("amount") == entry["amount"]))
    return tuple(answers)
